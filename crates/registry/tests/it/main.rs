//! Tests of uploads, layers and jobs with real stores. The records are in SQLite, or in PostgreSQL if ECRU_TEST_ENGINE is `postgres`. The
//! bytes are in each of the blob engines.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test fails its test by panicking"
)]

mod background;
mod checksums;
mod chunks;
mod collect;
mod completion;
mod concurrency;
mod costs;
mod crash;
mod damaged;
mod faults;
mod image_conditions;
mod inputs;
mod job_kinds;
mod jobs;
mod layer_urls;
mod layers;
mod policies;
mod public_registry;
mod push_log;
mod sessions;
mod support;
mod verify;
