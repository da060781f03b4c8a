//! The program `ecru`: settings, command line, data directory, log, and the list of doors.

pub mod cli;
pub mod config;
pub mod data_dir;
mod denied;
pub mod doors;

mod front_page;
pub mod logging;
