//! The writer thread: group commit.
//!
//! The transactions of a batch of callers run one after the other in one SQLite transaction, and each caller is answered after its
//! commit. If a job fails after it has written, the batch is rolled back and rerun with a savepoint for each job. Savepoints in every
//! batch would cost more, because SQLite copies each page that a savepoint is the first to change.
//!
//! A full disk or an I/O error ends the whole transaction, sometimes only at COMMIT. So after each job the writer checks whether the
//! transaction is still open. If not, the rest of the batch does not run, and every job fails with that cause. The writer continues
//! with the next batch, on a new connection if necessary.

use super::checkpoint::Checkpointer;
use super::connection::{CHECKPOINT_PAGES, Connection, LOG_BYTES, Role};
use super::place::Place;
use super::reserve::Reserve;
use crate::job::Job;
use crate::stats::Counters;
use crate::{Error, Tx, db};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{mpsc, watch};

/// The most transactions in one commit.
const BATCH: usize = 256;
/// Pages of the log, 16 MiB, from which the writer itself copies what was added during the last checkpoint. Only a completely copied
/// log restarts, and with busy callers the checkpointer alone would never catch up.
const START_OVER_PAGES: u32 = 4 * CHECKPOINT_PAGES;

/// The files of the database, and its reserve.
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) reserve: Arc<Reserve>,
}

struct Writer {
    files: Files,
    log_path: PathBuf,
    /// The log of this connection, after the first commit to it.
    log: Option<Place>,
    /// True if the last batch was rolled back. Only the first of consecutive failures is logged as a warning.
    failing: bool,
    /// True if the log could not be emptied the last time. Only the first of consecutive failures is logged as a warning.
    log_stuck: bool,
    /// The length in bytes above which the log is emptied even if the writer must wait. Raised while readers prevent that.
    log_limit: u64,
    /// `None` after a failure that may have broken the connection. The next batch opens a new one.
    connection: Option<Connection>,
    checkpointer: Checkpointer,
    /// True if the checkpointer has run since the writer last copied the log itself.
    rest_is_ours: bool,
    /// Pages of the log after the last commit.
    pages: Arc<AtomicU32>,
    /// Pages of the log at the start of the last checkpoint.
    asked_at: u32,
    counters: Arc<Counters>,
}

/// Starts the thread. It ends when the last sender of `waiting` is dropped, and drops `ended` after the file is closed.
pub(super) fn start(
    files: Files,
    mut connection: Connection,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    counters: Arc<Counters>,
    ended: watch::Sender<()>,
) -> Result<(), Error> {
    // Count the pages of the write-ahead log, which decide when a checkpoint is due.
    let mut log_path = files.path.clone().into_os_string();
    log_path.push("-wal");
    let log_path = log_path.into();
    let pages = Arc::new(AtomicU32::new(0));
    connection.count_log(pages.clone())?;
    let mut writer = Writer {
        checkpointer: Checkpointer::start(files.path.clone())?,
        files,
        log_path,
        log: None,
        failing: false,
        log_stuck: false,
        log_limit: LOG_BYTES,
        connection: Some(connection),
        rest_is_ours: false,
        pages,
        asked_at: 0,
        counters,
    };
    // Run the waiting jobs in batches, one commit per batch.
    let body = move || {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = waiting.blocking_recv() {
            batch.push(first);
            gather(&mut batch, &mut waiting);
            writer.commit(&mut batch);
        }
        writer.close();
        drop(ended);
    };
    let started = std::thread::Builder::new().name("meta-writer".to_owned()).spawn(body);
    started.map(drop).map_err(|error| Error::Store("starting the writer".to_owned(), Arc::new(error)))
}

/// Adds the waiting jobs to the batch, and yields to other threads, until no more jobs come.
///
/// On a busy processor this lets callers join the batch that are about to send a job. On an idle one it takes a microsecond.
fn gather(batch: &mut Vec<Box<dyn Job>>, waiting: &mut mpsc::Receiver<Box<dyn Job>>) {
    let mut before = 0;
    while before < batch.len() && batch.len() < BATCH {
        before = batch.len();
        std::thread::yield_now();
        while batch.len() < BATCH
            && let Ok(job) = waiting.try_recv()
        {
            batch.push(job);
        }
    }
}

