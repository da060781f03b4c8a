//! Why a call is answered with an error, and how each protocol says so: the only tables of names and statuses (`ECR.md` 0, A.15, P).
//!
//! Choices where the sources are silent: authentication failures are 400 on the JSON services (403 on STS, as documented);
//! a body over its limit and one that breaks off or stops coming are SerializationException, since that is the common error
//! that every SDK knows and none retries.
use super::Foreign;
use crate::sigv4::Unauthenticated;
use aws::sigv4::Rejection;
use http::StatusCode;
use listen::local_only::NotLocal;
use registry::{CommonError, Error};
use serde_json::{Value, json};

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
    /// Too many bodies at once.
    #[error("The service is busy; try again")]
    Busy,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<CommonError> for Refusal {
    fn from(error: CommonError) -> Refusal {
        Refusal::Failed(error.into())
    }
}

/// An error as a protocol names it.
#[derive(Debug, PartialEq)]
pub struct Exception {
    pub name: &'static str,
    pub status: StatusCode,
    /// Members beside `__type` and `message`.
    pub extra: Vec<(&'static str, Value)>,
}

impl Exception {
    fn new(name: &'static str, status: StatusCode) -> Exception {
        Exception { name, status, extra: Vec::new() }
    }
    fn bad(name: &'static str) -> Exception {
        Exception::new(name, StatusCode::BAD_REQUEST)
    }
    fn with(mut self, name: &'static str, value: impl Into<Value>) -> Exception {
        self.extra.push((name, value.into()));
        self
    }
}

/// An operation's name as a message has it.
fn name(namesake: Option<&str>, operation: &str) -> String {
    namesake.map_or_else(|| operation.to_owned(), |service| format!("{operation} of {service}"))
}

impl Refusal {
    /// What the client reads: AWS's text, then what is wrong with a manifest, of which AWS says no more than that.
    pub fn message(&self) -> String {
        match self {
            Refusal::Failed(Error::InvalidManifest(reason)) => {
                format!("{self}: {}", reason.clause())
            }
            other => other.to_string(),
        }
    }

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
            Refusal::Serialization(_) | Refusal::BodyTooLarge { .. } => Exception::bad("SerializationException"),
            Refusal::Busy => Exception::new("ServerException", StatusCode::SERVICE_UNAVAILABLE),
            Refusal::Failed(error) => json_exception(error),
        }
    }

    /// The code and status of STS.
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
            Refusal::Serialization(_) | Refusal::BodyTooLarge { .. } => Exception::bad("ValidationError"),
            Refusal::Busy => Exception::new("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE),
            Refusal::Failed(error) => query_exception(error),
        }
    }

    /// The domain's failure, if that is why.
    pub fn failure(&self) -> Option<&Error> {
        match self {
            Refusal::Failed(error) | Refusal::Unauthenticated(Unauthenticated::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// Whether it is a fault of ours that the client can't do anything about.
    pub fn is_fault(&self) -> bool {
        matches!(self.failure(), Some(Error::Common(CommonError::Server(_))))
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

/// Every failure of the domain as the JSON services name it (`ECR.md` A.15).
fn json_exception(error: &Error) -> Exception {
    match error {
        Error::Common(CommonError::AccessDenied(_)) => Exception::bad("AccessDeniedException"),
        Error::Common(CommonError::InvalidParameter { .. }) | Error::InvalidManifest(_) => {
            Exception::bad("InvalidParameterException")
        }
        Error::Validation(_) => Exception::bad("ValidationException"),
        Error::InvalidTagParameter { .. } => Exception::bad("InvalidTagParameterException"),
        Error::TooManyTags { .. } => Exception::bad("TooManyTagsException"),
        Error::RepositoryNotFound { .. } => Exception::bad("RepositoryNotFoundException"),
        Error::RepositoryAlreadyExists { .. } => Exception::bad("RepositoryAlreadyExistsException"),
        Error::RepositoryNotEmpty { .. } => Exception::bad("RepositoryNotEmptyException"),
        Error::Kms { kms_error, .. } => Exception::bad("KmsException").with("kmsError", *kms_error),
        Error::LimitExceeded { .. } => Exception::bad("LimitExceededException"),
        Error::ImageAlreadyExists { .. } => Exception::bad("ImageAlreadyExistsException"),
        Error::ImageTagAlreadyExists { .. } => Exception::bad("ImageTagAlreadyExistsException"),
        Error::ImageNotFound { .. } => Exception::bad("ImageNotFoundException"),
        Error::ImageDigestDoesNotMatch { .. } => Exception::bad("ImageDigestDoesNotMatchException"),
        Error::ReferencedImagesNotFound { .. } => Exception::bad("ReferencedImagesNotFoundException"),
        Error::LayersNotFound { .. } | Error::LayerDamaged { .. } => Exception::bad("LayersNotFoundException"),
        // Only the docker door deletes by a call of its own; on the API these are failures of a batch.
        Error::LayerInUse { .. } => Exception::bad("InvalidParameterException"),
        Error::LayerInaccessible { .. } => Exception::bad("LayerInaccessibleException"),
        Error::LayerAlreadyExists { .. } => Exception::bad("LayerAlreadyExistsException"),
        Error::UploadNotFound { .. } => Exception::bad("UploadNotFoundException"),
        Error::InvalidLayerPart { account, name, id, last_valid_byte, .. } => {
            let exception = Exception::bad("InvalidLayerPartException")
                .with("registryId", account.as_str())
                .with("repositoryName", name.as_str())
                .with("uploadId", id.as_str());
            match last_valid_byte {
                Some(last) => exception.with("lastValidByteReceived", json!(last)),
                None => exception,
            }
        }
        Error::InvalidLayer { .. } => Exception::bad("InvalidLayerException"),
        Error::LayerPartTooSmall { .. } => Exception::bad("LayerPartTooSmallException"),
        Error::EmptyUpload { .. } => Exception::bad("EmptyUploadException"),
        Error::BodyTruncated(_) => Exception::bad("SerializationException"),
        Error::Common(CommonError::Busy | CommonError::Unavailable { .. }) => {
            Exception::new("ServerException", StatusCode::SERVICE_UNAVAILABLE)
        }
        Error::Common(CommonError::Server(_)) => Exception::new("ServerException", StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Every failure of the domain as STS names it: who is refused, what is malformed, what is our fault.
fn query_exception(error: &Error) -> Exception {
    match error {
        Error::Common(CommonError::AccessDenied(_)) => Exception::new("AccessDenied", StatusCode::FORBIDDEN),
        Error::Common(CommonError::Busy | CommonError::Unavailable { .. }) => {
            Exception::new("ServiceUnavailable", StatusCode::SERVICE_UNAVAILABLE)
        }
        Error::Common(CommonError::Server(_)) => Exception::new("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR),
        Error::Common(CommonError::InvalidParameter { .. })
        | Error::InvalidManifest(_)
        | Error::Validation(_)
        | Error::InvalidTagParameter { .. }
        | Error::TooManyTags { .. }
        | Error::RepositoryNotFound { .. }
        | Error::RepositoryAlreadyExists { .. }
        | Error::RepositoryNotEmpty { .. }
        | Error::Kms { .. }
        | Error::LimitExceeded { .. }
        | Error::ImageAlreadyExists { .. }
        | Error::ImageTagAlreadyExists { .. }
        | Error::ImageNotFound { .. }
        | Error::ImageDigestDoesNotMatch { .. }
        | Error::ReferencedImagesNotFound { .. }
        | Error::LayersNotFound { .. }
        | Error::LayerInUse { .. }
        | Error::LayerInaccessible { .. }
        | Error::LayerDamaged { .. }
        | Error::LayerAlreadyExists { .. }
        | Error::UploadNotFound { .. }
        | Error::InvalidLayerPart { .. }
        | Error::InvalidLayer { .. }
        | Error::LayerPartTooSmall { .. }
        | Error::EmptyUpload { .. }
        | Error::BodyTruncated(_) => Exception::bad("ValidationError"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry::{Constraint, LayersNotFoundBy};

    /// The name and status that each protocol gives a refusal.
    fn names(refusal: &Refusal) -> [(&'static str, u16); 2] {
        [refusal.json(), refusal.query()].map(|exception| (exception.name, exception.status.as_u16()))
    }

    fn denial() -> policy::Denial {
        let text = String::new;
        let cause = policy::Cause::NoAllow(policy::PolicyKind::Identity);
        policy::Denial { principal: text(), action: text(), resource: text(), cause }
    }

    #[test]
    fn each_refusal_has_the_name_and_status_of_its_protocol() {
        let rejected = |rejection| Refusal::Unauthenticated(Unauthenticated::Rejected(rejection));
        let failed = Refusal::Failed;
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
            (Refusal::Busy, ("ServerException", 503), ("ServiceUnavailable", 503)),
            (
                failed(Error::Common(CommonError::AccessDenied(Box::new(denial())))),
                ("AccessDeniedException", 400),
                ("AccessDenied", 403),
            ),
            (
                failed(Error::invalid("name", Constraint::Null)),
                ("InvalidParameterException", 400),
                ("ValidationError", 400),
            ),
            (failed(Error::Common(CommonError::Busy)), ("ServerException", 503), ("ServiceUnavailable", 503)),
            (
                failed(Error::Common(CommonError::Unavailable { message: "No space", cure: "", source: cause() })),
                ("ServerException", 503),
                ("ServiceUnavailable", 503),
            ),
            (failed(Error::Common(CommonError::Server(cause()))), ("ServerException", 500), ("InternalFailure", 500)),
        ] {
            assert_eq!(names(&refusal), [json, query], "{refusal:?}");
        }
    }

    #[test]
    fn an_exception_bears_the_members_that_its_shape_has() {
        let part = |last_valid_byte| Error::InvalidLayerPart {
            reason: "not consecutive".to_owned(),
            account: "000000000000".to_owned(),
            name: "app".to_owned(),
            id: "an id".to_owned(),
            last_valid_byte,
        };
        let session =
            [("registryId", json!("000000000000")), ("repositoryName", json!("app")), ("uploadId", json!("an id"))];
        assert_eq!(Refusal::Failed(part(None)).json().extra, session);
        let with_last = [session.as_slice(), &[("lastValidByteReceived", json!(99))]].concat();
        assert_eq!(Refusal::Failed(part(Some(99))).json().extra, with_last);
        let kms = Error::Kms { kms_error: "NotFoundException", message: "no key".to_owned() };
        assert_eq!(Refusal::Failed(kms).json().extra, [("kmsError", json!("NotFoundException"))]);
        let none = Error::LayersNotFound {
            by: LayersNotFoundBy::Read,
            digests: String::new(),
            name: String::new(),
            account: String::new(),
        };
        assert_eq!(Refusal::Failed(none).json().extra, []);
    }

    #[test]
    fn only_a_failure_of_the_server_is_a_fault() {
        assert!(!Refusal::Busy.is_fault() && !Refusal::Failed(Error::Common(CommonError::Busy)).is_fault());
        assert!(
            Refusal::Failed(Error::Common(CommonError::Server(Box::new(std::io::Error::other("disk"))))).is_fault()
        );
    }
}
