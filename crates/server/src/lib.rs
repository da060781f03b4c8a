//! The doors and the process around them. Arrows go down to `registry`; a door never calls a door.

pub mod admin;
pub mod cli;
pub mod config;
pub mod data_dir;
mod denied;
pub mod docker;
pub mod doors;
pub mod ecr;
mod ecr_public;
mod front_page;
pub mod layers;
pub mod logging;
pub mod sts;
