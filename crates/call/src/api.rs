//! What the operations of one service have in common: their failures, and the record of a refused call.

use crate::Exception;
use crate::sigv4::Unauthenticated;
use kernel::access::Caller;
use kernel::{CommonError, Cx, Fault};
use std::error::Error;
use std::fmt;

/// A service's failures and its record of refused calls. Each door implements it for its service; the pipeline knows only this
/// trait.
pub trait Api: 'static {
    /// The errors of the service's operations.
    type Error: Fault + From<CommonError>;
    /// The record of a call, in case it is refused ([`Api::refused`]); `()` if the service records nothing.
    type Attempt: Send;

    /// Refuses callers whose kind of session may not call the service, whatever their policies allow.
    fn admit(_caller: &Caller) -> Result<(), Unauthenticated> {
        Ok(())
    }

    /// Maps a failure that is not a common one ([`Fault::common`]) to the service's exception; each protocol names the common
    /// ones itself. A service with only common failures need not implement it.
    fn exception(_error: &Self::Error) -> Exception {
        Exception::internal_failure()
    }

    /// Returns the message for the client.
    fn message(error: &Self::Error) -> String {
        error.to_string()
    }

    /// Called for each refused call with an attempt, before the client is answered. It must not block.
    fn refused(_cx: &Cx, _attempt: Self::Attempt, _refused: RefusedCall) {}
}

/// A call's refusal, as its client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCall {
    pub status: u16,
    /// The error's name.
    pub code: &'static str,
    pub message: String,
    /// Whether the caller lacked a permission.
    pub denied: bool,
}

/// A failure of an operation of any service, without the service's own error type.
#[derive(Debug)]
pub struct Failure {
    fault: Box<dyn Fault>,
    /// `None` for a common failure.
    exception: Option<Exception>,
    message: String,
}

impl Failure {
    /// Converts a failure of an operation of `A`.
    pub fn of<A: Api>(error: A::Error) -> Failure {
        let exception = error.common().is_none().then(|| A::exception(&error));
        Failure { message: A::message(&error), exception, fault: Box::new(error) }
    }

    /// Returns the common failure, if this is one.
    pub fn common(&self) -> Option<&CommonError> {
        self.fault.common()
    }

    /// Returns the service's exception; `None` for a common failure.
    pub fn exception(&self) -> Option<&Exception> {
        self.exception.as_ref()
    }
}

impl From<CommonError> for Failure {
    fn from(error: CommonError) -> Failure {
        Failure { message: error.to_string(), exception: None, fault: Box::new(error) }
    }
}

/// What the client reads: AWS's text, and, where a store fails, what helps, which AWS does not say.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.common() {
            Some(CommonError::Unavailable { cure, .. }) => write!(f, "{}; {cure}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}
