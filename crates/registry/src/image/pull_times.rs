//! The way of a pull's time to its record (`ECR.md` K.2), which no pull waits for: else the first pull of each hour would take
//! as long as a disk takes to sync.
//!
//! What a crash takes is recorded by the next pull.
use crate::System;
use meta::records::Id;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Images whose pulls wait to be recorded at most, on one node. One more is recorded by a later pull of it.
const QUEUE: usize = 4096;

/// Pulls of this node on their way to the store.
pub struct PullTimes {
    waiting: Mutex<Waiting>,
    bell: Notify,
    /// The number of the last load that was written.
    written: watch::Sender<u64>,
}

#[derive(Default)]
struct Waiting {
    /// The time of each image's last pull, by its id, so that transactions of several nodes meet rows in one order.
    pulled: BTreeMap<Id, i64>,
    /// Loads that were taken from here to be written.
    loads: u64,
}

impl Default for PullTimes {
    fn default() -> PullTimes {
        PullTimes { waiting: Mutex::default(), bell: Notify::new(), written: watch::Sender::new(0) }
    }
}

impl PullTimes {
    /// Puts pulls at `now` on their way.
    pub(super) fn add(&self, images: impl Iterator<Item = Id>, now: i64) {
        let mut waiting = self.lock();
        for image in images {
            if waiting.pulled.len() < QUEUE || waiting.pulled.contains_key(&image) {
                waiting.pulled.insert(image, now);
            }
        }
        let ring = !waiting.pulled.is_empty();
        drop(waiting);
        if ring {
            self.bell.notify_one();
        }
    }

    /// Returns once all that was pulled before has been recorded, or could not be. It takes [`run`].
    pub(super) async fn written(&self) {
        let load = {
            let waiting = self.lock();
            waiting.loads + u64::from(!waiting.pulled.is_empty())
        };
        // The sender lives as long as this.
        let _ = self.written.subscribe().wait_for(|written| *written >= load).await;
    }

    /// All that waits, and the number of this load; `None` when nothing does.
    fn take(&self) -> Option<(BTreeMap<Id, i64>, u64)> {
        let mut waiting = self.lock();
        if waiting.pulled.is_empty() {
            return None;
        }
        waiting.loads += 1;
        Some((std::mem::take(&mut waiting.pulled), waiting.loads))
    }

    /// Nothing that holds this lock can panic halfway through a change, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records the pulls that wait, until `stop` turns true or is dropped; what waits then is recorded first.
pub async fn run(system: Arc<System>, mut stop: watch::Receiver<bool>) {
    loop {
        write(&system).await;
        tokio::select! {
            () = system.pull_times.bell.notified() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    write(&system).await;
}

/// A pull does not depend on its record: with a full disk it goes on all the same.
async fn write(system: &System) {
    while let Some((pulled, number)) = system.pull_times.take() {
        let count = pulled.len();
        let recorded =
            system.db.write(move |tx| pulled.iter().try_for_each(|(image, at)| tx.image_pull_put(*image, *at)));
        if let Err(error) = recorded.await {
            let error: &meta::Error = &error;
            tracing::warn!(error = error as &dyn std::error::Error, count, "The times of pulls were not recorded");
        }
        system.pull_times.written.send_replace(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pull_of_an_image_counts_and_a_full_queue_takes_only_what_is_in_it() {
        let times = PullTimes::default();
        let id = |number: usize| (number as u128).to_be_bytes();
        times.add((0..QUEUE).map(id), 1);
        times.add([id(QUEUE), id(7)].into_iter(), 2);
        let (pulled, number) = times.take().unwrap();
        assert_eq!((pulled.len(), number), (QUEUE, 1));
        assert_eq!((pulled[&id(7)], pulled[&id(8)]), (2, 1));
        assert!(times.take().is_none());
    }
}
