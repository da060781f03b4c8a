//! Ensures one writer for each location: the disk work of a dropped or superseded writer ends before a newer writer begins.

use crate::{Error, Location, lock};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All permits of one location. A write takes [`WRITE`] of them, a sync beside the writes takes [`SYNC`], and exclusive work takes all.
///
/// So one buffer is written to the disk while the next is filled and hashed, 1 MiB for a transfer (DESIGN "Limits").
pub(super) const ALL: u32 = WRITE + SYNC;
pub(super) const WRITE: u32 = 2;
pub(super) const SYNC: u32 = 1;

/// The registry of current writers.
#[derive(Default)]
pub(super) struct Fences {
    current: Arc<Current>,
}

/// The permits of each location's newest writer. An entry lives as long as the writer or its disk work.
type Current = Mutex<HashMap<Location, Arc<Semaphore>>>;

/// A writer's right to write its location, and its first failure. If the permits are closed, a newer writer has the right.
pub(super) struct Fence {
    permits: Arc<Semaphore>,
    failure: Mutex<Option<Error>>,
    location: Location,
    current: Arc<Current>,
}

/// Disk work of a writer, in progress. Dropping it without [`Flight::end`], as a panic or a stopping runtime does, counts as a failure.
pub(super) struct Flight {
    fence: Arc<Fence>,
    ended: bool,
    /// The last field, so that it is released after the outcome is recorded.
    permit: OwnedSemaphorePermit,
}

impl Fences {
    /// Registers the writer of a new location.
    pub(super) fn begin(&self, location: Location) -> Arc<Fence> {
        let fence = self.fence(location);
        lock(&self.current).insert(location, fence.permits.clone());
        fence
    }

    /// Registers a newer writer, after ending the earlier one and waiting for its disk work.
    ///
    /// The returned flight blocks any further writer. If the future is dropped early, the newer writer is not registered.
    pub(super) async fn take_over(&self, location: Location) -> Result<Flight, Error> {
        let flight = self.fence(location).enter_alone().await?;
        while let Some(earlier) = self.register(&flight.fence) {
            // On an error the permits are closed already, which happens only after the earlier writer's flights have ended.
            let _all = earlier.acquire_many(ALL).await;
            earlier.close();
        }
        Ok(flight)
    }

    /// Registers the fence as the location's writer. If another writer is still registered, returns that writer's permits instead.
    fn register(&self, fence: &Fence) -> Option<Arc<Semaphore>> {
        let mut current = lock(&self.current);
        match current.get(&fence.location) {
            Some(permits) if !permits.is_closed() => Some(permits.clone()),
            _ => {
                current.insert(fence.location, fence.permits.clone());
                None
            }
        }
    }

    fn fence(&self, location: Location) -> Arc<Fence> {
        let permits = Arc::new(Semaphore::new(ALL as usize));
        Arc::new(Fence { permits, failure: Mutex::new(None), location, current: self.current.clone() })
    }
}

impl Fence {
    /// Begins a write after the previous write has ended.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Flight, Error> {
        self.enter_with(WRITE).await
    }

    /// Begins exclusive disk work after all other work of this writer has ended.
    pub(super) async fn enter_alone(self: &Arc<Self>) -> Result<Flight, Error> {
        self.enter_with(ALL).await
    }

    async fn enter_with(self: &Arc<Self>, permits: u32) -> Result<Flight, Error> {
        let permit = self.permits.clone().acquire_many_owned(permits).await.map_err(|_| Error::Superseded)?;
        match &*lock(&self.failure) {
            Some(failure) => Err(failure.clone()),
            None => Ok(Flight { fence: self.clone(), ended: false, permit }),
        }
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        let mut current = lock(&self.current);
        if current.get(&self.location).is_some_and(|permits| Arc::ptr_eq(permits, &self.permits)) {
            current.remove(&self.location);
        }
    }
}

impl Flight {
    /// Returns the fence of the writer that does the work.
    pub(super) fn fence(&self) -> Arc<Fence> {
        self.fence.clone()
    }

    /// Allows writes beside this work, a sync that began exclusively.
    pub(super) fn share(mut self) -> Flight {
        drop(self.permit.split((ALL - SYNC) as usize));
        self
    }

    /// Ends the work. A failure makes every later call of the writer fail.
    pub(super) fn end<T>(mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.ended = true;
        if let Err(error) = &result {
            self.fence.fail(error.clone());
        }
        result
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.ended {
            self.fence.fail(Error::Io("disk work ended early", Arc::new(io::ErrorKind::Interrupted.into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const AT: Location = Location([7; 16]);

    fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn a_newer_writer_waits_for_the_disk_work_of_an_earlier_writer_that_was_dropped() {
        let fences = Fences::default();
        let earlier = fences.begin(AT);
        let flight = earlier.enter().await.unwrap();
        drop(earlier);
        let mut newer = pin!(fences.take_over(AT));
        assert!(poll_once(newer.as_mut()).is_pending(), "it did not wait for an earlier writer's work");
        flight.end(Ok(())).unwrap();
        newer.await.unwrap().end(Ok(())).unwrap();
    }

    #[tokio::test]
    async fn a_cancelled_take_over_leaves_the_earlier_writer_registered() {
        let fences = Fences::default();
        let earlier = fences.begin(AT);
        let flight = earlier.enter().await.unwrap();
        {
            let mut cancelled = pin!(fences.take_over(AT));
            assert!(poll_once(cancelled.as_mut()).is_pending());
        }
        let mut newer = pin!(fences.take_over(AT));
        assert!(poll_once(newer.as_mut()).is_pending(), "the earlier writer was forgotten");
        flight.end(Ok(())).unwrap();
        let newer = newer.await.unwrap();
        assert!(matches!(earlier.enter().await, Err(Error::Superseded)));
        newer.end(Ok(())).unwrap();
    }

    #[tokio::test]
    async fn only_the_newest_of_several_writers_can_write() {
        let fences = Fences::default();
        let oldest = fences.begin(AT);
        let first = fences.take_over(AT).await.unwrap();
        let mut second = pin!(fences.take_over(AT));
        assert!(poll_once(second.as_mut()).is_pending(), "it did not wait for the writer before it to begin");
        let first_fence = first.fence();
        first.end(Ok(())).unwrap();
        let second = second.await.unwrap();
        let second_fence = second.fence();
        second.end(Ok(())).unwrap();
        assert!(matches!(oldest.enter().await, Err(Error::Superseded)));
        assert!(matches!(first_fence.enter().await, Err(Error::Superseded)));
        second_fence.enter().await.unwrap().end(Ok(())).unwrap();
    }

    #[tokio::test]
    async fn a_dropped_writer_is_unregistered() {
        let fences = Fences::default();
        let earlier = fences.begin(AT);
        let newer = fences.take_over(AT).await.unwrap();
        drop(earlier);
        assert_eq!(lock(&fences.current).len(), 1, "the earlier writer removed the newer one's registration");
        newer.end(Ok(())).unwrap();
        assert!(lock(&fences.current).is_empty());
    }

    #[tokio::test]
    async fn disk_work_that_panics_fails_its_writer() {
        let fence = Fences::default().begin(AT);
        let flight = fence.enter().await.unwrap();
        let panicked = tokio::task::spawn_blocking(move || {
            let _flight = flight;
            panic!("a disk that panics");
        });
        assert!(panicked.await.unwrap_err().is_panic());
        assert!(matches!(fence.enter_alone().await, Err(Error::Io("disk work ended early", _))));
    }
}
