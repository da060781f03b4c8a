//! The protocols AWS JSON 1.0 and 1.1: the target header and the error body (`ECR.md` 0).

use serde_json::{Map, Value};
use std::borrow::Cow;

pub const CONTENT_TYPE: &str = JsonVersion::V1_1.content_type();

/// The version of AWS JSON that a service uses. The versions differ in the media type and in the names of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonVersion {
    /// `namespace` is the namespace of the service's model, such as `com.amazonaws.dynamodb.v20120810`.
    V1_0 {
        namespace: &'static str,
    },
    V1_1,
}

impl JsonVersion {
    /// The media type of requests and responses.
    pub const fn content_type(self) -> &'static str {
        match self {
            JsonVersion::V1_0 { .. } => "application/x-amz-json-1.0",
            JsonVersion::V1_1 => "application/x-amz-json-1.1",
        }
    }

    /// The `__type` of an error: `NAMESPACE#NAME` in 1.0, `NAME` in 1.1 (Smithy, "AWS JSON 1.0 protocol" and "1.1", "Operation error
    /// serialization").
    pub fn error_type(self, name: &str) -> Cow<'_, str> {
        match self {
            JsonVersion::V1_0 { namespace } => Cow::Owned(format!("{namespace}#{name}")),
            JsonVersion::V1_1 => Cow::Borrowed(name),
        }
    }
}

/// Splits an `X-Amz-Target` header into its prefix and operation: `Prefix.Operation`.
///
/// The prefix may contain dots, the operation can't.
pub fn target(header: &str) -> Option<(&str, &str)> {
    header.rsplit_once('.').filter(|(prefix, operation)| !prefix.is_empty() && !operation.is_empty())
}

/// The body of an error: `{"__type":NAME,"message":MESSAGE, …extra}`. Without a message it has no member `message`.
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
