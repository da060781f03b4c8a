//! Images between Ecru and other places: `ecru import` and `ecru export`.
//!
//! A [`source::Source`] gives manifests and blobs, a [`sink::Sink`] stores them, and [`copy::Copier`] goes through an image with
//! everything below it and everything that refers to it. Content is never changed: digests stay what they were.

mod challenge;
mod content;
mod copy;
mod docker_archive;
mod docker_config;
mod ecr_host;
mod error;
pub mod export;
mod files;
pub mod import;
mod layout;
mod login;
mod plan;
mod progress;
mod reference;
mod registry;
mod sink;
mod source;
mod tar_index;
mod upload_notes;

pub use error::TransferError;
