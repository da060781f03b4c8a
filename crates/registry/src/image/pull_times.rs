//! Records pull times asynchronously (`ECR.md` K.2), so that the first pull of each hour does not wait for an fsync.
//!
//! If a crash loses a pull time, the next pull records it.

use crate::outbox::Outbox;
use crate::{Capability, System};
use meta::ImageId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The most images whose pull times wait on one node. The time of a further image is dropped, and recorded by a later pull.
const QUEUE: usize = 4096;

/// The queue of pull times, and the task that records them.
pub(crate) const CAPABILITY: Capability =
    Capability::with_state::<PullTimes>().with_run(|system, stop| Box::pin(run(system, stop)));

/// The last pull time on this node of each image. It is ordered by the image's id, so that the transactions of all nodes lock rows in the
/// same order.
#[derive(Default)]
pub(super) struct PullTimes(Outbox<ImageId, i64>);

impl PullTimes {
    pub(super) fn of(system: &System) -> &PullTimes {
        system.state()
    }

    /// Queues the pulls of some images at `now`.
    pub(super) fn add(&self, images: impl Iterator<Item = ImageId>, now: i64) {
        let mut images = images.peekable();
        if images.peek().is_none() {
            return;
        }
        self.0.change(|waiting| {
            for image in images {
                if waiting.len() < QUEUE || waiting.contains_key(&image) {
                    waiting.insert(image, now);
                }
            }
        });
    }

    /// Waits until all earlier pulls were recorded, or failed to be. Hangs unless [`run`] is running.
    pub(super) async fn written(&self) {
        self.0.written().await;
    }
}

/// Records the queued pulls, until `stop` turns true or is dropped. Then records the rest and returns.
pub async fn run(system: Arc<System>, stop: watch::Receiver<bool>) {
    PullTimes::of(&system).0.run(stop, |pulled| write(&system, pulled)).await;
}

/// Records pull times. A failure is only logged, because pulls must work on a full disk too.
async fn write(system: &System, pulled: BTreeMap<ImageId, i64>) {
    let count = pulled.len();
    let recorded = system.db.write(move |tx| pulled.iter().try_for_each(|(image, at)| tx.image_pull_put(*image, *at)));
    if let Err(error) = recorded.await {
        let error: &meta::Error = &error;
        tracing::warn!(error = error as &dyn std::error::Error, count, "The times of pulls were not recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pull_of_an_image_counts_and_a_full_queue_accepts_only_known_images() {
        let times = PullTimes::default();
        let id = |number: usize| ImageId((number as u128).to_be_bytes());
        times.add((0..QUEUE).map(id), 1);
        times.add([id(QUEUE), id(7)].into_iter(), 2);
        let (pulled, number) = times.0.take().unwrap();
        assert_eq!((pulled.len(), number), (QUEUE, 1));
        assert_eq!((pulled[&id(7)], pulled[&id(8)]), (2, 1));
        assert!(times.0.take().is_none());
    }
}
