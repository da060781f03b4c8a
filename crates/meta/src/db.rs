//! The store of records, over either engine.

use crate::job::job;
use crate::migrate::PROBE_PUT;
use crate::statement::{Answer, Change, Lookup, Pending, PendingChange, PendingRow, found};
use crate::stats::{Counters, DatabaseStats};
use crate::{Error, Row, Value, postgres, sqlite};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A database. Clones are cheap and share it.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
}

#[derive(Clone)]
enum Engine {
    Sqlite(Arc<sqlite::Store>),
    Postgres(Arc<postgres::Store>),
}

/// The settings of a SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteConfig {
    pub path: PathBuf,
    /// The time to record for migrations, in microseconds since 1970 UTC.
    pub now_us: i64,
}

/// The settings of a PostgreSQL database.
#[derive(Clone)]
pub struct PostgresConfig {
    /// A libpq URL. It may contain a password, and is never logged.
    pub url: String,
    /// The most connections. At least 2 are used, one for look-ups and one for transactions.
    pub max_connections: usize,
    /// The longest wait for an answer of the server. After it the call fails and its connection is closed.
    pub timeout: Duration,
    /// The time to record for migrations, in microseconds since 1970 UTC.
    pub now_us: i64,
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("max_connections", &self.max_connections)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Db {
    /// Opens a SQLite database, creates it if it is missing, and brings its schema up to date.
    pub async fn sqlite(config: SqliteConfig) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Sqlite(Arc::new(sqlite::Store::open(config).await?)) })
    }

    /// Connects to PostgreSQL and brings the schema up to date (one node at a time, under an advisory lock).
    pub async fn postgres(config: PostgresConfig) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Postgres(Arc::new(postgres::Store::open(config).await?)) })
    }

    /// Opens an existing SQLite database, beside a server that may be running. Creates and migrates nothing.
    ///
    /// Fails with [`Error::Absent`] if there is none, and with [`Error::Older`] or [`Error::Newer`] if its version is not this program's.
    pub async fn attach_sqlite(path: PathBuf) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Sqlite(Arc::new(sqlite::Store::attach(path).await?)) })
    }

    /// Does the same for a PostgreSQL database. `max_connections` and `timeout` are as in [`PostgresConfig`].
    pub async fn attach_postgres(url: &str, max_connections: usize, timeout: Duration) -> Result<Db, Error> {
        let store = postgres::Store::attach(url, max_connections, timeout).await?;
        Ok(Db { engine: Engine::Postgres(Arc::new(store)) })
    }

    /// Runs a read-write transaction. After `Ok` it is durable. Any `Err` from the closure rolls it back.
    /// The closure may run more than once and must have no side effects.
    ///
    /// After `Busy`, `Full`, `ReadOnly`, `Unreachable` and `Closed` the transaction is rolled back. After `InDoubt`, or another `Error`
    /// of the commit itself (a failing disk), the outcome is unknown. It is also unknown to a caller who drops the future.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(work, false).await
    }

    /// Runs a read-write transaction that frees space. On a full disk it may use the reserve of [`Db::keep_back`].
    pub async fn write_to_free<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(work, true).await
    }

    /// Runs a transaction of one statement that claims a free row of a queue (`FOR UPDATE SKIP LOCKED`).
    ///
    /// On PostgreSQL it is READ COMMITTED, so that concurrent claims do not conflict. On SQLite it is [`Db::write_to_free`].
    pub async fn claim<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let store = match &self.engine {
            Engine::Sqlite(_) => return self.run(work, true).await,
            Engine::Postgres(store) => store,
        };
        let (job, answer) = job(work, true);
        store.claim(job).await;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    async fn run<T, E, F>(&self, work: F, frees: bool) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (job, answer) = job(work, frees);
        match &self.engine {
            Engine::Sqlite(store) => store.write(job).await,
            Engine::Postgres(store) => store.write(job).await,
        }
        // An engine answers every job, unless it has ended.
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
        let (job, answer) = job(work, false);
        store.read(job).await;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Finds one row, without a transaction. It sees everything that was committed before.
    pub async fn look_up<T>(&self, lookup: Lookup<T>) -> Result<Option<T>, Error> {
        let (sql, params) = (lookup.sql, lookup.params.as_slice());
        no_nul(sql, params)?;
        let rows = match &self.engine {
            Engine::Sqlite(store) => store.look_up(sql, params)?,
            Engine::Postgres(store) => store.look_up(sql, params).await?,
        };
        found(sql, rows, lookup.row)
    }

    /// Copies a snapshot of the records into a new SQLite file with this schema, while the database is in use.
    ///
    /// Upload sessions are left out. An existing file is replaced. After an error the copy is incomplete.
    pub async fn copy_to(&self, path: PathBuf, now_us: i64) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(store) => store.copy_to(path).await,
            Engine::Postgres(store) => store.copy_to(path, now_us).await,
        }
    }

    /// Fills an empty PostgreSQL database with all records of a SQLite file with this schema, or with none after an error.
    ///
    /// Fails with [`Error::Occupied`] if the database has records. A SQLite database is refused, because its file can be copied.
    pub async fn fill_from(&self, path: PathBuf) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(_) => Err(Error::refused("filling the database", "it is a SQLite database")),
            Engine::Postgres(store) => store.fill_from(path).await,
        }
    }

    /// Reads a whole SQLite database to find damage, while the database is in use. PostgreSQL has its own tools for that.
    ///
    /// Fails with [`Error::Corrupt`] if there is damage. The damage is logged, and [`Db::check`] fails from then on.
    pub async fn check_whole(&self) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(store) => store.check_whole().await,
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Commits a small transaction, for the readiness probe. Fails with [`Error::Corrupt`] once damage was found.
    pub async fn check(&self) -> Result<(), Error> {
        if let Engine::Sqlite(store) = &self.engine
            && store.is_damaged()
        {
            return Err(Error::damaged());
        }
        self.write(|tx| tx.execute(PROBE_PUT, &[]).map(drop)).await
    }

    /// Reserves bytes of the disk for [`Db::write_to_free`], in a file next to the database. On a small disk it reserves fewer.
    ///
    /// Does nothing on PostgreSQL. Blocks until the file is written.
    pub fn keep_back(&self, bytes: u64) {
        match &self.engine {
            Engine::Sqlite(store) => store.keep_back(bytes),
            Engine::Postgres(_) => {}
        }
    }

    /// Returns "sqlite" or "postgres".
    pub fn engine(&self) -> &'static str {
        match self.engine {
            Engine::Sqlite(_) => "sqlite",
            Engine::Postgres(_) => "postgres",
        }
    }

    /// Returns the counters since the store was opened.
    pub fn stats(&self) -> DatabaseStats {
        match &self.engine {
            Engine::Sqlite(store) => store.stats(),
            Engine::Postgres(store) => store.stats(),
        }
    }

    /// Refuses new work, waits for running transactions, and closes the database.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(store) => store.close().await,
            Engine::Postgres(store) => store.close().await,
        }
    }
}

