//! The outcome of an evaluation, and the words of a refusal.

use std::fmt;

/// Whether a request is allowed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allowed { by: Grant },
    Denied { reason: Denial },
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed { .. })
    }
}

/// What allowed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The account's root principal may do everything in its account.
    Root,
    IdentityPolicy,
    /// The resource's own policy; across accounts, together with the caller's identity policies.
    ResourcePolicy,
}

/// A refusal, which displays as AWS words it (`ECR.md` G.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The caller's ARN, or what stands for it.
    pub principal: String,
    pub action: String,
    pub resource: String,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No policy of this kind allows it.
    NoAllow(PolicyKind),
    /// A policy of this kind denies it.
    ExplicitDeny(PolicyKind),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    Identity,
    Resource,
    Boundary,
    Session,
}

impl PolicyKind {
    fn name(self) -> &'static str {
        match self {
            PolicyKind::Identity => "identity-based policy",
            PolicyKind::Resource => "resource-based policy",
            PolicyKind::Boundary => "permissions boundary",
            PolicyKind::Session => "session policy",
        }
    }

    fn article(self) -> &'static str {
        match self {
            PolicyKind::Identity => "an",
            PolicyKind::Resource | PolicyKind::Boundary | PolicyKind::Session => "a",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { principal, action, resource, cause } = self;
        write!(f, "User: {principal} is not authorized to perform: {action} on resource: {resource} ")?;
        match cause {
            Cause::NoAllow(kind) => {
                write!(f, "because no {} allows the {action} action", kind.name())
            }
            Cause::ExplicitDeny(kind) => {
                write!(f, "with an explicit deny in {} {}", kind.article(), kind.name())
            }
        }
    }
}
