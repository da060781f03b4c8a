//! The decision of an evaluation, and the text of a denial.

use std::fmt;
use std::sync::Arc;

/// The decision on a request, with its reason.
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

/// The reason of an allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub basis: GrantBasis,
    /// The statements that together allow the request: one of each kind of policy that had to allow it. Empty for the root principal
    /// of an account without service control policies.
    pub statements: Vec<DecidingStatement>,
}

/// What allows a request in the first place. Boundaries, session policies and service control policies only limit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantBasis {
    /// The root principal is allowed everything in its own account.
    Root,
    IdentityPolicy,
    /// The resource's own policy. For a caller in another account also the caller's identity policies.
    ResourcePolicy,
}

/// A denial. Its text is AWS's (`ECR.md` G.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The caller's ARN, the service's name, or `anonymous`.
    pub principal: String,
    pub action: String,
    pub resource: String,
    pub cause: Cause,
    /// The first statement that denies the request. `None` if no statement denies it.
    pub statement: Option<DecidingStatement>,
}

/// A statement that allows or denies a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidingStatement {
    pub kind: PolicyKind,
    /// The name of its policy, from [`AttachedPolicy::name`](crate::AttachedPolicy::name).
    pub policy: Arc<str>,
    /// Its place in its policy, from 0.
    pub index: usize,
    /// Its Sid, if it has one.
    pub sid: Option<Arc<str>>,
}

/// The reason of a denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No policy of this kind allows it.
    NoAllow(PolicyKind),
    /// A policy of this kind denies it.
    ExplicitDeny(PolicyKind),
}

/// A kind of policy, by what the policy is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Of the account that the caller belongs to.
    Control,
    Identity,
    /// The resource's own, such as a repository's.
    Resource,
    /// The trust policy of the role that is the resource.
    Trust,
    /// Of the registry that the resource is in.
    Registry,
    Boundary,
    Session,
}

impl PolicyKind {
    fn name(self) -> &'static str {
        match self {
            PolicyKind::Control => "service control policy",
            PolicyKind::Identity => "identity-based policy",
            PolicyKind::Resource | PolicyKind::Registry => "resource-based policy",
            PolicyKind::Trust => "role trust policy",
            PolicyKind::Boundary => "permissions boundary",
            PolicyKind::Session => "session policy",
        }
    }

    fn article(self) -> &'static str {
        match self {
            PolicyKind::Identity => "an",
            PolicyKind::Trust => "the",
            PolicyKind::Control
            | PolicyKind::Resource
            | PolicyKind::Registry
            | PolicyKind::Boundary
            | PolicyKind::Session => "a",
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denial { principal, action, resource, cause, statement: _ } = self;
        write!(f, "User: {principal} is not authorized to perform: {action} on resource: {resource} ")?;
        match cause {
            Cause::NoAllow(kind) => write!(f, "because no {} allows the {action} action", kind.name()),
            Cause::ExplicitDeny(kind) => write!(f, "with an explicit deny in {} {}", kind.article(), kind.name()),
        }
    }
}
