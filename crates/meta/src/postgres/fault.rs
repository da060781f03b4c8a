//! Classifies and translates PostgreSQL's errors.

use crate::Error;
use std::sync::Arc;
use tokio_postgres::error::{DbError, SqlState};

/// The class of a failure, which decides whether the engine retries the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Another transaction conflicts. The same transaction may succeed when it runs again.
    Conflict,
    /// A unique key exists. If it was just inserted by another transaction, the closure would now read it.
    Duplicate,
    /// The connection is lost.
    Lost,
    /// The server did not answer in time. The connection must be closed, because a late answer could be mistaken for another one.
    Late,
    Other,
}

pub(super) fn class(error: &tokio_postgres::Error) -> Class {
    match error.code() {
        Some(code) if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) => {
            Class::Conflict
        }
        Some(&SqlState::UNIQUE_VIOLATION) => Class::Duplicate,
        Some(code) if is_loss(code) => Class::Lost,
        Some(_) => Class::Other,
        None if error.is_closed() || is_io(error) => Class::Lost,
        None => Class::Other,
    }
}

fn is_loss(code: &SqlState) -> bool {
    let ends = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        SqlState::IDLE_SESSION_TIMEOUT,
        SqlState::DATABASE_DROPPED,
    ];
    ends.contains(code) || code.code().starts_with("08")
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// Translates an error. `context` names the operation that failed.
pub(super) fn error(context: &str, error: tokio_postgres::Error) -> Error {
    let lost = class(&error) == Class::Lost;
    let Some(refusal) = error.as_db_error() else {
        let cause = Arc::new(error);
        return if lost { Error::Unreachable(cause) } else { Error::Store(context.to_owned(), cause) };
    };
    let cause = Arc::new(Refusal::from(refusal));
    let busy = [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::QUERY_CANCELED,
        SqlState::LOCK_NOT_AVAILABLE,
        // "out of shared memory": there is no memory for another lock.
        SqlState::OUT_OF_MEMORY,
    ];
    match refusal.code() {
        _ if lost => Error::Unreachable(cause),
        code if busy.contains(code) => Error::Busy,
        &SqlState::DISK_FULL => Error::Full(cause),
        &SqlState::READ_ONLY_SQL_TRANSACTION => Error::ReadOnly(cause),
        _ => Error::Store(context.to_owned(), cause),
    }
}

/// The server's message, without the detail, which quotes the row's values.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Refusal {
    code: String,
    message: String,
}

impl From<&DbError> for Refusal {
    fn from(error: &DbError) -> Refusal {
        Refusal { code: error.code().code().to_owned(), message: error.message().to_owned() }
    }
}
