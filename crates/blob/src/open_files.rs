//! Bounds the layer files that are open for reading, so that stalled pulls can't use up the process's file descriptors.

use crate::{Buffers, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The permits for open layer files, and how many readers wait for one.
pub(crate) struct OpenFiles {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl OpenFiles {
    /// Allows `max` open files at once, at least one.
    pub(crate) fn new(max: usize) -> Arc<OpenFiles> {
        let permits = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(OpenFiles { permits, waiting: AtomicUsize::new(0) })
    }

    /// Returns the number of readers that wait to open a file.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits until one more file may be opened. Fails with [`Error::Busy`] after [`Buffers::PATIENCE`]. Calls `starved` before it
    /// waits. Cancel-safe.
    pub(crate) async fn admit(&self, starved: impl FnOnce()) -> Result<OpenFile, Error> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(OpenFile(permit));
        }
        self.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiting(&self.waiting);
        starved();
        let admitted = timeout(Buffers::PATIENCE, self.permits.clone().acquire_owned()).await;
        admitted.ok().and_then(Result::ok).map(OpenFile).ok_or(Error::Busy)
    }
}

/// The permit of one open file, returned when dropped.
pub(crate) struct OpenFile(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

/// Counts one waiting reader until it is dropped, also if the wait is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
