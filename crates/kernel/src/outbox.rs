//! A buffer of entries that no call waits for. A background task writes them to the store in batches.

use crate::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::{Notify, watch};

/// Entries that will be written to the store, by key. The code that adds entries limits their number.
pub struct Outbox<K, V> {
    waiting: Mutex<Waiting<K, V>>,
    bell: Notify,
    /// The number of the last batch that was written.
    written: watch::Sender<u64>,
}

struct Waiting<K, V> {
    entries: BTreeMap<K, V>,
    /// The number of batches that were taken.
    loads: u64,
}

impl<K, V> Default for Outbox<K, V> {
    fn default() -> Outbox<K, V> {
        let waiting = Mutex::new(Waiting { entries: BTreeMap::new(), loads: 0 });
        Outbox { waiting, bell: Notify::new(), written: watch::Sender::new(0) }
    }
}

impl<K: Ord, V> Outbox<K, V> {
    /// Changes the waiting entries and wakes [`Outbox::run`].
    pub fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<K, V>) -> T) -> T {
        let mut waiting = lock(&self.waiting);
        let changed = change(&mut waiting.entries);
        let ring = !waiting.entries.is_empty();
        drop(waiting);
        if ring {
            self.bell.notify_one();
        }
        changed
    }

    /// The number of waiting entries.
    pub fn count(&self) -> usize {
        lock(&self.waiting).entries.len()
    }

    /// Waits until all current entries are written. [`Outbox::run`] must be running.
    pub async fn written(&self) {
        let load = {
            let waiting = lock(&self.waiting);
            waiting.loads + u64::from(!waiting.entries.is_empty())
        };
        // The sender is a field of this outbox, so waiting can't fail.
        let _ = self.written.subscribe().wait_for(|written| *written >= load).await;
    }

    /// Takes all waiting entries as a batch, with the batch's number. `None` if no entry waits.
    pub fn take(&self) -> Option<(BTreeMap<K, V>, u64)> {
        let mut waiting = lock(&self.waiting);
        if waiting.entries.is_empty() {
            return None;
        }
        waiting.loads += 1;
        Some((std::mem::take(&mut waiting.entries), waiting.loads))
    }

    /// Writes batches until `stop` turns true or is dropped. Then it writes the last batch and ends.
    pub async fn run<W: Future<Output = ()>>(
        &self,
        mut stop: watch::Receiver<bool>,
        write: impl Fn(BTreeMap<K, V>) -> W,
    ) {
        loop {
            self.empty(&write).await;
            tokio::select! {
                () = self.bell.notified() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.empty(&write).await;
    }

    async fn empty<W: Future<Output = ()>>(&self, write: &impl Fn(BTreeMap<K, V>) -> W) {
        while let Some((load, number)) = self.take() {
            write(load).await;
            self.written.send_replace(number);
        }
    }
}
