//! Why a call is answered with an error, and how each protocol says so: the only tables of names and statuses (`ECR.md` 0, A.15, P).
//!
//! Choices where the sources are silent: authentication failures are 400 on the JSON services (403 on STS, as documented);
//! a body over its limit and one that breaks off or stops coming are SerializationException, since that is the common error
//! that every SDK knows and none retries.
use super::Foreign;
use crate::api::Failure;
use crate::sigv4::Unauthenticated;
use aws::sigv4::Rejection;
use http::StatusCode;
use kernel::CommonError;
use listen::local_only::NotLocal;
use serde_json::Value;

/// Why there is no output. Display is what the client reads.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("Unknown operation")]
    UnknownOperation,
    #[error("Could not find operation {action} for version {version}")]
    UnknownAction { action: String, version: String },
    /// An operation of the service's model that this version lacks.
    #[error("Ecru {version} does not have {} yet: docs/compatibility.md lists what it has", name(*namesake, operation), version = env!("CARGO_PKG_VERSION"))]
    NotYet { namesake: Option<&'static str>, operation: &'static str },
    /// A call of another service, whose clients have a form of their own for this.
    #[error("{0}")]
    Foreign(Foreign),
    #[error("Missing Action")]
    MissingAction,
    #[error("Missing Authentication Token")]
    MissingSignature,
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The input is not what the operation's structure asks for.
    #[error("{0}")]
    Serialization(String),
    #[error("The request body is larger than {limit} bytes, the limit of this operation")]
    BodyTooLarge { limit: usize },
    /// `--dev` answers this machine alone.
    #[error(transparent)]
    NotLocal(NotLocal),
    /// The request's body ended early or could not be read.
    #[error("the request body ended early: {0}")]
    BodyTruncated(String),
    /// The operation failed, or something before it that every operation stands on.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// An error as a protocol names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    pub name: &'static str,
    pub status: StatusCode,
    /// Members beside `__type` and `message`.
    pub extra: Vec<(&'static str, Value)>,
}

impl Exception {
    pub fn new(name: &'static str, status: StatusCode) -> Exception {
        Exception { name, status, extra: Vec::new() }
    }
    /// The status of nearly all: 400.
    pub fn bad(name: &'static str) -> Exception {
        Exception::new(name, StatusCode::BAD_REQUEST)
    }
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Exception {
        self.extra.push((name, value.into()));
        self
    }
}

/// An operation's name as a message has it.
fn name(namesake: Option<&str>, operation: &str) -> String {
    namesake.map_or_else(|| operation.to_owned(), |service| format!("{operation} of {service}"))
}

impl Refusal {
    /// The name and status of the JSON services.
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

    /// The code and status of the services of the query protocol.
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

    /// The common failure that is why, if one is.
    pub fn common(&self) -> Option<&CommonError> {
        match self {
            Refusal::Failed(failure) => failure.common(),
            Refusal::Unauthenticated(Unauthenticated::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether it is a fault of ours that the client can't do anything about.
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

/// A failure's own name, or that of a protocol for a common one. One that has neither is a fault of ours.
fn named(failure: &Failure, common: fn(&CommonError) -> Exception) -> Exception {
    match (failure.exception(), failure.common()) {
        (Some(exception), _) => exception.clone(),
        (None, Some(error)) => common(error),
        (None, None) => Exception::new("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl Unauthenticated {
    fn json(&self) -> Exception {
        match self {
            Unauthenticated::Rejected(Rejection::Missing) => Exception::bad("MissingAuthenticationTokenException"),
            Unauthenticated::Rejected(Rejection::Incomplete(_)) => Exception::bad("IncompleteSignatureException"),
            Unauthenticated::Rejected(Rejection::Time(_) | Rejection::Mismatch | Rejection::Scope(_)) => {
                Exception::bad("InvalidSignatureException")
            }
            Unauthenticated::UnknownKey => Exception::bad("UnrecognizedClientException"),
            Unauthenticated::Region(_) => Exception::bad("InvalidSignatureException"),
            Unauthenticated::Failed(error) => json_exception(error),
        }
    }

    fn query(&self) -> Exception {
        match self {
            Unauthenticated::Rejected(Rejection::Missing) => {
                Exception::new("MissingAuthenticationToken", StatusCode::FORBIDDEN)
            }
            Unauthenticated::Rejected(Rejection::Incomplete(_)) => Exception::bad("IncompleteSignature"),
            Unauthenticated::Rejected(Rejection::Time(_) | Rejection::Mismatch | Rejection::Scope(_)) => {
                Exception::new("SignatureDoesNotMatch", StatusCode::FORBIDDEN)
            }
            Unauthenticated::UnknownKey => Exception::new("InvalidClientTokenId", StatusCode::FORBIDDEN),
            Unauthenticated::Region(_) => Exception::new("SignatureDoesNotMatch", StatusCode::FORBIDDEN),
            Unauthenticated::Failed(error) => query_exception(error),
        }
    }
}

/// The failures that every service has, as the JSON services name them (`ECR.md` A.15).
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

/// The same as the services of the query protocol name them.
fn query_exception(error: &CommonError) -> Exception {
    match error {
        CommonError::AccessDenied(_) => Exception::new("AccessDenied", StatusCode::FORBIDDEN),
        CommonError::InvalidParameter { .. } => Exception::bad("ValidationError"),
        CommonError::Busy | CommonError::Unavailable { .. } => {
            Exception::new("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE)
        }
        CommonError::Server(_) => Exception::new("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR),
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
                rejected(Rejection::Missing),
                ("MissingAuthenticationTokenException", 400),
                ("MissingAuthenticationToken", 403),
            ),
            (
                rejected(Rejection::Incomplete(String::new())),
                ("IncompleteSignatureException", 400),
                ("IncompleteSignature", 400),
            ),
            (rejected(Rejection::Mismatch), ("InvalidSignatureException", 400), ("SignatureDoesNotMatch", 403)),
            (
                rejected(Rejection::Time(String::new())),
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
            ),
            (
                rejected(Rejection::Scope(String::new())),
                ("InvalidSignatureException", 400),
                ("SignatureDoesNotMatch", 403),
            ),
            (Unauthenticated::UnknownKey.into(), ("UnrecognizedClientException", 400), ("InvalidClientTokenId", 403)),
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
