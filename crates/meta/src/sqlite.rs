//! The SQLite engine. One writer thread commits the transactions of many callers together. Readers run on the calling thread.

mod checkpoint;
mod connection;
pub(crate) mod copy;
mod damage;
mod fault;
mod migrate;
mod place;
mod readers;
mod reserve;
mod writer;

pub(crate) use connection::{Connection, Role};
pub(crate) use migrate::known;

use crate::db::SqliteConfig;
use crate::job::{self, Job};
use crate::lock;
use crate::stats::{Counters, DatabaseStats};
use crate::{Error, Row, Tx, Value, db};
use place::Place;
use readers::Readers;
use reserve::Reserve;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{Semaphore, mpsc, watch};

/// The most write transactions in the writer's queue: the work of a third of a second, at 3,000 a second. Further callers wait for a
/// place.
const WAITING_WRITES: usize = 1024;
/// The longest time that a caller waits for a place in the queue. Then the call fails with `Busy`.
const QUEUE_WAIT: Duration = Duration::from_secs(5);
/// The most callers that wait for a place in the queue. A further call fails with `Busy` at once.
const WAITING_CALLERS: usize = 16 * 1024;

/// An open SQLite database. The writer thread ends when the store is closed or dropped.
pub(crate) struct Store {
    /// `None` once the store is closing.
    queue: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    /// A permit for each caller that waits for a place in the queue.
    callers: Semaphore,
    readers: Readers,
    reserve: Arc<Reserve>,
    /// Closed when the writer has ended.
    writer_ended: watch::Receiver<()>,
    counters: Arc<Counters>,
}

impl Store {
    pub(crate) async fn open(config: SqliteConfig) -> Result<Store, Error> {
        let opening = tokio::task::spawn_blocking(move || Store::open_blocking(config));
        opening.await.unwrap_or(Err(Error::Panicked))
    }

    fn open_blocking(config: SqliteConfig) -> Result<Store, Error> {
        let path = absolute(config.path)?;
        damage::check_length(&path)?;
        let mut connection = match open_writer(&path, config.now_us) {
            // Opening writes an index of the log, and may migrate. On a full disk the reserve may suffice for that.
            Err(Error::Full(_)) => {
                Reserve::new(&path).give_up();
                open_writer(&path, config.now_us)?
            }
            opened => opened?,
        };
        damage::check_ends(&mut connection)?;
        Store::start(path, connection)
    }

    /// Opens a database without a migration. Another process may have it open too.
    pub(crate) async fn attach(path: PathBuf) -> Result<Store, Error> {
        let opening = tokio::task::spawn_blocking(move || {
            let path = absolute(path)?;
            if !path.exists() {
                return Err(Error::Absent);
            }
            let mut connection = Connection::open(&path, Role::Writer)?;
            migrate::check(&mut connection, crate::migrate::MIGRATIONS)?;
            Store::start(path, connection)
        });
        opening.await.unwrap_or(Err(Error::Panicked))
    }

    fn start(path: PathBuf, connection: Connection) -> Result<Store, Error> {
        let (place, reserve) = (Place::of(&path)?, Arc::new(Reserve::new(&path)));
        let counters = Arc::new(Counters::default());
        let (queue, waiting) = mpsc::channel(WAITING_WRITES);
        let (ended, writer_ended) = watch::channel(());
        let files = writer::Files { path: path.clone(), place: place.clone(), reserve: reserve.clone() };
        writer::start(files, connection, waiting, counters.clone(), ended)?;
        let (queue, callers) = (Mutex::new(Some(queue)), Semaphore::new(WAITING_CALLERS));
        Ok(Store { queue, callers, readers: Readers::new(path, place), reserve, writer_ended, counters })
    }

