//! Statements as values: each is written once, and runs alone, in a transaction, or together with others.
use crate::{Error, Row, Value};

/// A statement that finds at most one row by its key, and what the row becomes.
///
/// It runs alone ([`crate::Db::look_up`]) or in a transaction ([`crate::Tx::look_up`], [`crate::Tx::ask`]). Alone it needs none: one
/// statement sees one consistent snapshot.
pub struct Lookup<T> {
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Value>,
    pub(crate) row: fn(Row) -> Result<T, Error>,
}

impl<T> Lookup<T> {
    /// Parameters are `$1`, `$2` … on both engines.
    pub fn new<const N: usize>(sql: &'static str, params: [Value; N], row: fn(Row) -> Result<T, Error>) -> Lookup<T> {
        Lookup { sql, params: Vec::from(params), row }
    }
}

/// A statement that changes one row or none, and may be tried for that: see [`crate::Tx::change`].
pub struct Change {
    pub(crate) sql: &'static str,
    pub(crate) params: Vec<Value>,
}

impl Change {
    /// Parameters are `$1`, `$2` … on both engines.
    pub fn new<const N: usize>(sql: &'static str, params: [Value; N]) -> Change {
        Change { sql, params: Vec::from(params) }
    }
}

/// A look-up of a transaction, to be answered by [`crate::Tx::answer`].
#[must_use]
pub struct Asked<T> {
    pub(crate) sql: &'static str,
    pub(crate) row: fn(Row) -> Result<T, Error>,
    pub(crate) answer: Pending,
}

/// A change of a transaction whose outcome [`crate::Tx::succeeded`] tells.
#[must_use]
pub struct Attempt {
    pub(crate) sql: &'static str,
    pub(crate) answer: Pending,
}

/// An answer that is there, or the number of the statement that it will come for.
pub(crate) enum Pending {
    Known(Answer),
    Waiting(usize),
}

/// What the engine says of a statement.
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

/// What a statement found that is to find at most one row; several are an error.
pub(crate) fn found<T>(sql: &str, mut rows: Vec<Row>, row: fn(Row) -> Result<T, Error>) -> Result<Option<T>, Error> {
    if rows.len() > 1 {
        return Err(Error::misuse(sql, "more than one row where at most one was asked for"));
    }
    rows.pop().map(row).transpose()
}
