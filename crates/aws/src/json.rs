//! AWS JSON 1.1: the target header and the error body (`ECR.md` 0).

pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The operation that an `X-Amz-Target` header names: `Prefix.Operation`.
pub fn target(_header: &str) -> Option<(&str, &str)> { todo!() }

/// `{"__type":NAME,"message":MESSAGE, …extra}`; without a message only the type.
pub fn error_body(_name: &str, _message: Option<&str>, _extra: &[(&str, serde_json::Value)]) -> Vec<u8> { todo!() }
