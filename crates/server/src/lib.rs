//! The doors and the process around them. Arrows go down to `registry`; a door never calls a door.

pub mod access_log;
pub mod addresses;
pub mod admin;
pub mod app;
pub mod authenticate;
pub mod body;
pub mod call;
mod check;
pub mod cli;
pub mod config;
pub mod data_dir;
pub mod docker;
pub mod ecr;
pub mod health;
pub mod layers;
pub mod listener;
pub mod logging;
pub mod metrics;
mod pace;
mod room;
pub mod sts;
mod wire;
