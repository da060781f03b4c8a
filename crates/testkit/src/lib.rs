//! A registry in process for tests, with an adjustable clock, injected faults, typed clients and an image builder.
//!
//! Every answer is checked against botocore's model or `ECR.md` B.2, so each test checks more than its own assertions.

#![expect(clippy::expect_used, clippy::panic, reason = "what fails here fails the test that asked for it")]

mod app;
mod aws_caller;
pub mod chance;
mod clock;
mod docker;
pub mod http;
mod image;
mod leftovers;
pub mod model;
mod postgres;
mod query_caller;
mod secure;

pub use crate::http::Answer;
pub use app::{Builder, TestApp};
pub use aws_caller::{AwsCaller, Outcome};
pub use clock::TestClock;
pub use docker::{Docker, location, with_query};
pub use image::{Image, digest};
pub use model::Model;
pub use postgres::TestDatabase;
pub use query_caller::query_form;
pub use secure::{Http2Client, Secure, TlsClient};
