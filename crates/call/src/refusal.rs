//! Why a call is refused, and each protocol's error names and statuses (`ECR.md` 0, A.15, P).
//!
//! Choices where the sources are silent: authentication failures are 400 on the JSON services (403 on STS, as documented); a body
//! that is too large, breaks off or stalls is a SerializationException, because every SDK knows this error and none retries it.

use super::Foreign;
use crate::api::Failure;
use crate::sigv4::Unauthenticated;
use aws::sigv4::SignatureRejection;
use http::StatusCode;
use kernel::CommonError;
use listen::local_only::NotLocal;
use serde_json::Value;

/// Why a call has no output. Its Display text is sent to the client.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("Unknown operation")]
    UnknownOperation,
    #[error("Could not find operation {action} for version {version}")]
    UnknownAction { action: String, version: String },
    /// An operation of the service's model that this version does not implement yet.
    #[error("Ecru {version} does not have {} yet: docs/compatibility.md lists what it has", name(*namesake, operation), version = env!("CARGO_PKG_VERSION"))]
    NotYet { namesake: Option<&'static str>, operation: &'static str },
    /// A call of a service that this server does not have; answered in that service's error format.
    #[error("{0}")]
    Foreign(Foreign),
    #[error("Missing Action")]
    MissingAction,
    #[error("Missing Authentication Token")]
    MissingSignature,
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The input does not match the operation's structure.
    #[error("{0}")]
    Serialization(String),
    #[error("The request body is larger than {limit} bytes, the limit of this operation")]
    BodyTooLarge { limit: usize },
    /// `--dev` serves only this machine.
    #[error(transparent)]
    NotLocal(NotLocal),
    /// The request's body ended early or could not be read.
    #[error("the request body ended early: {0}")]
    BodyTruncated(String),
    /// The operation failed, or a step before it.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// An error with its name and status in a protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    pub name: &'static str,
    pub status: StatusCode,
    /// Further members, besides the name and the message. Both protocols send them.
    pub extra: Vec<(&'static str, Value)>,
}

impl Exception {
    pub fn new(name: &'static str, status: StatusCode) -> Exception {
        Exception { name, status, extra: Vec::new() }
    }
    /// Creates an exception with status 400, which nearly all have.
    pub fn bad(name: &'static str) -> Exception {
        Exception::new(name, StatusCode::BAD_REQUEST)
    }
    /// The exception of a server fault in the query protocol, and of a failure that a service gives no name.
    pub fn internal_failure() -> Exception {
        Exception::new("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR)
    }
    /// Adds a member of the exception's shape: a text, a number or a boolean.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Exception {
        self.extra.push((name, value.into()));
        self
    }
}

/// Returns an operation's name for a message.
fn name(namesake: Option<&str>, operation: &str) -> String {
    namesake.map_or_else(|| operation.to_owned(), |service| format!("{operation} of {service}"))
}

impl Refusal {
    /// Returns the name and status for JSON services.
    pub fn json(&self) -> Exception {
        match self {
            Refusal::UnknownOperation
            | Refusal::UnknownAction { .. }
            | Refusal::NotYet { .. }
            | Refusal::Foreign(_)
            | Refusal::MissingAction => Exception::bad("UnknownOperationException"),
            Refusal::MissingSignature => Exception::bad("MissingAuthenticationTokenException"),
            Refusal::Unauthenticated(why) => why.json(),
            Refusal::NotLocal(_) => Exception::new("AccessDeniedException", StatusCode::FORBIDDEN),
            Refusal::Serialization(_) | Refusal::BodyTooLarge { .. } | Refusal::BodyTruncated(_) => {
                Exception::bad("SerializationException")
            }
            Refusal::Failed(failure) => named(failure, json_exception),
        }
    }