/// A transaction, which runs statements. `records` adds a method for each query.
///
/// After a statement has failed, every later one fails with [`Error::Poisoned`], and the transaction is rolled back even if the closure
/// returns `Ok`.
pub struct Tx<'c> {
    session: Session<'c>,
    counters: &'c Counters,
    failure: Option<Error>,
}

/// The connection of a transaction.
pub(crate) enum Session<'c> {
    Sqlite(&'c mut sqlite::Connection),
    Postgres(&'c mut postgres::Session),
}

impl<'c> Tx<'c> {
    pub(crate) fn new(session: Session<'c>, counters: &'c Counters) -> Tx<'c> {
        Tx { session, counters, failure: None }
    }

    /// Returns the error of the first failed statement, if there is one.
    pub(crate) fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }
}

impl Tx<'_> {
    /// True if the engine answers a statement when it is run, as SQLite does. PostgreSQL answers with the next awaited statement.
    pub fn answers_at_once(&self) -> bool {
        matches!(self.session, Session::Sqlite(_))
    }

    /// Returns all rows of a query. Parameters are `$1`, `$2` … on both engines.
    pub fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.statement(no_nul(sql, params), |session| match session {
            Session::Sqlite(connection) => connection.query(sql, params),
            Session::Postgres(session) => session.query(sql, params),
        })
    }

    /// Returns the row of a query that finds at most one. Several rows are an error.
    pub fn query_opt(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, Error> {
        let mut rows = self.query(sql, params)?;
        if rows.len() > 1 {
            let error = Error::misuse(sql, "the statement found more than one row");
            self.failure = Some(error.clone());
            return Err(error);
        }
        Ok(rows.pop())
    }

    /// Finds one row in this transaction. See [`Db::look_up`].
    pub fn look_up<T>(&mut self, lookup: Lookup<T>) -> Result<Option<T>, Error> {
        let asked = self.ask(lookup)?;
        self.answer(asked)
    }

    /// Runs several look-ups. On PostgreSQL they are sent together, and cost one round trip.
    pub fn look_up_each<T>(&mut self, lookups: impl Iterator<Item = Lookup<T>>) -> Result<Vec<Option<T>>, Error> {
        let asked = lookups.map(|lookup| self.ask(lookup)).collect::<Result<Vec<_>, _>>()?;
        asked.into_iter().map(|asked| self.answer(asked)).collect()
    }

    /// Starts a look-up, whose row [`Tx::answer`] returns later.
    ///
    /// On PostgreSQL it is sent with the next statement whose answer is awaited, so that several look-ups cost one round trip. Statements
    /// still run in their order, so it sees the effects of earlier statements only.
    pub fn ask<T>(&mut self, lookup: Lookup<T>) -> Result<PendingRow<T>, Error> {
        let Lookup { sql, params, row } = lookup;
        let answer = self.statement(no_nul(sql, &params), |session| match session {
            Session::Sqlite(connection) => {
                connection.query(sql, &params).map(|rows| Pending::Known(Answer::Rows(rows)))
            }
            Session::Postgres(session) => session.ask_rows(sql, params).map(Pending::Waiting),
        })?;
        Ok(PendingRow { sql, row, answer })
    }

    /// Returns the row that a look-up found.
    pub fn answer<T>(&mut self, asked: PendingRow<T>) -> Result<Option<T>, Error> {
        let answer = self.wait(asked.sql, asked.answer)?;
        let found = found(asked.sql, answer.rows(), asked.row);
        found.inspect_err(|error| self.failure = Some(error.clone()))
    }

    /// Runs a change. Returns true if it changed or inserted its row.
    pub fn change(&mut self, change: Change) -> Result<bool, Error> {
        let attempt = self.attempt(change)?;
        self.succeeded(attempt)
    }

    /// Starts a change, whose outcome [`Tx::succeeded`] returns later. See [`Tx::ask`].
    pub fn attempt(&mut self, change: Change) -> Result<PendingChange, Error> {
        let Change { sql, params } = change;
        let answer = self.statement(no_nul(sql, &params), |session| match session {
            Session::Sqlite(connection) => {
                connection.execute(sql, &params).map(|rows| Pending::Known(Answer::Changed(rows)))
            }
            Session::Postgres(session) => session.ask_changed(sql, params).map(Pending::Waiting),
        })?;
        Ok(PendingChange { sql, answer })
    }

    /// Returns the outcome of a change. See [`Tx::change`].
    pub fn succeeded(&mut self, attempt: PendingChange) -> Result<bool, Error> {
        Ok(self.wait(attempt.sql, attempt.answer)?.changed() > 0)
    }

    /// Waits for the answer to a statement that was started before.
    fn wait(&mut self, sql: &'static str, answer: Pending) -> Result<Answer, Error> {
        let number = match answer {
            Pending::Known(answer) => return Ok(answer),
            Pending::Waiting(number) => number,
        };
        self.unless_failed(|session| match session {
            Session::Sqlite(_) => Err(Error::misuse(sql, "SQLite has no pending answers")),
            Session::Postgres(session) => session.answer(sql, number),
        })
    }

    /// Runs a statement and returns the number of changed rows.
    pub fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.statement(no_nul(sql, params), |session| match session {
            Session::Sqlite(connection) => connection.execute(sql, params),
            Session::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs a statement whose result is not needed.
    ///
    /// On PostgreSQL it is sent with the next statement or with the commit, and costs no round trip. If it fails, that statement or the
    /// commit fails.
    pub fn send<const N: usize>(&mut self, sql: &'static str, params: [Value; N]) -> Result<(), Error> {
        self.statement(no_nul(sql, &params), |session| match session {
            Session::Sqlite(connection) => connection.execute(sql, &params).map(drop),
            Session::Postgres(session) => session.send(sql, Vec::from(params)),
        })
    }

    /// Runs a statement, unless an earlier one failed or its parameters are refused.
    fn statement<R>(
        &mut self,
        checked: Result<(), Error>,
        run: impl FnOnce(&mut Session<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.counters.stated(u64::from(self.failure.is_none()));
        self.unless_failed(|session| checked.and_then(|()| run(session)))
    }

    fn unless_failed<R>(&mut self, run: impl FnOnce(&mut Session<'_>) -> Result<R, Error>) -> Result<R, Error> {
        if self.failure.is_some() {
            return Err(Error::Poisoned);
        }
        let result = run(&mut self.session);
        self.failure = result.as_ref().err().cloned();
        if let Some(error) = &self.failure {
            self.counters.met(error);
        }
        result
    }
}

/// Refuses a NUL character in text on both engines, because PostgreSQL can't store it.
fn no_nul(sql: &str, params: &[Value]) -> Result<(), Error> {
    if params.iter().any(Value::holds_nul) {
        return Err(Error::misuse(sql, "a text parameter contains a NUL character"));
    }
    Ok(())
}
