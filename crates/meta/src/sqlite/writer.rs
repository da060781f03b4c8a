//! The one thread that writes: group commit.
//!
//! Callers' transactions run one after the other inside one SQLite transaction, and every caller is answered after its commit.
//! Where one of them takes back what it has done, the batch is rolled back and run again, each in a savepoint. Savepoints for all
//! would cost more: SQLite keeps a copy of each page that one of them is the first to change.
//!
//! A full disk or an I/O error ends the transaction whole, sometimes first at COMMIT. So after each job the writer looks whether
//! the transaction is still open; if not, nothing more of the batch runs and all of it fails with that cause. The writer itself
//! goes on, on a new connection if it must.
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

/// Transactions in one commit, at most.
const BATCH: usize = 256;
/// Pages of the log, 16 MiB, from which the writer itself copies what was added while the rest was copied beside it: only a
/// log that was copied whole starts over, which busy callers would put off for ever.
const START_OVER_PAGES: u32 = 4 * CHECKPOINT_PAGES;

/// What lies on the disk: the database, and the space that is kept back for it.
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) place: Place,
    pub(super) reserve: Arc<Reserve>,
}

struct Writer {
    files: Files,
    log_path: PathBuf,
    /// The log of this connection, once a commit has gone to it.
    log: Option<Place>,
    /// Whether the last group was rolled back: then only the first such line of a row is a warning.
    failing: bool,
    /// Past this length the log is emptied at any price; raised while readers keep it from being so.
    log_limit: u64,
    /// `None` after a failure that it may not have survived: the next batch opens another.
    connection: Option<Connection>,
    checkpointer: Checkpointer,
    /// Whether the checkpointer has copied the log since the writer did.
    rest_is_ours: bool,
    /// Pages of the log, as the last commit left it.
    pages: Arc<AtomicU32>,
    /// Pages of the log when it was last asked to be copied.
    asked_at: u32,
    counters: Arc<Counters>,
}

/// Starts the thread. It ends when the last sender of `waiting` is gone, and drops `ended` when the file is closed.
pub(super) fn start(
    files: Files,
    mut connection: Connection,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    counters: Arc<Counters>,
    ended: watch::Sender<()>,
) -> Result<(), Error> {
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
        log_limit: LOG_BYTES,
        connection: Some(connection),
        rest_is_ours: false,
        pages,
        asked_at: 0,
        counters,
    };
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

/// Takes what waits, and lets others run before it looks again, until nothing more came. On a processor that is busy, those who are
/// about to hand in a job come into this group then instead of the next; on one that is not, this takes a microsecond.
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
    /// Runs a batch, and answers every job of it.
    fn commit(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let jobs = batch.len() as u64;
        // While space is short, what is left of it is for those that free some.
        if let Err(full) = self.files.reserve.admit() {
            refuse_what_adds(batch, &full);
        }
        let result = self.group(batch);
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

    /// Runs jobs that free something on a full disk, with all the space that can be had. Each has a transaction of its own, since all
    /// together may need more than there is.
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

    /// Empties the log, which gives its space back.
    fn make_room(&mut self) {
        // Only one at a time may copy the log.
        self.checkpointer.wait();
        self.checkpoint();
    }

    /// Runs and commits jobs together. After an error nothing of them is kept, and the connection is ready for others.
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

    /// Whether what was committed is where it will be found again. It is asked after the commit and before anybody hears of it, so
    /// that nothing is acknowledged that went to a removed file.
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
        if !together(connection, batch, &self.counters)? {
            connection.command("ROLLBACK")?;
            connection.command("BEGIN IMMEDIATE")?;
            apart(connection, batch, &self.counters)?;
        }
        connection.command("COMMIT")
    }

    /// Brings the connection back to where a batch can begin.
    fn recover(&mut self, error: &Error, jobs: usize) {
        let (cause, message) = (error as &dyn std::error::Error, "a group of metadata transactions was rolled back");
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
            // An emptied log gives its room back: on a full disk that may be what a deletion needs to go through.
            self.checkpoint();
        }
    }

    /// Has the log copied each time that it has grown by so much, and copies the rest of a long one. Never both at once: only one
    /// may copy, and the other would copy nothing.
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
                tracing::warn!(error = &error as &dyn std::error::Error, "the metadata log could not be copied");
            }
        } else if pages - self.asked_at >= CHECKPOINT_PAGES {
            self.asked_at = pages;
            self.rest_is_ours = true;
            self.checkpointer.ring();
        }
    }

    /// Readers that always overlap would keep the log from starting over; past its limit the writer waits for them, once
    /// for each doubling.
    fn bound_log(&mut self) {
        let length = std::fs::metadata(&self.log_path).map_or(0, |file| file.len());
        // While the log is copied it can't be emptied; the next commit looks again.
        if length > self.log_limit && !self.checkpointer.is_busy() {
            let emptied = self.checkpoint();
            self.log_limit = if emptied { LOG_BYTES } else { length.saturating_mul(2) };
        }
    }

    /// Empties the log; `false` if it could not be.
    fn checkpoint(&mut self) -> bool {
        self.connection.as_mut().is_some_and(empty_log)
    }

    fn close(self) {
        // Only one at a time may copy the log.
        self.checkpointer.stop();
        if let Some(mut connection) = self.connection {
            empty_log(&mut connection);
        }
    }
}

/// Empties the log; `false` if it could not be. Nothing is lost then: it keeps what was committed for a later try.
fn empty_log(connection: &mut Connection) -> bool {
    let emptied = connection.checkpoint().inspect_err(|error| {
        tracing::warn!(error = error as &dyn std::error::Error, "the metadata log could not be emptied");
    });
    emptied.is_ok()
}

/// Answers the jobs that free nothing, and leaves the others.
fn refuse_what_adds(batch: &mut Vec<Box<dyn Job>>, full: &Error) {
    let (freeing, adding) = std::mem::take(batch).into_iter().partition(|job| job.frees());
    *batch = freeing;
    let adding: Vec<Box<dyn Job>> = adding;
    for job in adding {
        job.answer(Some(full.clone()));
    }
}

/// Runs jobs one after the other; `false` where one of them has changed something that it would not keep, and the rest did not run.
fn together(connection: &mut Connection, batch: &mut [Box<dyn Job>], counters: &Counters) -> Result<bool, Error> {
    for job in batch {
        let before = connection.changes();
        if !run(connection, job.as_mut(), counters)? && connection.changes() != before {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Runs each job in a savepoint, and takes back what those have done that would not keep it.
fn apart(connection: &mut Connection, batch: &mut [Box<dyn Job>], counters: &Counters) -> Result<(), Error> {
    for job in batch {
        connection.command("SAVEPOINT job")?;
        if !run(connection, job.as_mut(), counters)? {
            connection.command("ROLLBACK TO job")?;
        }
        connection.command("RELEASE job")?;
    }
    Ok(())
}

/// Runs one job; `false` if it would not keep what it has done. An error means that the transaction is lost, and with it the batch.
fn run(connection: &mut Connection, job: &mut dyn Job, counters: &Counters) -> Result<bool, Error> {
    let mut tx = Tx::new(db::Session::Sqlite(connection), counters);
    let keep = job.run(&mut tx);
    let failure = tx.failure().cloned();
    if connection.is_idle() {
        return Err(failure.unwrap_or(Error::Busy));
    }
    // It is worth another try, with the space that is kept back.
    if job.frees()
        && let Some(full @ Error::Full(_)) = failure
    {
        return Err(full);
    }
    Ok(keep)
}
