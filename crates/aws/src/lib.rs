//! AWS's protocols: signatures, JSON, the query protocol, and the types of their values. This crate does no I/O and reads no clock; the
//! time is always an argument.
//!
//! Sources: `ECR.md` 0 and P, the SigV4 chapter of the AWS IAM user guide.

mod account;
mod arn;
mod blob;
pub mod json;
mod page;
mod partition;
mod percent;
pub mod query;
pub mod sigv4;
mod timestamp;

pub use account::{AccountId, InvalidAccountId, InvalidRegion, Region};
pub use arn::{Arn, InvalidArn, WrongPartition};
pub use blob::{Blob, InvalidBlob};
pub use page::{InvalidPageToken, PageTokens};
pub use partition::{InvalidPartition, Partition};
pub use percent::percent_encode;
pub use timestamp::Timestamp;
