//! From what a request carries to its caller: signatures for the AWS doors, tokens for the docker door.

pub mod basic;
pub mod sigv4;
