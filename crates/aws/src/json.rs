//! AWS JSON 1.1: the target header and the error body (`ECR.md` 0).

use serde_json::{Map, Value};

pub const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The prefix and the operation that an `X-Amz-Target` header names: `Prefix.Operation`.
///
/// The prefix may hold dots, an operation never does.
pub fn target(header: &str) -> Option<(&str, &str)> {
    header.rsplit_once('.').filter(|(prefix, operation)| !prefix.is_empty() && !operation.is_empty())
}

/// `{"__type":NAME,"message":MESSAGE, …extra}`; without a message only the type.
pub fn error_body(name: &str, message: Option<&str>, extra: &[(&str, Value)]) -> Vec<u8> {
    let mut body = Map::new();
    body.insert("__type".into(), name.into());
    if let Some(message) = message {
        body.insert("message".into(), message.into());
    }
    for (member, value) in extra {
        body.insert((*member).into(), value.clone());
    }
    Value::Object(body).to_string().into_bytes()
}
