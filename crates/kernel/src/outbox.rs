//! What a node has for the store and no call waits for: gathered by key, and written in loads.
use crate::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::{Notify, watch};

/// Entries on their way to the store. Whoever adds some keeps their number within a bound.
pub struct Outbox<K, V> {
    waiting: Mutex<Waiting<K, V>>,
    bell: Notify,
    /// The number of the last load that was written.
    written: watch::Sender<u64>,
}

struct Waiting<K, V> {
    entries: BTreeMap<K, V>,
    /// Loads that were taken from here to be written.
    loads: u64,
}

impl<K, V> Default for Outbox<K, V> {
    fn default() -> Outbox<K, V> {
        let waiting = Mutex::new(Waiting { entries: BTreeMap::new(), loads: 0 });
        Outbox { waiting, bell: Notify::new(), written: watch::Sender::new(0) }
    }
}

impl<K: Ord, V> Outbox<K, V> {
    /// Changes what waits, and has it written.
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

    /// How many wait.
    pub fn count(&self) -> usize {
        lock(&self.waiting).entries.len()
    }

    /// Returns once all that waited before has been handed to the store. It takes [`Outbox::run`].
    pub async fn written(&self) {
        let load = {
            let waiting = lock(&self.waiting);
            waiting.loads + u64::from(!waiting.entries.is_empty())
        };
        // The sender lives as long as this.
        let _ = self.written.subscribe().wait_for(|written| *written >= load).await;
    }

    /// All that waits, and the number of this load; `None` when nothing does.
    pub fn take(&self) -> Option<(BTreeMap<K, V>, u64)> {
        let mut waiting = lock(&self.waiting);
        if waiting.entries.is_empty() {
            return None;
        }
        waiting.loads += 1;
        Some((std::mem::take(&mut waiting.entries), waiting.loads))
    }

    /// Writes what waits, load by load, until `stop` turns true or is dropped; what waits then is written first.
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
