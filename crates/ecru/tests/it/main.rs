//! The whole server in process, through its doors. ECRU_TEST_ENGINE=postgres runs the same tests on PostgreSQL.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "what fails here fails the test")]

mod accounts;
mod admin;
mod arrows;
mod backup;
mod costs;
mod damaged;
mod docker;
mod docs;
mod doors;
mod ecr;
mod foreign;
mod forwarded;
mod full_disk;
mod iam;
mod image_conditions;
mod immutability;
mod leftovers;
mod limits;
mod local_only;
mod lost_stores;
mod memory;
mod observe;
mod pages;
mod permissions;
mod push_log;
mod quirks;
mod quotas;
mod restart;
mod right_store;
mod signatures;
mod slow;
mod store_support;
mod strangers;
mod sts;
mod tls;
mod toy_services;
mod verify;