impl Writer {
    /// Runs a batch and answers all of its jobs.
    fn commit(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let jobs = batch.len() as u64;
        // While space is short, only jobs that free space may run.
        if let Err(full) = self.files.reserve.admit() {
            refuse_what_adds(batch, &full);
        }
        let result = self.group(batch);
        // If the disk is full, run the jobs that free space again, with the reserve.
        if matches!(result, Err(Error::Full(_))) && batch.iter().any(|job| job.frees()) {
            if let Err(full) = &result {
                refuse_what_adds(batch, full);
            }
            self.free(batch);
        }
        self.counters.ran(jobs);
        for job in batch.drain(..) {
            job.answer(result.as_ref().err().cloned());
        }
        self.copy_log();
        self.bound_log();
    }

    /// Runs jobs that free space on a full disk, with the reserve. Each job has its own transaction, because together they may need more
    /// space than there is.
    fn free(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        self.files.reserve.give_up();
        self.make_room();
        for job in jobs.drain(..) {
            let mut alone = [job];
            let mut result = self.group(&mut alone);
            if matches!(result, Err(Error::Full(_))) {
                self.make_room();
                result = self.group(&mut alone);
            }
            let [job] = alone;
            job.answer(result.err());
        }
    }

    /// Empties the log, which frees its space.
    fn make_room(&mut self) {
        // Only one thread at a time may copy the log.
        self.checkpointer.wait();
        self.checkpoint();
    }

    /// Runs jobs and commits them together. After an error all are rolled back, and the connection is ready for the next batch.
    fn group(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let result = self.transaction(batch).and_then(|()| self.is_in_place());
        match &result {
            Ok(()) => {
                self.failing = false;
                self.counters.committed();
            }
            Err(error) => {
                self.counters.met(error);
                self.recover(error, batch.len());
            }
        }
        result
    }

    /// Checks that the database and its log were not removed. It runs between the commit and the answers, so that no write to a removed
    /// file is acknowledged.
    fn is_in_place(&mut self) -> Result<(), Error> {
        self.files.place.check()?;
        match &self.log {
            Some(log) => log.check().map(drop),
            None => {
                self.log = Some(Place::of(&self.log_path)?);
                Ok(())
            }
        }
    }

    fn transaction(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Error> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            lost => {
                self.files.place.check()?;
                self.log = None;
                let connection = lost.insert(Connection::open(&self.files.path, Role::Writer)?);
                connection.count_log(self.pages.clone())?;
                connection
            }
        };
        connection.command("BEGIN IMMEDIATE")?;
        if !run_batch(connection, batch, &self.counters)? {
            connection.command("ROLLBACK")?;
            connection.command("BEGIN IMMEDIATE")?;
            run_with_savepoints(connection, batch, &self.counters)?;
        }
        connection.command("COMMIT")
    }

    /// Prepares the connection for the next batch, after a failed one.
    fn recover(&mut self, error: &Error, jobs: usize) {
        let (cause, message) = (error as &dyn std::error::Error, "A group of metadata transactions was rolled back");
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(error = cause, jobs, message);
        } else {
            tracing::warn!(error = cause, jobs, message);
        }
        let Some(connection) = &mut self.connection else { return };
        let usable = connection.is_idle() || (connection.command("ROLLBACK").is_ok() && connection.is_idle());
        if !usable || matches!(error, Error::Store(..)) {
            self.connection = None;
            return;
        }
        if matches!(error, Error::Full(_)) {
            // Empty the log to free its space, which may let a deletion succeed.
            self.checkpoint();
        }
    }

    /// Starts a checkpoint each time that the log has grown by [`CHECKPOINT_PAGES`], and copies the rest of a long log itself. Never
    /// both at once, because only one can copy at a time.
    fn copy_log(&mut self) {
        let pages = self.pages.load(Ordering::Relaxed);
        self.asked_at = if pages < self.asked_at { 0 } else { self.asked_at };
        if self.checkpointer.is_busy() {
            return;
        }
        if pages >= START_OVER_PAGES && self.rest_is_ours {
            self.rest_is_ours = false;
            let Some(connection) = &mut self.connection else { return };
            if let Err(error) = connection.copy_log() {
                tracing::warn!(error = &error as &dyn std::error::Error, "The metadata log can't be copied now");
            }
        } else if pages - self.asked_at >= CHECKPOINT_PAGES {
            self.asked_at = pages;
            self.rest_is_ours = true;
            self.checkpointer.ring();
        }
    }

    /// Bounds the log's length. Readers that always overlap keep the log from restarting, so above its limit the writer waits for them,
    /// once for each doubling of the length.
    fn bound_log(&mut self) {
        let length = std::fs::metadata(&self.log_path).map_or(0, |file| file.len());
        // The log can't be emptied during a checkpoint. The next commit checks again.
        if length > self.log_limit && !self.checkpointer.is_busy() {
            let emptied = self.checkpoint();
            self.log_limit = if emptied { LOG_BYTES } else { length.saturating_mul(2) };
        }
    }

    /// Empties the log. Returns false if that failed.
    fn checkpoint(&mut self) -> bool {
        self.connection.as_mut().is_some_and(|connection| empty_log(connection, &mut self.log_stuck))
    }

    fn close(mut self) {
        // Only one thread at a time may copy the log.
        self.checkpointer.stop();
        if let Some(mut connection) = self.connection {
            empty_log(&mut connection, &mut self.log_stuck);
        }
    }
}

