//! The failures of this door's operations, which are those of two domains.

use call::{Api, Exception};
use kernel::{CommonError, Fault};

/// The API that this door's operations belong to.
pub struct Admin;

/// A failure of an operation of this door.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Identity(#[from] identity::Error),
    #[error(transparent)]
    Common(#[from] CommonError),
}

impl From<meta::Error> for Error {
    fn from(error: meta::Error) -> Error {
        Error::Common(error.into())
    }
}

impl Fault for Error {
    fn common(&self) -> Option<&CommonError> {
        match self {
            Error::Registry(error) => error.common(),
            Error::Identity(error) => error.common(),
            Error::Common(error) => Some(error),
        }
    }
}

impl Api for Admin {
    type Error = Error;
    type Attempt = ();

    /// Every failure of this door is answered with 400, as JSON services do.
    fn exception(error: &Error) -> Exception {
        Exception::bad(match error {
            Error::Registry(error) => error.name(),
            Error::Identity(error) => identity_name(error),
            // The pipeline names the common failures before it asks.
            Error::Common(_) => "ServerException",
        })
    }
}

/// IAM's names of the errors of identities, as a JSON service spells them.
fn identity_name(error: &identity::Error) -> &'static str {
    use identity::Error;
    match error {
        Error::NoSuchEntity(_) => "NoSuchEntityException",
        Error::EntityAlreadyExists(_) => "EntityAlreadyExistsException",
        Error::LimitExceeded(_) => "LimitExceededException",
        Error::DeleteConflict(_) | Error::PolicyInUse(_) => "DeleteConflictException",
        Error::MalformedPolicyDocument(_) => "MalformedPolicyDocumentException",
        Error::InvalidInput(_) => "InvalidInputException",
        Error::UnmodifiableEntity(_) => "UnmodifiableEntityException",
        Error::PolicyNotAttachable(_) => "PolicyNotAttachableException",
        Error::ForeignPolicy => "AccessDeniedException",
        Error::Common(_) => "ServerException",
    }
}
