//! Why a transaction failed.
use std::sync::Arc;
use std::time::Duration;

/// Display carries the context, `source` the cause. Cloneable, because one failed commit fails a whole group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Conflicts outlasted the retries, or the queue of writers is full: try again.
    #[error("the metadata store is busy")]
    Busy,
    /// The disk is full. Nothing of the transaction was kept.
    #[error("no space left for metadata")]
    Full(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store can't be written. Nothing of the transaction was kept.
    #[error("the metadata store is read-only")]
    ReadOnly(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The database server is down, or did not answer in time. Nothing of the transaction was kept.
    #[error("the metadata store can't be reached")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The connection was lost, or the answer was late, while the transaction was committed: it was kept whole, or not at all.
    #[error("the metadata store can't be reached, and nobody knows whether the transaction was committed")]
    InDoubt(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The database's file is no longer where it was opened. Nothing that is written now would be found again.
    #[error("the database's file was removed or replaced while it was open")]
    Removed,
    #[error("the metadata store failed: {0}")]
    Store(String, #[source] Arc<dyn std::error::Error + Send + Sync>),
    #[error("column {0} holds another type than its reader expects")]
    Column(usize),
    /// A panic inside a transaction's closure; the transaction was rolled back.
    #[error("a transaction panicked")]
    Panicked,
    /// A statement failed earlier in this transaction and the closure went on.
    #[error("a statement of this transaction failed before")]
    Poisoned,
    #[error("the database's format {found} is newer than this program's {known}")]
    Newer { found: i64, known: i64 },
    #[error(
        "the database's format {found} is older than this program's {known}; a start of `ecru serve` brings it up to date"
    )]
    Older { found: i64, known: i64 },
    /// A part of the database is not what was written, or is gone.
    #[error("the database is damaged: stop ecru and restore a backup (`ecru restore`)")]
    Corrupt(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A database that must be empty is not.
    #[error("the database holds records already; name an empty one")]
    Occupied,
    /// There is no database, or one that holds nothing of Ecru's.
    #[error("there are no records of ecru")]
    Absent,
    #[error("the metadata store is shutting down")]
    Closed,
}

/// What is wrong with a damaged database.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damage(pub(crate) String);

/// A statement that no engine should have been given: a fault of the program.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misuse(&'static str);

/// What a database server failed to do.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: no answer in {} s", limit.as_secs())]
struct NoAnswer {
    doing: String,
    limit: Duration,
}

impl Error {
    /// A wait for the database server that was given up after `limit`.
    pub(crate) fn no_answer(doing: &str, limit: Duration) -> Error {
        Error::Unreachable(Arc::new(NoAnswer { doing: doing.to_owned(), limit }))
    }

    /// The same failure, of a commit: its outcome is unknown if the server could not be reached.
    pub(crate) fn of_commit(self) -> Error {
        match self {
            Error::Unreachable(cause) => Error::InDoubt(cause),
            other => other,
        }
    }

    /// The same failure, of a connection that was being made: whatever the reason, the server can't be reached now.
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

/// How much of a statement's text an error shows. The text holds no values, only parameters.
const STATEMENT_SHOWN: usize = 60;

/// The beginning of a statement, for an error.
pub(crate) fn statement(sql: &str) -> String {
    sql.chars().take(STATEMENT_SHOWN).collect()
}
