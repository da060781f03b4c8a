//! The store of records, whichever engine lies beneath it.
use crate::{Error, Row, Value};
use std::path::PathBuf;

/// A database: cheap to clone.
#[derive(Clone)]
pub struct Db;

pub struct SqliteConfig {
    pub path: PathBuf,
}

pub struct PostgresConfig {
    /// A libpq URL; never logged.
    pub url: String,
    /// Connections at most.
    pub max_connections: usize,
}

impl Db {
    /// Opens (creates) a SQLite database and brings its schema up to date.
    pub async fn sqlite(_config: SqliteConfig) -> Result<Db, Error> { todo!() }
    /// Connects to PostgreSQL and brings the schema up to date (one node at a time, under an advisory lock).
    pub async fn postgres(_config: PostgresConfig) -> Result<Db, Error> { todo!() }

    /// Runs a read-write transaction. It is durable when this returns `Ok`; any `Err` from the closure rolls it back whole.
    /// The closure may run more than once and must have no side effects.
    pub async fn write<T, E, F>(&self, _work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    { todo!() }

    /// Runs a read-only transaction on a consistent snapshot.
    pub async fn read<T, E, F>(&self, _work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    { todo!() }

    /// Whether a transaction can be committed now, for readiness.
    pub async fn check(&self) -> Result<(), Error> { todo!() }

    /// "sqlite" or "postgres".
    pub fn engine(&self) -> &'static str { todo!() }

    /// Stops taking work, lets what runs end, and closes.
    pub async fn close(&self) { todo!() }
}

/// A transaction: runs statements. `records` adds a method for each query.
pub struct Tx<'c> {
    _engine: std::marker::PhantomData<&'c mut ()>,
}

impl Tx<'_> {
    /// All rows. Parameters are `$1`, `$2` … on both engines.
    pub fn query(&mut self, _sql: &'static str, _params: &[Value]) -> Result<Vec<Row>, Error> { todo!() }
    /// The only row, if there is one.
    pub fn query_opt(&mut self, _sql: &'static str, _params: &[Value]) -> Result<Option<Row>, Error> { todo!() }
    /// The number of rows changed.
    pub fn execute(&mut self, _sql: &'static str, _params: &[Value]) -> Result<u64, Error> { todo!() }
}
