//! The errors that operations of all domains can return. Their texts are what a client reads.

use std::borrow::Cow;

/// An error that any operation can return. Each domain's error type wraps it.
#[derive(Debug, thiserror::Error)]
pub enum CommonError {
    /// The denial's text is AWS's (`ECR.md` G.5).
    #[error("{0}")]
    AccessDenied(Box<policy::Denial>),
    #[error("Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'")]
    InvalidParameter { member: Cow<'static, str>, constraint: Constraint },
    /// Too much load. Doors answer 503 with Retry-After.
    #[error("The service is busy; try again")]
    Busy,
    /// A store is full, read-only or unreachable. Doors answer 503 with Retry-After. No change of the call was stored, unless the
    /// outcome is [unknown](CommonError::is_in_doubt). `cure` tells the server's operator what to do.
    #[error("{message}")]
    Unavailable {
        message: &'static str,
        cure: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A fault in Ecru. The client reads only this text. The door logs the cause once.
    #[error("An internal error occurred")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The error type of a service's operations. The doors' pipeline answers a common error for all services. Each door answers the other
/// errors of its service in its own format.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// The common error that this error wraps, if any.
    fn common(&self) -> Option<&CommonError>;
}

impl Fault for CommonError {
    fn common(&self) -> Option<&CommonError> {
        Some(self)
    }
}

/// The constraint that a request member violates (`ECR.md` 0 "Two validation styles").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Constraint {
    #[error("must satisfy regular expression '{0}'")]
    Pattern(&'static str),
    #[error("Member must have length greater than or equal to {0}")]
    MinLength(u64),
    #[error("Member must have length less than or equal to {0}")]
    MaxLength(u64),
    #[error("Member must have value greater than or equal to {0}")]
    MinValue(i64),
    #[error("Member must have value less than or equal to {0}")]
    MaxValue(i64),
    #[error("Member must satisfy enum value set: [{}]", .0.join(", "))]
    Enum(&'static [&'static str]),
    #[error("Member must not be null")]
    Null,
    #[error("{0}")]
    Text(Cow<'static, str>),
}

/// The message of every call after the data directory was removed.
const DATA_REMOVED: &str = "The data directory was removed; put it or a backup back, and restart ecru";
const RESTART: &str = "a start without the directory begins an empty store";
const DATABASE_BACK: &str = "see to the PostgreSQL server and try again: no restart of ecru is needed";
const FREE_SPACE: &str = "free space on the server and try again: no restart is needed";
const MAKE_WRITABLE: &str = "make the server's file system writable and try again";

impl CommonError {
    pub fn invalid(member: impl Into<Cow<'static, str>>, constraint: Constraint) -> CommonError {
        CommonError::InvalidParameter { member: member.into(), constraint }
    }
    /// True if it is unknown whether the call's change was committed.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            CommonError::Server(_) => true,
            CommonError::Unavailable { source, .. } => {
                matches!(source.downcast_ref(), Some(meta::Error::InDoubt(_) | meta::Error::Corrupt(_)))
            }
            CommonError::AccessDenied(_) | CommonError::InvalidParameter { .. } | CommonError::Busy => false,
        }
    }
    pub fn server(cause: impl std::error::Error + Send + Sync + 'static) -> CommonError {
        CommonError::Server(Box::new(cause))
    }
}

impl From<meta::Error> for CommonError {
    fn from(error: meta::Error) -> CommonError {
        match error {
            meta::Error::Busy => CommonError::Busy,
            meta::Error::Full(_) => CommonError::Unavailable {
                message: "No space left for metadata; nothing was stored",
                cure: FREE_SPACE,
                source: Box::new(error),
            },
            meta::Error::ReadOnly(_) => CommonError::Unavailable {
                message: "The metadata store is read-only; nothing was stored",
                cure: MAKE_WRITABLE,
                source: Box::new(error),
            },
            meta::Error::Corrupt(_) => CommonError::Unavailable {
                message: "The database is damaged",
                cure: "have the server's operator restore a backup (`ecru restore`)",
                source: Box::new(error),
            },
            meta::Error::Unreachable(_) => CommonError::Unavailable {
                message: "The database can't be reached; nothing was stored",
                cure: DATABASE_BACK,
                source: Box::new(error),
            },
            meta::Error::InDoubt(_) => CommonError::Unavailable {
                message: "The database was lost while it stored the change; try again",
                cure: DATABASE_BACK,
                source: Box::new(error),
            },
            meta::Error::Removed => {
                CommonError::Unavailable { message: DATA_REMOVED, cure: RESTART, source: Box::new(error) }
            }
            meta::Error::Closed => {
                let (message, cure) = ("The service is shutting down", "try again when it has started");
                CommonError::Unavailable { message, cure, source: Box::new(error) }
            }
            other => CommonError::Server(Box::new(other)),
        }
    }
}

impl From<blob::Error> for CommonError {
    fn from(error: blob::Error) -> CommonError {
        match error {
            blob::Error::Busy => CommonError::Busy,
            blob::Error::Full(_) => CommonError::Unavailable {
                message: "No space left for layers; nothing was stored",
                cure: FREE_SPACE,
                source: Box::new(error),
            },
            blob::Error::Removed => {
                CommonError::Unavailable { message: DATA_REMOVED, cure: RESTART, source: Box::new(error) }
            }
            blob::Error::ReadOnly(_) => CommonError::Unavailable {
                message: "The layer store is read-only; nothing was stored",
                cure: MAKE_WRITABLE,
                source: Box::new(error),
            },
            other => CommonError::Server(Box::new(other)),
        }
    }
}

/// Displays an error and its causes on one line, for the log.
pub struct ErrorChain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