    /// Returns the code and status for services of the query protocol.
    pub fn query(&self) -> Exception {
        match self {
            Refusal::UnknownOperation
            | Refusal::UnknownAction { .. }
            | Refusal::NotYet { .. }
            | Refusal::Foreign(_) => Exception::bad("InvalidAction"),
            Refusal::MissingAction => Exception::bad("MissingAction"),
            Refusal::MissingSignature => Exception::new("MissingAuthenticationToken", StatusCode::FORBIDDEN),
            Refusal::Unauthenticated(why) => why.query(),
            Refusal::NotLocal(_) => Exception::new("AccessDenied", StatusCode::FORBIDDEN),
            Refusal::Serialization(_) | Refusal::BodyTooLarge { .. } | Refusal::BodyTruncated(_) => {
                Exception::bad("ValidationError")
            }
            Refusal::Failed(failure) => named(failure, query_exception),
        }
    }

    /// Returns the common failure, if this refusal is one.
    pub fn common(&self) -> Option<&CommonError> {
        match self {
            Refusal::Failed(failure) => failure.common(),
            Refusal::Unauthenticated(Unauthenticated::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether this is a server fault.
    pub fn is_fault(&self) -> bool {
        matches!(self.common(), Some(CommonError::Server(_)))
    }

    /// Whether the caller lacks a permission.
    pub fn is_denied(&self) -> bool {
        matches!(self.common(), Some(CommonError::AccessDenied(_)))
    }
}

impl From<CommonError> for Refusal {
    fn from(error: CommonError) -> Refusal {
        Refusal::Failed(error.into())
    }
}

/// Returns the service's exception, or the protocol's for a common failure. A failure with neither is reported as a server fault.
fn named(failure: &Failure, common: fn(&CommonError) -> Exception) -> Exception {
    match (failure.exception(), failure.common()) {
        (Some(exception), _) => exception.clone(),
        (None, Some(error)) => common(error),
        (None, None) => Exception::internal_failure(),
    }
}

impl Unauthenticated {
    fn json(&self) -> Exception {
        match self {
            Unauthenticated::Rejected(SignatureRejection::Missing) => {
                Exception::bad("MissingAuthenticationTokenException")
            }
            Unauthenticated::Rejected(SignatureRejection::Incomplete(_)) => {
                Exception::bad("IncompleteSignatureException")
            }
            Unauthenticated::Rejected(
                SignatureRejection::Time(_) | SignatureRejection::Mismatch | SignatureRejection::Scope(_),
            ) => Exception::bad("InvalidSignatureException"),
            Unauthenticated::UnknownKey => Exception::bad("UnrecognizedClientException"),
            Unauthenticated::ExpiredToken => Exception::bad("ExpiredTokenException"),
            Unauthenticated::Region(_) => Exception::bad("InvalidSignatureException"),
            Unauthenticated::Failed(error) => json_exception(error),
        }
    }

    fn query(&self) -> Exception {
        match self {
            Unauthenticated::Rejected(SignatureRejection::Missing) => {
                Exception::new("MissingAuthenticationToken", StatusCode::FORBIDDEN)
            }
            Unauthenticated::Rejected(SignatureRejection::Incomplete(_)) => Exception::bad("IncompleteSignature"),
            Unauthenticated::Rejected(
                SignatureRejection::Time(_) | SignatureRejection::Mismatch | SignatureRejection::Scope(_),
            ) => Exception::new("SignatureDoesNotMatch", StatusCode::FORBIDDEN),
            Unauthenticated::UnknownKey => Exception::new("InvalidClientTokenId", StatusCode::FORBIDDEN),
            Unauthenticated::ExpiredToken => Exception::new("ExpiredToken", StatusCode::FORBIDDEN),
            Unauthenticated::Region(_) => Exception::new("SignatureDoesNotMatch", StatusCode::FORBIDDEN),
            Unauthenticated::Failed(error) => query_exception(error),
        }
    }
}

/// Maps the common failures to the names of JSON services (`ECR.md` A.15).
fn json_exception(error: &CommonError) -> Exception {
    match error {
        CommonError::AccessDenied(_) => Exception::bad("AccessDeniedException"),
        CommonError::InvalidParameter { .. } => Exception::bad("InvalidParameterException"),
        CommonError::Busy | CommonError::Unavailable { .. } => {
            Exception::new("ServerException", StatusCode::SERVICE_UNAVAILABLE)
        }
        CommonError::Server(_) => Exception::new("ServerException", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Maps the common failures to the names of query protocol services.
fn query_exception(error: &CommonError) -> Exception {
    match error {
        CommonError::AccessDenied(_) => Exception::new("AccessDenied", StatusCode::FORBIDDEN),
        CommonError::InvalidParameter { .. } => Exception::bad("ValidationError"),
        CommonError::Busy | CommonError::Unavailable { .. } => {
            Exception::new("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE)
        }
        CommonError::Server(_) => Exception::internal_failure(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Constraint;

    /// The name and status that each protocol gives a refusal.
    fn names(refusal: &Refusal) -> [(&'static str, u16); 2] {
        [refusal.json(), refusal.query()].map(|exception| (exception.name, exception.status.as_u16()))
    }

    fn denial() -> policy::Denial {
        let text = String::new;
        let cause = policy::Cause::NoAllow(policy::PolicyKind::Identity);
        policy::Denial { principal: text(), action: text(), resource: text(), cause, statement: None }
    }

    #[test]
    fn a_store_that_fails_says_what_helps() {
        let source = Box::new(std::io::Error::other("disk"));
        let full = CommonError::Unavailable { message: "No space left", cure: "free space", source };
        assert_eq!(Refusal::Failed(full.into()).to_string(), "No space left; free space");
    }

    #[test]
    fn each_refusal_has_the_name_and_status_of_its_protocol() {
        let rejected = |rejection| Refusal::Unauthenticated(Unauthenticated::Rejected(rejection));
        let failed = |error: CommonError| Refusal::from(error);
        let cause = || Box::new(std::io::Error::other("disk"));
        for (refusal, json, query) in [
            (Refusal::UnknownOperation, ("UnknownOperationException", 400), ("InvalidAction", 400)),
            (
                Refusal::MissingSignature,
                ("MissingAuthenticationTokenException", 400),
                ("MissingAuthenticationToken", 403),
            ),
            (
                rejected(SignatureRejection::Missing),
                ("MissingAuthenticationTokenException", 400),
                ("MissingAuthenticationToken", 403),
            ),
            (
                rejected(SignatureRejection::Incomplete(String::new())),
                ("IncompleteSignatureException", 400),
                ("IncompleteSignature", 400),
            ),
            (
                rejected(SignatureRejection::Mismatch),
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
            ),
            (
                rejected(SignatureRejection::Time(String::new())),
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
            ),
            (
                rejected(SignatureRejection::Scope(String::new())),
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
            ),
            (Unauthenticated::UnknownKey.into(), ("UnrecognizedClientException", 400), ("InvalidClientTokenId", 403)),
            (Unauthenticated::ExpiredToken.into(), ("ExpiredTokenException", 400), ("ExpiredToken", 403)),
            (
                Unauthenticated::Region("x".to_owned()).into(),
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
            ),
            (
                Refusal::NotLocal(NotLocal::Host("evil.com".to_owned())),
                ("AccessDeniedException", 403),
                ("AccessDenied", 403),
            ),
            (Refusal::BodyTooLarge { limit: 1 }, ("SerializationException", 400), ("ValidationError", 400)),
            (Refusal::BodyTruncated(String::new()), ("SerializationException", 400), ("ValidationError", 400)),
            (
                failed(CommonError::AccessDenied(Box::new(denial()))),
                ("AccessDeniedException", 400),
                ("AccessDenied", 403),
            ),
            (
                failed(CommonError::invalid("name", Constraint::Null)),
                ("InvalidParameterException", 400),
                ("ValidationError", 400),
            ),
            (failed(CommonError::Busy), ("ServerException", 503), ("ServiceUnavailable", 503)),
            (
                failed(CommonError::Unavailable { message: "No space", cure: "", source: cause() }),
                ("ServerException", 503),
                ("ServiceUnavailable", 503),
            ),
            (failed(CommonError::Server(cause())), ("ServerException", 500), ("InternalFailure", 500)),
        ] {
            assert_eq!(names(&refusal), [json, query], "{refusal:?}");
        }
    }

    #[test]
    fn only_a_failure_of_the_server_is_a_fault() {
        assert!(!Refusal::from(CommonError::Busy).is_fault() && !Refusal::UnknownOperation.is_fault());
        assert!(Refusal::from(CommonError::Server(Box::new(std::io::Error::other("disk")))).is_fault());
    }
}
