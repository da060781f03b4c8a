//! The command line. Some commands ask a running server with the caller's AWS credentials; those that need [`stores`] open them
//! beside it.

pub mod account;
pub mod backup;
mod client;
pub mod completion;
mod copy_dir;
mod credentials;
pub mod env;
pub mod gc;
pub mod health;
pub mod identities;
pub mod image;
pub mod jobs;
mod layer_transfer;
pub mod man;
pub mod progress;
pub mod push_log;
pub mod repository;
pub mod restore;
pub mod serve;
mod shell;
pub mod status;
pub mod stores;
pub mod tls;
pub mod transfer;
pub mod verify;

pub use client::ClientError;
