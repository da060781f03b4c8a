//! Maps the failures of sessions to STS's exceptions, and leaves the reason out of denials on roles.

use call::{Api, Exception};
use http::StatusCode;
use identity::session::{self, Error};
use kernel::CommonError;

/// The API that STS's operations belong to.
pub struct Sts;

/// The actions whose resource is a role. A denial has no reason, so that a role that does not exist and one that denies look alike
/// (`ECR.md` P).
const ON_ROLES: [&str; 3] = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"];

impl Api for Sts {
    type Error = Error;
    type Attempt = ();

    fn exception(error: &Error) -> Exception {
        match error {
            Error::Denied(_) => Exception::new("AccessDenied", StatusCode::FORBIDDEN),
            Error::MalformedPolicy(_) => Exception::bad("MalformedPolicyDocument"),
            Error::PackedPolicyTooLarge { .. } => Exception::bad("PackedPolicyTooLarge"),
            Error::InvalidContextAssertion(_) => Exception::bad("InvalidContextAssertion"),
            Error::Common(_) => Exception::internal_failure(),
        }
    }

    fn message(error: &Error) -> String {
        match error {
            Error::Common(CommonError::AccessDenied(denial)) if ON_ROLES.contains(&denial.action.as_str()) => {
                session::refusal(&denial.principal, &denial.action, &denial.resource)
            }
            Error::Common(common) => call::check::validation_message(common),
            other => other.to_string(),
        }
    }
}
