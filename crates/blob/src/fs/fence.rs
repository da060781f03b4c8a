//! One writer for each location: what a dropped or superseded writer had under way ends before a newer one begins.
use crate::{Error, Location, lock};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What the work of one location shares: a write takes [`WRITE`] of it, a sync beside it [`SYNC`], and what must be alone takes all.
/// So one buffer is on its way to the disk while the next is filled and hashed, 1 MiB for a transfer (DESIGN "Limits").
pub(super) const ALL: u32 = WRITE + SYNC;
pub(super) const WRITE: u32 = 2;
pub(super) const SYNC: u32 = 1;

/// The writers that there are.
#[derive(Default)]
pub(super) struct Fences {
    current: Arc<Current>,
}

/// The permits of each location's newest writer, for as long as it or its work lives.
type Current = Mutex<HashMap<Location, Arc<Semaphore>>>;

/// A writer's right to its location, and its first failure. Closed permits mean that the right is lost.
pub(super) struct Fence {
    permits: Arc<Semaphore>,
    failure: Mutex<Option<Error>>,
    location: Location,
    current: Arc<Current>,
}

/// Disk work of a writer that is under way. Dropped without [`Flight::end`] (a panic, a runtime that stops) it counts as failed.
pub(super) struct Flight {
    fence: Arc<Fence>,
    ended: bool,
    /// Given back last, when the outcome is known.
    permit: OwnedSemaphorePermit,
}

impl Fences {
    /// Registers the writer of a location that was just created.
    pub(super) fn begin(&self, location: Location) -> Arc<Fence> {
        let fence = self.fence(location);
        lock(&self.current).insert(location, fence.permits.clone());
        fence
    }

    /// Registers a newer writer, after ending the one before it and waiting for what that had under way.
    /// The flight returned keeps an even newer one waiting. Given up half-way, the newer one was never registered.
    pub(super) async fn take_over(&self, location: Location) -> Result<Flight, Error> {
        let flight = self.fence(location).enter_alone().await?;
        while let Some(earlier) = self.register(&flight.fence) {
            // An error says that it is closed already, which happens only after its flights have ended.
            let _all = earlier.acquire_many(ALL).await;
            earlier.close();
        }
        Ok(flight)
    }

    /// Makes it the location's writer, unless another one is in the way, whose permits it answers.
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
    /// Begins a write, after the one before it has ended.
    pub(super) async fn enter(self: &Arc<Self>) -> Result<Flight, Error> {
        self.enter_with(WRITE).await
    }

    /// Begins disk work after all that is under way has ended, with none beside it.
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
    /// The fence that the work belongs to.
    pub(super) fn fence(&self) -> Arc<Fence> {
        self.fence.clone()
    }

    /// Lets writes go on beside a sync, which began alone.
    pub(super) fn share(mut self) -> Flight {
        drop(self.permit.split((ALL - SYNC) as usize));
        self
    }

    /// Ends the work; a failure is the writer's failure from now on.
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
    async fn a_newer_writer_waits_for_what_an_earlier_one_has_under_way_even_if_that_one_is_gone() {
        let fences = Fences::default();
        let earlier = fences.begin(AT);
        let flight = earlier.enter().await.unwrap();
        drop(earlier);
        let mut newer = pin!(fences.take_over(AT));
        assert!(poll_once(newer.as_mut()).is_pending(), "it went ahead beside an earlier writer's work");
        flight.end(Ok(())).unwrap();
        newer.await.unwrap().end(Ok(())).unwrap();
    }

    #[tokio::test]
    async fn a_take_over_that_is_given_up_leaves_the_location_guarded() {
        let fences = Fences::default();
        let earlier = fences.begin(AT);
        let flight = earlier.enter().await.unwrap();
        {
            let mut given_up = pin!(fences.take_over(AT));
            assert!(poll_once(given_up.as_mut()).is_pending());
        }
        let mut newer = pin!(fences.take_over(AT));
        assert!(poll_once(newer.as_mut()).is_pending(), "the earlier writer was forgotten");
        flight.end(Ok(())).unwrap();
        let newer = newer.await.unwrap();
        assert!(matches!(earlier.enter().await, Err(Error::Superseded)));
        newer.end(Ok(())).unwrap();
    }

    #[tokio::test]
    async fn the_newest_of_several_writers_stays() {
        let fences = Fences::default();
        let oldest = fences.begin(AT);
        let first = fences.take_over(AT).await.unwrap();
        let mut second = pin!(fences.take_over(AT));
        assert!(poll_once(second.as_mut()).is_pending(), "it did not wait for the one before it to begin");
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
    async fn nothing_is_kept_of_writers_that_are_gone() {
        let fences = Fences::default();
        let earlier = fences.begin(AT);
        let newer = fences.take_over(AT).await.unwrap();
        drop(earlier);
        assert_eq!(lock(&fences.current).len(), 1, "the earlier writer took the newer one's registration with it");
        newer.end(Ok(())).unwrap();
        assert!(lock(&fences.current).is_empty());
    }

    #[tokio::test]
    async fn work_that_never_ends_properly_fails_its_writer() {
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
