//! The errors of the domain. Variants have IAM's exception names, and Display is the message that a client reads.

use kernel::{CommonError, Constraint, Fault};
use meta::records::iam::EntityKind;
use std::borrow::Cow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every domain may return: denied, invalid, busy, unavailable, or an internal failure.
    #[error(transparent)]
    Common(#[from] CommonError),
    #[error("{0}")]
    NoSuchEntity(String),
    #[error("{0}")]
    EntityAlreadyExists(String),
    #[error("{0}")]
    LimitExceeded(String),
    /// An entity can't be deleted before what belongs to it.
    #[error("Cannot delete entity, {0}")]
    DeleteConflict(&'static str),
    /// A managed policy or a version of it can't be deleted.
    #[error("{0}")]
    PolicyInUse(&'static str),
    #[error("{0}")]
    MalformedPolicyDocument(String),
    #[error("{0}")]
    InvalidInput(String),
    /// A service-linked role is changed by its service alone.
    #[error("{0}")]
    UnmodifiableEntity(String),
    #[error("{0}")]
    PolicyNotAttachable(String),
    /// A policy of AWS can't be changed. In AWS's words.
    #[error("Policy is outside your own account.")]
    ForeignPolicy,
}

impl Error {
    pub fn invalid(member: impl Into<Cow<'static, str>>, constraint: Constraint) -> Error {
        CommonError::invalid(member, constraint).into()
    }

    /// The error for an entity that does not exist, in AWS's words.
    pub fn no_such(kind: EntityKind, name: &str) -> Error {
        Error::NoSuchEntity(match kind {
            EntityKind::InstanceProfile => format!("Instance Profile {name} cannot be found."),
            EntityKind::Policy => format!("Policy {name} was not found."),
            kind => format!("The {} with name {name} cannot be found.", kind.name()),
        })
    }

    /// The error for a name that is taken, in AWS's words.
    pub fn exists(kind: EntityKind, name: &str) -> Error {
        Error::EntityAlreadyExists(match kind {
            EntityKind::User => format!("User with name {name} already exists."),
            EntityKind::Group => format!("Group with name {name} already exists."),
            EntityKind::Role => format!("Role with name {name} already exists."),
            EntityKind::InstanceProfile => format!("Instance Profile {name} already exists."),
            EntityKind::Policy => format!("A policy called {name} already exists. Duplicate names are not allowed."),
        })
    }

    /// The error for one too many, in AWS's words. `quota` is its name, such as `UsersPerAccount`.
    pub fn over(quota: &str, most: usize) -> Error {
        Error::LimitExceeded(format!("Cannot exceed quota for {quota}: {most}"))
    }
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
