//! The way of a pull's time to its record (`ECR.md` K.2), which no pull waits for: else the first pull of each hour would take
//! as long as a disk takes to sync.
//!
//! What a crash takes is recorded by the next pull.
use crate::outbox::Outbox;
use crate::{Capability, System};
use meta::ImageId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Images whose pulls wait to be recorded at most, on one node. One more is recorded by a later pull of it.
const QUEUE: usize = 4096;

/// The queue of pulls, and what records them.
pub(crate) const CAPABILITY: Capability =
    Capability::with_state::<PullTimes>().with_run(|system, stop| Box::pin(run(system, stop)));

/// The time of each image's last pull on this node, by its id, so that transactions of several nodes meet rows in one order.
#[derive(Default)]
pub(super) struct PullTimes(Outbox<ImageId, i64>);

impl PullTimes {
    pub(super) fn of(system: &System) -> &PullTimes {
        system.state()
    }

    /// Puts pulls at `now` on their way.
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

    /// Returns once all that was pulled before has been recorded, or could not be. It takes [`run`].
    pub(super) async fn written(&self) {
        self.0.written().await;
    }
}

/// Records the pulls that wait, until `stop` turns true or is dropped; what waits then is recorded first.
pub async fn run(system: Arc<System>, stop: watch::Receiver<bool>) {
    PullTimes::of(&system).0.run(stop, |pulled| write(&system, pulled)).await;
}

/// A pull does not depend on its record: with a full disk it goes on all the same.
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
    fn the_last_pull_of_an_image_counts_and_a_full_queue_takes_only_what_is_in_it() {
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
