//! Statements as values, so that the same statement can run alone, in a transaction, or together with others.

use crate::{Error, Row, Value};

/// A statement that finds at most one row by its key, and the function that reads the row.
///
/// It runs alone ([`crate::Db::look_up`]) or in a transaction ([`crate::Tx::look_up`], [`crate::Tx::ask`]). One statement sees one
/// consistent snapshot, so alone it needs no transaction.
pub struct Lookup<T> {
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Value>,
    pub(crate) row: fn(Row) -> Result<T, Error>,
}

impl<T> Lookup<T> {
    /// Creates a look-up. Parameters are `$1`, `$2` … on both engines.
    pub fn new<const N: usize>(sql: &'static str, params: [Value; N], row: fn(Row) -> Result<T, Error>) -> Lookup<T> {
        Lookup { sql, params: Vec::from(params), row }
    }
}

/// A statement that changes at most one row. [`crate::Tx::change`] tells whether it did.
pub struct Change {
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Value>,
}

impl Change {
    /// Creates a change. Parameters are `$1`, `$2` … on both engines.
    pub fn new<const N: usize>(sql: &'static str, params: [Value; N]) -> Change {
        Change { sql, params: Vec::from(params) }
    }
}

/// A look-up in progress in a transaction. [`crate::Tx::answer`] returns its row.
#[must_use]
pub struct PendingRow<T> {
    pub(crate) sql: &'static str,
    pub(crate) row: fn(Row) -> Result<T, Error>,
    pub(crate) answer: Pending,
}

impl<T> PendingRow<T> {
    /// True if the engine has already answered that there is no such row. SQLite answers at once. PostgreSQL has not answered yet.
    pub fn found_nothing(&self) -> bool {
        matches!(&self.answer, Pending::Known(Answer::Rows(rows)) if rows.is_empty())
    }
}

/// A change in progress in a transaction. [`crate::Tx::succeeded`] returns its outcome.
#[must_use]
pub struct PendingChange {
    pub(crate) sql: &'static str,
    pub(crate) answer: Pending,
}

impl PendingChange {
    /// True if the engine has already answered that the change affected no row. SQLite answers at once. PostgreSQL has not answered yet.
    pub fn changed_nothing(&self) -> bool {
        matches!(&self.answer, Pending::Known(Answer::Changed(0)))
    }
}

/// An answer, or the number of the statement whose answer is still to come.
pub(crate) enum Pending {
    Known(Answer),
    Waiting(usize),
}

/// An engine's answer to a statement.
#[derive(Debug)]
pub(crate) enum Answer {
    Rows(Vec<Row>),
    Changed(u64),
}

impl Answer {
    pub(crate) fn rows(self) -> Vec<Row> {
        match self {
            Answer::Rows(rows) => rows,
            Answer::Changed(_) => Vec::new(),
        }
    }

    pub(crate) fn changed(&self) -> u64 {
        match self {
            Answer::Rows(_) => 0,
            Answer::Changed(rows) => *rows,
        }
    }
}

/// Reads the row of a statement that must find at most one. Several rows are an error.
pub(crate) fn found<T>(sql: &str, mut rows: Vec<Row>, row: fn(Row) -> Result<T, Error>) -> Result<Option<T>, Error> {
    if rows.len() > 1 {
        return Err(Error::misuse(sql, "the statement found more than one row"));
    }
    rows.pop().map(row).transpose()
}
