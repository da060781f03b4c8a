//! The doors and the process around them. Arrows go down to `registry`; a door never calls a door.

pub mod addresses;
pub mod app;
pub mod authenticate;
pub mod body;
pub mod call;
pub mod docker;
pub mod ecr;
pub mod admin;
pub mod layers;
pub mod sts;
