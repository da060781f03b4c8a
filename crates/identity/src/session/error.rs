//! The errors of sessions, with STS's texts.

use crate::Cx;
use kernel::{CommonError, Constraint, Fault};
use std::borrow::Cow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every domain may return: denied, invalid, busy, unavailable, or an internal failure.
    #[error(transparent)]
    Common(#[from] CommonError),
    /// AccessDenied.
    #[error("{0}")]
    Denied(String),
    #[error("{0}")]
    MalformedPolicy(String),
    #[error("Packed policy consumes {percent}% of allotted space, please use smaller policy.")]
    PackedPolicyTooLarge { percent: u32 },
    #[error("{0}")]
    InvalidContextAssertion(&'static str),
}

impl Error {
    /// A ValidationError with this text.
    pub fn invalid(text: impl Into<Cow<'static, str>>) -> Error {
        CommonError::invalid("", Constraint::Text(text.into())).into()
    }

    /// The denial of an action on a role. It has no reason, so that a role that does not exist and one that denies look alike.
    pub fn not_authorized(cx: &Cx, action: &str, role_arn: &str) -> Error {
        Error::Denied(refusal(&cx.caller_arn(), action, role_arn))
    }
}

/// AWS's text of a denial without its reason.
pub fn refusal(principal: &str, action: &str, resource: &str) -> String {
    format!("User: {principal} is not authorized to perform: {action} on resource: {resource}")
}

impl Fault for Error {
    fn common(&self) -> Option<&CommonError> {
        if let Error::Common(common) = self { Some(common) } else { None }
    }
}

impl From<meta::Error> for Error {
    fn from(error: meta::Error) -> Error {
        Error::Common(error.into())
    }
}
