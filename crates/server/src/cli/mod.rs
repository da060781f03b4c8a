//! The command line as a client: it speaks to a running server with the caller's AWS credentials, and opens no store.

mod client;
mod credentials;
pub mod env;
pub mod push_log;
pub mod serve;
mod shell;
pub mod status;
pub mod tls;

pub use client::ClientError;
