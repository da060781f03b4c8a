//! The doors and the process around them. Arrows go down to `registry`; a door never calls a door.

pub mod cli;
pub mod config;
pub mod data_dir;
mod denied;
pub mod doors;

mod front_page;
pub mod logging;
