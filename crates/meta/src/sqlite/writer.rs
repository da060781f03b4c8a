//! The one thread that writes: group commit.
//!
//! Each caller's transaction is a savepoint inside one SQLite transaction, and every caller is answered after its commit.
//! A savepoint does not isolate everything: a full disk or an I/O error ends the transaction whole, sometimes first at
//! COMMIT. So after each job the writer looks whether the transaction is still open; if not, nothing more of the batch runs
//! and all of it fails with that cause. The writer itself goes on, on a new connection if it must.
use super::connection::{Connection, LOG_BYTES, Role};
use crate::job::Job;
use crate::stats::Counters;
use crate::{Error, Tx, db};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Transactions in one commit, at most.
const BATCH: usize = 256;

struct Writer {
    path: PathBuf,
    log_path: PathBuf,
    /// Past this length the log is emptied at any price; raised while readers keep it from being so.
    log_limit: u64,
    /// `None` after a failure that it may not have survived: the next batch opens another.
    connection: Option<Connection>,
    counters: Arc<Counters>,
}

/// Starts the thread. It ends when the last sender of `waiting` is gone, and drops `ended` when the file is closed.
pub(super) fn start(
    path: PathBuf,
    connection: Connection,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    counters: Arc<Counters>,
    ended: watch::Sender<()>,
) -> Result<(), Error> {
    let mut log_path = path.clone().into_os_string();
    log_path.push("-wal");
    let log_path = log_path.into();
    let mut writer = Writer { path, log_path, log_limit: LOG_BYTES, connection: Some(connection), counters };
    let body = move || {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = waiting.blocking_recv() {
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(job) = waiting.try_recv()
            {
                batch.push(job);
            }
            writer.commit(&mut batch);
        }
        writer.close();
        drop(ended);
    };
    let started = std::thread::Builder::new().name("meta-writer".to_owned()).spawn(body);
    started.map(drop).map_err(|error| Error::Store("starting the writer".to_owned(), Arc::new(error)))
}

impl Writer {
    /// Runs a batch, and answers every job of it.
    fn commit(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let result = self.transaction(batch);
        match &result {
            Ok(()) => self.counters.committed(),
            Err(error) => self.recover(error, batch.len()),
        }
        self.counters.ran(batch.len() as u64);
        for job in batch.drain(..) {
            job.answer(result.as_ref().err().cloned());
        }
        self.bound_log();
    }

    fn transaction(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            lost => lost.insert(Connection::open(&self.path, Role::Writer)?),
        };
        connection.command("BEGIN IMMEDIATE")?;
        for job in batch {
            step(connection, job.as_mut())?;
        }
        connection.command("COMMIT")
    }

    /// Brings the connection back to where a batch can begin.
    fn recover(&mut self, error: &Error, jobs: usize) {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            jobs,
            "a group of metadata transactions was rolled back"
        );
        let Some(connection) = &mut self.connection else { return };
        let usable = connection.is_idle() || (connection.command("ROLLBACK").is_ok() && connection.is_idle());
        if !usable || matches!(error, Error::Store(..)) {
            self.connection = None;
            return;
        }
        if matches!(error, Error::Full(_)) {
            // An emptied log gives its room back: on a full disk that may be what a deletion needs to go through.
            self.checkpoint();
        }
    }

    /// Readers that always overlap would keep the log from starting over; past its limit the writer waits for them, once
    /// for each doubling.
    fn bound_log(&mut self) {
        let length = std::fs::metadata(&self.log_path).map_or(0, |file| file.len());
        if length > self.log_limit {
            let emptied = self.checkpoint();
            self.log_limit = if emptied { LOG_BYTES } else { length.saturating_mul(2) };
        }
    }

    /// Empties the log; `false` if it could not be. Nothing is lost then: it keeps what was committed for a later try.
    fn checkpoint(&mut self) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        connection
            .checkpoint()
            .inspect_err(|error| {
                tracing::warn!(error = error as &dyn std::error::Error, "the metadata log could not be emptied");
            })
            .is_ok()
    }

    fn close(mut self) {
        self.checkpoint();
    }
}

/// Runs one job in a savepoint. An error means that the transaction is lost, and with it the batch.
fn step(connection: &mut Connection, job: &mut dyn Job) -> Result<(), Error> {
    connection.command("SAVEPOINT job")?;
    let mut tx = Tx::new(db::Session::Sqlite(connection));
    let keep = job.run(&mut tx);
    let failure = tx.failure().cloned();
    if connection.is_idle() {
        return Err(failure.unwrap_or(Error::Busy));
    }
    if !keep {
        connection.command("ROLLBACK TO job")?;
    }
    connection.command("RELEASE job")
}