/// Empties the log. Returns false if that failed. Nothing is lost then, because the log keeps the commits for a later checkpoint. The
/// first of consecutive failures is logged as a warning; `stuck` remembers it.
fn empty_log(connection: &mut Connection, stuck: &mut bool) -> bool {
    let Err(error) = connection.checkpoint() else {
        *stuck = false;
        return true;
    };
    let (cause, message) = (&error as &dyn std::error::Error, "The metadata log can't be emptied now");
    if std::mem::replace(stuck, true) {
        tracing::debug!(error = cause, message);
    } else {
        tracing::warn!(error = cause, message);
    }
    false
}

/// Fails the jobs that do not free space, and leaves the others in the batch.
fn refuse_what_adds(batch: &mut Vec<Box<dyn Job>>, full: &Error) {
    let (freeing, adding) = std::mem::take(batch).into_iter().partition(|job| job.frees());
    *batch = freeing;
    let adding: Vec<Box<dyn Job>> = adding;
    for job in adding {
        job.answer(Some(full.clone()));
    }
}

/// Runs the jobs one after the other. Returns false, without running the rest, if a job failed after it has written.
fn run_batch(connection: &mut Connection, batch: &mut [Box<dyn Job>], counters: &Counters) -> Result<bool, Error> {
    for job in batch {
        let before = connection.changes();
        if !run(connection, job.as_mut(), counters)? && connection.changes() != before {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs each job in a savepoint, and rolls back the jobs that failed.
fn run_with_savepoints(
    connection: &mut Connection,
    batch: &mut [Box<dyn Job>],
    counters: &Counters,
) -> Result<(), Error> {
    for job in batch {
        connection.command("SAVEPOINT job")?;
        if !run(connection, job.as_mut(), counters)? {
            connection.command("ROLLBACK TO job")?;
        }
        connection.command("RELEASE job")?;
    }
    Ok(())
}

/// Runs one job. Returns false if its changes must not be committed. An error means that the transaction, and so the batch, is lost.
fn run(connection: &mut Connection, job: &mut dyn Job, counters: &Counters) -> Result<bool, Error> {
    let mut tx = Tx::new(db::Session::Sqlite(connection), counters);
    let keep = job.run(&mut tx);
    let failure = tx.failure().cloned();
    if connection.is_idle() {
        return Err(failure.unwrap_or(Error::Busy));
    }
    // The batch is rolled back, and the job runs again with the reserve.
    if job.frees()
        && let Some(full @ Error::Full(_)) = failure
    {
        return Err(full);
    }
    Ok(keep)
}
