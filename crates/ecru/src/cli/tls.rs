//! `ecru tls`: certificates of one's own for the https:// listeners.
pub mod init;
mod names;
mod trust;
