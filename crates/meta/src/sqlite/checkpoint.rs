//! Copies the write-ahead log into the database on a separate thread, so that no commit waits while the database is synced.

use super::connection::{Connection, Role};
use crate::Error;
use crate::lock;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// The longest time that the writer waits for a checkpoint to end, before it empties the log itself.
const PASS_WAIT: Duration = Duration::from_secs(30);

/// The checkpoint thread. It ends when `bell` is dropped.
pub(super) struct Checkpointer {
    bell: SyncSender<()>,
    thread: JoinHandle<()>,
    busy: Arc<Busy>,
}

/// True while the log is being copied, or is about to be.
#[derive(Default)]
struct Busy {
    now: Mutex<bool>,
    ended: Condvar,
}

impl Busy {
    fn lock(&self) -> MutexGuard<'_, bool> {
        lock(&self.now)
    }

    fn set(&self, busy: bool) {
        *self.lock() = busy;
        self.ended.notify_all();
    }
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf) -> Result<Checkpointer, Error> {
        // The writer rings only while no checkpoint runs, so one place is enough.
        let (bell, rung) = sync_channel(1);
        let busy = Arc::new(Busy::default());
        let ends = busy.clone();
        let thread = std::thread::Builder::new().name("meta-checkpoint".to_owned());
        let thread = thread.spawn(move || run(&path, &rung, &ends));
        let thread = thread.map_err(|error| Error::Store("starting the checkpointer".to_owned(), Arc::new(error)))?;
        Ok(Checkpointer { bell, thread, busy })
    }

    /// Starts a checkpoint, which copies the log as far as readers allow.
    pub(super) fn ring(&self) {
        self.busy.set(true);
        if self.bell.try_send(()).is_err() {
            self.busy.set(false);
        }
    }

    /// Returns true if the log is being copied.
    pub(super) fn is_busy(&self) -> bool {
        *self.busy.lock()
    }

    /// Waits until the log is not being copied.
    pub(super) fn wait(&self) {
        let waited = self.busy.ended.wait_timeout_while(self.busy.lock(), PASS_WAIT, |busy| *busy);
        drop(waited);
    }

    /// Waits for a running checkpoint, and ends the thread.
    pub(super) fn stop(self) {
        drop(self.bell);
        if self.thread.join().is_err() {
            tracing::error!("The checkpointer panicked");
        }
    }
}

fn run(path: &std::path::Path, rung: &Receiver<()>, busy: &Busy) {
    let mut connection = None;
    while rung.recv().is_ok() {
        if let Err(error) = pass(path, &mut connection) {
            // Nothing is lost, because the log keeps the commits for a later checkpoint.
            tracing::warn!(error = &error as &dyn std::error::Error, "The metadata log can't be copied now");
            connection = None;
        }
        busy.set(false);
    }
}

fn pass(path: &std::path::Path, connection: &mut Option<Connection>) -> Result<(), Error> {
    match connection {
        Some(connection) => connection,
        none => none.insert(Connection::open(path, Role::Reader)?),
    }
    .copy_log()
}
