//! The query protocol's codec: against botocore for every operation of STS and IAM, and by properties.

mod botocore;
mod bounds;
mod types;
