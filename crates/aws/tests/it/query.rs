//! The codec of the query protocol: compared with botocore for all operations of STS and IAM, and by properties.

mod botocore;
mod bounds;
mod types;
