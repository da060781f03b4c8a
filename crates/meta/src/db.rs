//! The store of records, whichever engine lies beneath it.
use crate::job::job;
use crate::migrate::PROBE_PUT;
use crate::statement::{Answer, Asked, Attempt, Change, Lookup, Pending, found};
use crate::stats::{Counters, Stats};
use crate::{Error, Row, Value, postgres, sqlite};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    /// Connections at most; 2 at least are used, one for look-ups and one for transactions.
    pub max_connections: usize,
    /// How long a wait for an answer of the server may take. Then the call fails and its connection is given up.
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
    /// Opens (creates) a SQLite database and brings its schema up to date.
    pub async fn sqlite(config: SqliteConfig) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Sqlite(Arc::new(sqlite::Store::open(config).await?)) })
    }

    /// Connects to PostgreSQL and brings the schema up to date (one node at a time, under an advisory lock).
    pub async fn postgres(config: PostgresConfig) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Postgres(Arc::new(postgres::Store::open(config).await?)) })
    }

    /// Opens an existing SQLite database as it is, beside a server that may be running: makes and migrates nothing.
    /// [`Error::Absent`] where there is none, [`Error::Older`] or [`Error::Newer`] when its version is not this program's.
    pub async fn attach_sqlite(path: PathBuf) -> Result<Db, Error> {
        Ok(Db { engine: Engine::Sqlite(Arc::new(sqlite::Store::attach(path).await?)) })
    }

    /// The same for a PostgreSQL database, with so many connections at most (2 at least); `timeout` as in [`PostgresConfig`].
    pub async fn attach_postgres(url: &str, max_connections: usize, timeout: Duration) -> Result<Db, Error> {
        let store = postgres::Store::attach(url, max_connections, timeout).await?;
        Ok(Db { engine: Engine::Postgres(Arc::new(store)) })
    }

    /// Runs a read-write transaction. It is durable when this returns `Ok`; any `Err` from the closure rolls it back whole.
    /// The closure may run more than once and must have no side effects.
    ///
    /// `Busy`, `Full`, `ReadOnly`, `Unreachable` and `Closed` mean that nothing was kept. After `InDoubt`, or another `Error`
    /// that came from the commit itself (a failing disk), the outcome is unknown, as it is to a caller who stops waiting.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(work, false).await
    }

    /// The same for a transaction that frees something. On a full disk it may use the space that [`Db::keep_back`] keeps.
    pub async fn write_to_free<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.run(work, true).await
    }

    /// Runs a transaction of one statement that takes a free row of a queue (`FOR UPDATE SKIP LOCKED`). On PostgreSQL it is READ
    /// COMMITTED, so that claims that run at once do not conflict; on SQLite it is as [`Db::write_to_free`].
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
        let (job, answer) = job(work, false);
        store.read(job).await;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Finds one row, without a transaction. What was committed before is seen.
    pub async fn look_up<T>(&self, lookup: Lookup<T>) -> Result<Option<T>, Error> {
        let (sql, params) = (lookup.sql, lookup.params.as_slice());
        no_nul(sql, params)?;
        let rows = match &self.engine {
            Engine::Sqlite(store) => store.look_up(sql, params)?,
            Engine::Postgres(store) => store.look_up(sql, params).await?,
        };
        found(sql, rows, lookup.row)
    }

    /// Copies the records, as they are at one moment, into a new SQLite file of this schema, beside whoever uses them. Upload
    /// sessions are left out. A file that is there is replaced; after an error it is not whole.
    pub async fn copy_to(&self, path: PathBuf, now_us: i64) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(store) => store.copy_to(path).await,
            Engine::Postgres(store) => store.copy_to(path, now_us).await,
        }
    }

    /// Fills a database that has no records with all those of a SQLite file of this schema, or with none.
    /// [`Error::Occupied`] when it has records. Only for PostgreSQL: a SQLite database is a file that can be copied.
    pub async fn fill_from(&self, path: PathBuf) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(_) => Err(Error::refused("filling the database", "it is a SQLite database")),
            Engine::Postgres(store) => store.fill_from(path).await,
        }
    }

    /// Reads the whole database for damage, beside the work; on PostgreSQL nothing, whose own tools do that. [`Error::Corrupt`] when
    /// some is found, which is logged, and remembered for [`Db::check`].
    pub async fn check_whole(&self) -> Result<(), Error> {
        match &self.engine {
            Engine::Sqlite(store) => store.check_whole().await,
            Engine::Postgres(_) => Ok(()),
        }
    }

    /// Whether a transaction can be committed now, for readiness: commits a small one. [`Error::Corrupt`] once damage was met.
    pub async fn check(&self) -> Result<(), Error> {
        if let Engine::Sqlite(store) = &self.engine
            && store.is_damaged()
        {
            return Err(Error::damaged());
        }
        self.write(|tx| tx.execute(PROBE_PUT, &[]).map(drop)).await
    }

    /// From now on keeps back so many bytes of the disk for [`Db::write_to_free`], in a file beside the database, and fewer on a small
    /// disk. PostgreSQL sees to its own disk. It blocks for as long as the file takes to be made.
    pub fn keep_back(&self, bytes: u64) {
        match &self.engine {
            Engine::Sqlite(store) => store.keep_back(bytes),
            Engine::Postgres(_) => {}
        }
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
        self.statement(no_nul(sql, params), |session| match session {
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

    /// Finds one row; as [`Db::look_up`], in this transaction.
    pub fn look_up<T>(&mut self, lookup: Lookup<T>) -> Result<Option<T>, Error> {
        let asked = self.ask(lookup)?;
        self.answer(asked)
    }

    /// Finds one row by each of several look-ups. On PostgreSQL all of them go out together and cost one exchange.
    pub fn look_up_each<T>(&mut self, lookups: impl Iterator<Item = Lookup<T>>) -> Result<Vec<Option<T>>, Error> {
        let asked = lookups.map(|lookup| self.ask(lookup)).collect::<Result<Vec<_>, _>>()?;
        asked.into_iter().map(|asked| self.answer(asked)).collect()
    }

    /// Runs a look-up whose answer is asked for later. On PostgreSQL it goes out with the first statement that is waited for, so
    /// that several cost one exchange; what it finds is as of its place among the transaction's statements.
    pub fn ask<T>(&mut self, lookup: Lookup<T>) -> Result<Asked<T>, Error> {
        let Lookup { sql, params, row } = lookup;
        let answer = self.statement(no_nul(sql, &params), |session| match session {
            Session::Sqlite(connection) => {
                connection.query(sql, &params).map(|rows| Pending::Known(Answer::Rows(rows)))
            }
            Session::Postgres(session) => session.ask_rows(sql, params).map(Pending::Waiting),
        })?;
        Ok(Asked { sql, row, answer })
    }

    /// What a look-up found.
    pub fn answer<T>(&mut self, asked: Asked<T>) -> Result<Option<T>, Error> {
        let answer = self.wait(asked.sql, asked.answer)?;
        let found = found(asked.sql, answer.rows(), asked.row);
        found.inspect_err(|error| self.failure = Some(error.clone()))
    }

    /// Tries a change: whether it found its row, or had room for it.
    pub fn change(&mut self, change: Change) -> Result<bool, Error> {
        let attempt = self.attempt(change)?;
        self.succeeded(attempt)
    }

    /// Tries a change whose outcome is asked for later; as [`Tx::ask`].
    pub fn attempt(&mut self, change: Change) -> Result<Attempt, Error> {
        let Change { sql, params } = change;
        let answer = self.statement(no_nul(sql, &params), |session| match session {
            Session::Sqlite(connection) => {
                connection.execute(sql, &params).map(|rows| Pending::Known(Answer::Changed(rows)))
            }
            Session::Postgres(session) => session.ask_changed(sql, params).map(Pending::Waiting),
        })?;
        Ok(Attempt { sql, answer })
    }

    /// The outcome of a change; see [`Tx::change`].
    pub fn succeeded(&mut self, attempt: Attempt) -> Result<bool, Error> {
        Ok(self.wait(attempt.sql, attempt.answer)?.changed() > 0)
    }

    /// The answer to a statement that was counted when it was asked.
    fn wait(&mut self, sql: &'static str, answer: Pending) -> Result<Answer, Error> {
        let number = match answer {
            Pending::Known(answer) => return Ok(answer),
            Pending::Waiting(number) => number,
        };
        self.unless_failed(|session| match session {
            Session::Sqlite(_) => Err(Error::misuse(sql, "SQLite answers at once")),
            Session::Postgres(session) => session.answer(sql, number),
        })
    }

    /// The number of rows changed.
    pub fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.statement(no_nul(sql, params), |session| match session {
            Session::Sqlite(connection) => connection.execute(sql, params),
            Session::Postgres(session) => session.execute(sql, params),
        })
    }

    /// Runs a statement whose effect need not be known. On PostgreSQL it goes out with the next statement, or with the commit,
    /// and costs no exchange of its own; if it fails, they do.
    pub fn send<const N: usize>(&mut self, sql: &'static str, params: [Value; N]) -> Result<(), Error> {
        self.statement(no_nul(sql, &params), |session| match session {
            Session::Sqlite(connection) => connection.execute(sql, &params).map(drop),
            Session::Postgres(session) => session.send(sql, Vec::from(params)),
        })
    }

    /// Runs a statement, unless one failed before or its parameters are refused.
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

/// PostgreSQL's text can't hold a NUL character, so neither engine takes it.
fn no_nul(sql: &str, params: &[Value]) -> Result<(), Error> {
    if params.iter().any(Value::holds_nul) {
        return Err(Error::misuse(sql, "a text parameter holds a NUL character"));
    }
    Ok(())
}
