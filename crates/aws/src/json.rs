//! AWS JSON 1.0 and 1.1: the target header and the error body (`ECR.md` 0).

use serde_json::{Map, Value};
use std::borrow::Cow;

pub const CONTENT_TYPE: &str = JsonVersion::V1_1.content_type();

/// The version of AWS JSON that a service speaks. They differ in the media type, and in what they call an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonVersion {
    /// `namespace` is that of the service's model, such as `com.amazonaws.dynamodb.v20120810`.
    V1_0 {
        namespace: &'static str,
    },
    V1_1,
}

impl JsonVersion {
    /// The media type of requests and answers.
    pub const fn content_type(self) -> &'static str {
        match self {
            JsonVersion::V1_0 { .. } => "application/x-amz-json-1.0",
            JsonVersion::V1_1 => "application/x-amz-json-1.1",
        }
    }

    /// What `__type` says of an error: `NAMESPACE#NAME` in 1.0, `NAME` in 1.1 (Smithy, "AWS JSON 1.0 protocol" and "1.1",
    /// "Operation error serialization").
    pub fn error_type(self, name: &str) -> Cow<'_, str> {
        match self {
            JsonVersion::V1_0 { namespace } => Cow::Owned(format!("{namespace}#{name}")),
            JsonVersion::V1_1 => Cow::Borrowed(name),
        }
    }
}

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
