//! Tests of AWS's protocols: published vectors, botocore's signatures, texts and properties.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails its test by panicking")]

mod botocore;
mod forms;
mod pages;
mod partitions;
mod properties;
mod query;
mod refusals;
mod request;
mod vectors;
