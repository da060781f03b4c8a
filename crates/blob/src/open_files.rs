//! How many layers' files are open for reading, so that pulls that stall leave files to everything else.
use crate::{Buffers, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub(crate) struct OpenFiles {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl OpenFiles {
    /// At most `max` files at once, one at least.
    pub(crate) fn new(max: usize) -> Arc<OpenFiles> {
        let permits = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(OpenFiles { permits, waiting: AtomicUsize::new(0) })
    }

    /// How many wait to open a file.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Waits until one more file may be opened, for at most [`Buffers::PATIENCE`], then [`Error::Busy`]. `starved` is called when it
    /// has to wait. Cancel-safe.
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

/// The place of one open file; given back when dropped.
pub(crate) struct OpenFile(#[expect(dead_code, reason = "held until it is dropped")] OwnedSemaphorePermit);

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
