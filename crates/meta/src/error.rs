//! The errors of the metadata store.

use std::sync::Arc;
use std::time::Duration;

/// Why a transaction or a look-up failed. Display gives the context, `source` the cause.
///
/// It is cloneable, because one failed commit fails a whole batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Conflicts outlasted the retries, or the queue of writers is full. The caller may try again.
    #[error("the metadata store is busy")]
    Busy,
    /// The disk is full. The transaction was rolled back.
    #[error("no space left for metadata")]
    Full(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store can't be written. The transaction was rolled back.
    #[error("the metadata store is read-only")]
    ReadOnly(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The database server is down, or did not answer in time. The transaction was rolled back.
    #[error("the metadata store can't be reached")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The connection was lost, or the answer was late, during the commit. The transaction was committed or rolled back as a whole.
    #[error("the metadata store can't be reached, and it is unknown whether the transaction was committed")]
    InDoubt(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The database's file was removed or replaced, so new writes would be lost.
    #[error("the database's file was removed or replaced while it was open")]
    Removed,
    #[error("the metadata store failed: {0}")]
    Store(String, #[source] Arc<dyn std::error::Error + Send + Sync>),
    #[error("column {0} has another type than its reader expects")]
    Column(usize),
    /// The closure panicked, and the transaction was rolled back.
    #[error("a transaction panicked")]
    Panicked,
    /// A statement failed earlier in this transaction, and the closure continued.
    #[error("an earlier statement of this transaction failed")]
    Poisoned,
    #[error("the database's format {found} is newer than this program's {known}")]
    Newer { found: i64, known: i64 },
    #[error("the database's format {found} is older than this program's {known}; start `ecru serve` to update it")]
    Older { found: i64, known: i64 },
    /// A part of the database is missing or differs from what was written.
    #[error("the database is damaged: stop ecru and restore a backup (`ecru restore`)")]
    Corrupt(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A database that must be empty has records.
    #[error("the database already has records; name an empty one")]
    Occupied,
    /// There is no database, or it was not made by Ecru.
    #[error("there are no records of ecru")]
    Absent,
    #[error("the metadata store is shutting down")]
    Closed,
}

/// The description of a damage.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damage(pub(crate) String);

/// Why a statement or a setting is refused before an engine runs it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(&'static str);

/// The database server did not answer within a limit.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: no answer in {} s", limit.as_secs())]
struct NoAnswer {
    doing: String,
    limit: Duration,
}

impl Error {
    /// Returns the error for a wait for the database server that exceeded `limit`.
    pub(crate) fn no_answer(doing: &str, limit: Duration) -> Error {
        Error::Unreachable(Arc::new(NoAnswer { doing: doing.to_owned(), limit }))
    }

    /// Converts the error of a commit: if the server could not be reached, the outcome is unknown.
    pub(crate) fn of_commit(self) -> Error {
        match self {
            Error::Unreachable(cause) => Error::InDoubt(cause),
            other => other,
        }
    }

    /// Converts the error of connecting: for any other reason too, the server can't be reached now.
    pub(crate) fn of_connecting(self) -> Error {
        match self {
            Error::Store(_, cause) => Error::Unreachable(cause),
            other => other,
        }
    }

    pub(crate) fn misuse(sql: &str, reason: &'static str) -> Error {
        Error::Store(statement(sql), Arc::new(Misuse(reason)))
    }

    pub(crate) fn damaged() -> Error {
        Error::Corrupt(Arc::new(Damage("damage was met before; the log says where".to_owned())))
    }

    pub(crate) fn refused(context: &str, reason: &'static str) -> Error {
        Error::Store(context.to_owned(), Arc::new(Misuse(reason)))
    }
}

/// The number of characters of a statement that an error shows. A statement contains parameters, but no values.
const STATEMENT_SHOWN: usize = 60;

/// Returns the beginning of a statement, for an error.
pub(crate) fn statement(sql: &str) -> String {
    sql.chars().take(STATEMENT_SHOWN).collect()
}
