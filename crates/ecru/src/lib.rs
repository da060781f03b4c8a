//! The program `ecru`: settings, the command line, the data directory, the log, and which doors there are.

pub mod cli;
pub mod config;
pub mod data_dir;
mod denied;
pub mod doors;

mod front_page;
pub mod logging;
