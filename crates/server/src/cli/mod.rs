//! The command line. Some commands ask a running server with the caller's AWS credentials; those that need [`stores`] open them
//! beside it.

mod client;
pub mod completion;
mod credentials;
pub mod env;
pub mod health;
pub mod man;
pub mod push_log;
pub mod serve;
mod shell;
pub mod status;
pub mod stores;
pub mod tls;
pub mod transfer;

pub use client::ClientError;
