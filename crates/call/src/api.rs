//! What the operations of one service have in common: their failures, and what is remembered of a call that was refused.
use crate::Exception;
use http::StatusCode;
use kernel::{CommonError, Cx, Fault};
use std::error::Error;
use std::fmt;

/// A service as its operations see it. Only its door knows it; the pipeline knows what is here.
pub trait Api: 'static {
    /// Whatever an operation of the service can fail with.
    type Error: Fault;
    /// What is remembered of a call that was refused ([`Api::refused`]); `()` where nothing is.
    type Attempt: Send;

    /// How the service's clients read a failure that is not a common one ([`Fault::common`]); the names of those are the
    /// protocol's. A service that has only common failures needs none.
    fn exception(_error: &Self::Error) -> Exception {
        Exception::new("InternalFailure", StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The text that a client reads.
    fn message(error: &Self::Error) -> String {
        error.to_string()
    }

    /// Told of each call that named an attempt and was refused, before the client hears it. It must not wait.
    fn refused(_cx: &Cx, _attempt: Self::Attempt, _refused: RefusedCall) {}
}

/// How a call was refused, as its client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedCall {
    pub status: u16,
    /// The error's name.
    pub code: &'static str,
    pub message: String,
    /// For want of a permission.
    pub denied: bool,
}

/// A failure of any service's operation.
#[derive(Debug)]
pub struct Failure {
    fault: Box<dyn Fault>,
    /// `None` for a common failure.
    exception: Option<Exception>,
    message: String,
}

impl Failure {
    /// A failure of an operation of `A`.
    pub fn of<A: Api>(error: A::Error) -> Failure {
        let exception = error.common().is_none().then(|| A::exception(&error));
        Failure { message: A::message(&error), exception, fault: Box::new(error) }
    }

    /// The common failure that this one is, if it is one.
    pub fn common(&self) -> Option<&CommonError> {
        self.fault.common()
    }

    /// How the service names it; `None` for a common failure.
    pub fn exception(&self) -> Option<&Exception> {
        self.exception.as_ref()
    }
}

impl From<CommonError> for Failure {
    fn from(error: CommonError) -> Failure {
        Failure { message: error.to_string(), exception: None, fault: Box::new(error) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}
