//! One suite for both engines, and tests for one engine: batches of writers, a full disk, a kill, a lost connection.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests fail the test that uses them"
)]

mod attach;
mod database;
mod full_disk;
mod gate;
mod group_commit;
mod job_queue;
mod kill;
mod lifecycle;
mod lookups;
mod own_postgres;
mod postgres;
mod postgres_lost;
mod removed;
mod store;
mod transactions;
mod values;