    /// Passes a transaction to the writer, which answers it after the commit. If the queue is full, callers get places in the order of
    /// their arrival. Cancel-safe: a transaction without a place is dropped with its caller.
    pub(crate) async fn write(&self, job: Box<dyn Job>) {
        let queue = lock(&self.queue).clone();
        let Some(queue) = queue else { return job.answer(Some(Error::Closed)) };
        let job = match queue.try_send(job) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => job,
            Err(TrySendError::Closed(job)) => return job.answer(Some(Error::Closed)),
        };
        let Ok(_waits) = self.callers.try_acquire() else { return job.answer(Some(Error::Busy)) };
        match queue.send_timeout(job, QUEUE_WAIT).await {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(job)) => job.answer(Some(Error::Busy)),
            Err(SendTimeoutError::Closed(job)) => job.answer(Some(Error::Closed)),
        }
    }

    /// Runs a read transaction on this thread.
    pub(crate) fn read<T, E, F>(&self, work: &F) -> Result<T, E>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        let mut connection = self.readers.take()?;
        connection.command("BEGIN DEFERRED")?;
        let result = job::run(work, &mut Tx::new(db::Session::Sqlite(&mut connection), &self.counters));
        // If the transaction can't be ended, close the connection. The rows that it read are valid.
        match connection.command("COMMIT") {
            Ok(()) => self.readers.put(connection),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "A read connection was closed after a failure")
            }
        }
        result
    }

    /// Runs one reading statement on this thread. A single statement is its own transaction. If it fails, its connection is closed.
    pub(crate) fn look_up(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let mut connection = self.readers.take()?;
        self.counters.stated(1);
        let rows = connection.query(sql, params).inspect_err(|error| self.counters.met(error))?;
        self.readers.put(connection);
        Ok(rows)
    }

    /// Copies a snapshot of the records into a new file.
    pub(crate) async fn copy_to(&self, to: PathBuf) -> Result<(), Error> {
        let from = self.readers.path().to_owned();
        let copying = tokio::task::spawn_blocking(move || copy::backup(&from, &absolute(to)?));
        copying.await.unwrap_or(Err(Error::Panicked))
    }

    /// Reads the whole database, while it is in use, to find damage.
    pub(crate) async fn check_whole(&self) -> Result<(), Error> {
        let path = self.readers.path().to_owned();
        let checked = tokio::task::spawn_blocking(move || damage::check_all(&path)).await;
        checked.unwrap_or(Err(Error::Panicked)).inspect_err(|error| self.counters.met(error))
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.counters.is_damaged()
    }

    pub(crate) fn keep_back(&self, bytes: u64) {
        self.reserve.keep(bytes);
    }

    pub(crate) fn stats(&self) -> DatabaseStats {
        self.counters.snapshot()
    }

    pub(crate) async fn close(&self) {
        self.readers.close();
        // Without a sender the writer runs the queued transactions and ends.
        drop(lock(&self.queue).take());
        let mut ended = self.writer_ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

/// Returns true if there is a database at `path` that a server of any version has used. Does not create or change it.
///
/// # Errors
/// Fails if there is a database that can't be read.
pub fn holds_records(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    let mut connection = Connection::open(&absolute(path.to_owned())?, Role::Reader)?;
    migrate::has_root_key(&mut connection)
}

/// Opens the database for writing, creates it if it is missing, and brings its schema up to date.
fn open_writer(path: &Path, now_us: i64) -> Result<Connection, Error> {
    let mut connection = Connection::open(path, Role::Maker)?;
    migrate::up(&mut connection, crate::migrate::MIGRATIONS, now_us)?;
    Ok(connection)
}

/// Makes a path absolute, because SQLite reads a relative path that starts with `file:` as a URI.
fn absolute(path: PathBuf) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|error| Error::Store("the database's path".to_owned(), Arc::new(error)))
}

/// A writer's connection and its migrations, for tests below `Db`.
#[cfg(test)]
pub(crate) mod beneath {
    use super::connection::{Connection, Role};
    use super::migrate;
    use crate::Error;
    use crate::migrate::Migration;
    use std::path::Path;

    pub(crate) fn connect(path: &Path) -> Result<Connection, Error> {
        Connection::open(path, Role::Maker)
    }

    pub(crate) fn migrate(path: &Path, list: &[Migration], now_us: i64) -> Result<(), Error> {
        migrate::up(&mut connect(path)?, list, now_us)
    }
}
