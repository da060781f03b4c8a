//! Maps the failures of identities to IAM's exceptions.

use call::sigv4::Unauthenticated;
use call::{Api, Exception};
use http::StatusCode;
use identity::Error;
use kernel::access::{Caller, SessionKind};

/// The API that IAM's operations belong to.
pub struct Iam;

impl Api for Iam {
    type Error = Error;
    type Attempt = ();

    /// Sessions of GetSessionToken and GetFederationToken may not call IAM (`ECR.md` P).
    fn admit(caller: &Caller) -> Result<(), Unauthenticated> {
        match caller.session.as_ref().map(|session| session.kind) {
            Some(SessionKind::SessionToken | SessionKind::Federation) => Err(Unauthenticated::UnknownKey),
            Some(SessionKind::AssumedRole) | None => Ok(()),
        }
    }

    fn exception(error: &Error) -> Exception {
        match error {
            Error::NoSuchEntity(_) => Exception::new("NoSuchEntity", StatusCode::NOT_FOUND),
            Error::EntityAlreadyExists(_) => Exception::new("EntityAlreadyExists", StatusCode::CONFLICT),
            Error::LimitExceeded(_) => Exception::new("LimitExceeded", StatusCode::CONFLICT),
            Error::DeleteConflict(_) | Error::PolicyInUse(_) => Exception::new("DeleteConflict", StatusCode::CONFLICT),
            Error::MalformedPolicyDocument(_) => Exception::bad("MalformedPolicyDocument"),
            Error::InvalidInput(_) => Exception::bad("InvalidInput"),
            Error::UnmodifiableEntity(_) => Exception::bad("UnmodifiableEntity"),
            Error::PolicyNotAttachable(_) => Exception::bad("PolicyNotAttachable"),
            Error::ForeignPolicy => Exception::new("AccessDenied", StatusCode::FORBIDDEN),
            Error::Common(_) => Exception::new("ServiceFailure", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn message(error: &Error) -> String {
        match error {
            Error::Common(common) => call::check::validation_message(common),
            other => other.to_string(),
        }
    }
}
