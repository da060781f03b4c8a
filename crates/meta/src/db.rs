//! The store of records, whichever engine lies beneath it.
use crate::job::job;
use crate::migrate::PROBE_PUT;
use crate::stats::{Counters, Stats};
use crate::{Error, Row, Value, postgres, sqlite};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A database: cheap to clone.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<sqlite::Store>),
    Postgres(Arc<postgres::Store>),
}

/// Where a SQLite database lies.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    pub path: PathBuf,
    /// The time to record for migrations, in microseconds since 1970 UTC.
    pub now_us: i64,
}

/// How to reach a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresConfig {
    /// A libpq URL; never logged.
    pub url: String,
    /// Connections at most.
    pub max_connections: usize,
    /// The time to record for migrations, in microseconds since 1970 UTC.
    pub now_us: i64,
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens (creates) a SQLite database and brings its schema up to date.
    pub async fn sqlite(config: SqliteConfig) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Sqlite(Arc::new(sqlite::Store::open(config).await?)) })
    }

    /// Connects to PostgreSQL and brings the schema up to date (one node at a time, under an advisory lock).
    pub async fn postgres(config: PostgresConfig) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Postgres(Arc::new(postgres::Store::open(config).await?)) })
    }

    /// Runs a read-write transaction. It is durable when this returns `Ok`; any `Err` from the closure rolls it back whole.
    /// The closure may run more than once and must have no side effects.
    ///
    /// `Busy`, `Full`, `ReadOnly` and `Closed` mean that nothing was kept. After another `Error` that came from the commit
    /// itself (a lost connection, a failing disk) the outcome is unknown, as it is to a caller who stops waiting.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job(work);
        match &self.engine {
            Engine::Sqlite(store) => store.write(job),
            Engine::Postgres(store) => store.write(job).await,
        }
        // An engine answers every job that it was given, unless it ended.
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Runs a read-only transaction on a consistent snapshot.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let store = match &self.engine {
            Engine::Sqlite(store) => return store.read(&work),
            Engine::Postgres(store) => store,
        };
        let (job, answer) = job(work);
        store.read(job).await;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Whether a transaction can be committed now, for readiness: commits a small one.
    pub async fn check(&self) -> Result<(), Error> {
        self.write(|tx| tx.execute(PROBE_PUT, &[]).map(drop)).await
    }

    /// "sqlite" or "postgres".
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// What this store has done since it was opened.
    pub fn stats(&self) -> Stats {
        match &self.engine {
            Engine::Sqlite(store) => store.stats(),
            Engine::Postgres(store) => store.stats(),
        }
    }

    /// Stops taking work, lets what runs end, and closes.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(store) => store.close().await,
            Engine::Postgres(store) => store.close().await,
        }
    }
}

/// A transaction: runs statements. `records` adds a method for each query.
///
/// After a statement failed every further one answers [`Error::Poisoned`], and the transaction is rolled back whatever the
/// closure returns.
pub struct Tx<'c> {
    session: Session<'c>,
    counters: &'c Counters,
    failure: Option<Error>,
}

/// The connection that a transaction runs on.
pub(crate) enum Session<'c> {
    Sqlite(&'c mut sqlite::Connection),
    Postgres(&'c mut postgres::Session),
}

impl<'c> Tx<'c> {
    pub(crate) fn new(session: Session<'c>, counters: &'c Counters) -> Tx<'c> {
        Tx { session, counters, failure: None }
    }

    /// The first statement's error, if one failed.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }
}

impl Tx<'_> {
    /// All rows. Parameters are `$1`, `$2` … on both engines.
    pub fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.statement(sql, holds_nul(params), 1, |session| match session {
            Session::Sqlite(connection) => connection.query(sql, params),
            Session::Postgres(session) => session.query(sql, params),
        })
    }

    /// The only row, if there is one; several are an error.
    pub fn query_opt(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, Error> {
        let mut rows = self.query(sql, params)?;
        if rows.len() > 1 {
            let error = Error::misuse(sql, "more than one row where at most one was asked for");
            self.failure = Some(error.clone());
            return Err(error);
        }
        Ok(rows.pop())
    }

    /// The rows of one statement for each of several sets of parameters. On PostgreSQL all of them go out together and cost
    /// one exchange with the server.
    pub fn query_each(&mut self, sql: &'static str, sets: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, Error> {
        let nul = sets.iter().any(|params| holds_nul(params));
        self.statement(sql, nul, sets.len(), |session| match session {
            Session::Sqlite(connection) => sets.iter().map(|params| connection.query(sql, params)).collect(),
            Session::Postgres(session) => session.query_each(sql, sets),
        })
    }

    /// The number of rows changed.
    pub fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.statement(sql, holds_nul(params), 1, |session| match session {
            Session::Sqlite(connection) => connection.execute(sql, params),
            Session::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs a statement whose effect need not be known. On PostgreSQL it goes out with the next statement, or with the commit,
    /// and costs no exchange of its own; if it fails, they do.
    pub fn send<const N: usize>(&mut self, sql: &'static str, params: [Value; N]) -> Result<(), Error> {
        self.statement(sql, holds_nul(&params), 1, |session| match session {
            Session::Sqlite(connection) => connection.execute(sql, &params).map(drop),
            Session::Postgres(session) => session.send(sql, Vec::from(params)),
        })
    }

    /// Runs a statement, `times` times, unless one failed before.
    fn statement<R>(
        &mut self,
        sql: &'static str,
        nul: bool,
        times: usize,
        run: impl FnOnce(&mut Session<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.failure.is_some() {
            return Err(Error::Poisoned);
        }
        self.counters.stated(times as u64);
        let result = if nul {
            // PostgreSQL's text can't hold it, so neither engine takes it.
            Err(Error::misuse(sql, "a text parameter holds a NUL character"))
        } else {
            run(&mut self.session)
        };
        self.failure = result.as_ref().err().cloned();
        result
    }
}

fn holds_nul(params: &[Value]) -> bool {
    params.iter().any(Value::holds_nul)
}
