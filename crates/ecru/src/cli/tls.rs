//! `ecru tls`: private certificates for the https:// listeners.

pub mod init;
mod names;
mod trust;
