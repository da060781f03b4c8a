//! Copies the write-ahead log into the database beside the writer, so that no commit waits while the database is synced.
use super::connection::{Connection, Role};
use crate::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The thread that copies. It ends with its bell.
pub(super) struct Checkpointer {
    bell: SyncSender<()>,
    thread: JoinHandle<()>,
    /// Whether it copies, or will at once.
    busy: Arc<AtomicBool>,
}

impl Checkpointer {
    pub(super) fn start(path: PathBuf) -> Result<Checkpointer, Error> {
        // The writer rings when nothing is being copied, so that one place is enough.
        let (bell, rung) = sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let ends = busy.clone();
        let thread = std::thread::Builder::new().name("meta-checkpoint".to_owned());
        let thread = thread.spawn(move || run(&path, &rung, &ends));
        let thread = thread.map_err(|error| Error::Store("starting the checkpointer".to_owned(), Arc::new(error)))?;
        Ok(Checkpointer { bell, thread, busy })
    }

    /// Has the log copied, as far as readers allow.
    pub(super) fn ring(&self) {
        self.busy.store(true, Ordering::Release);
        if self.bell.try_send(()).is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }

    /// Whether the log is being copied.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Lets a pass that runs end, and ends the thread.
    pub(super) fn stop(self) {
        drop(self.bell);
        if self.thread.join().is_err() {
            tracing::error!("the checkpointer panicked");
        }
    }
}

fn run(path: &std::path::Path, rung: &Receiver<()>, busy: &AtomicBool) {
    let mut connection = None;
    while rung.recv().is_ok() {
        if let Err(error) = pass(path, &mut connection) {
            // Nothing is lost: the log keeps what was committed for a later try.
            tracing::warn!(error = &error as &dyn std::error::Error, "the metadata log could not be copied");
            connection = None;
        }
        busy.store(false, Ordering::Release);
    }
}

fn pass(path: &std::path::Path, connection: &mut Option<Connection>) -> Result<(), Error> {
    match connection {
        Some(connection) => connection,
        none => none.insert(Connection::open(path, Role::Reader)?),
    }
    .copy_log()
}
