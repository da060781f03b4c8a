//! Queues refusals and writes them to their repositories' rings.

use super::{PushAttempt, PushRefusal, RING};
use crate::outbox::Outbox;
use crate::{Cx, Error, RegistryId, System};
use aws_lc_rs::digest::{Context, SHA256};
use kernel::excerpt;
use meta::records::RegistryKey;
use meta::records::push_refusal::PushRefusalRow;
use oci::RepositoryName;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// The most refusals that wait to be written on one node. Further ones are only counted. With the longest texts they take some 6 MiB.
pub const QUEUE: usize = 1024;
/// The most refusals in one transaction.
const BATCH: usize = 64;
/// The most characters of a refusal's message. Nobody reads more.
const MAX_MESSAGE: usize = 1000;

/// Refusals of this node on their way to the store. The same refusal of one repository again is counted, and takes no more room.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Outbox<Key, Queued>,
    dropped: AtomicU64,
}

/// A repository, and the hash that is the same for equal refusals.
type Key = (RegistryKey, String, [u8; 32]);

struct Queued {
    registry: RegistryId,
    repository: RepositoryName,
    row: PushRefusalRow,
}

impl Queue {
    pub(super) fn of(system: &System) -> &Queue {
        system.state()
    }

    /// Returns the number of dropped refusals.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Returns the number of waiting refusals, at most [`QUEUE`].
    pub(super) fn len(&self) -> usize {
        self.waiting.count()
    }

    /// Waits until all earlier refusals were written or dropped. Hangs unless [`run`] is running.
    pub(super) async fn written(&self) {
        self.waiting.written().await;
    }

    fn add(&self, queued: Queued) {
        let mut same = [0; 32];
        same.copy_from_slice(&queued.row.same);
        let key = (queued.registry.key(), queued.repository.to_string(), same);
        self.waiting.change(|waiting| {
            if let Some(older) = waiting.get_mut(&key) {
                let row = &older.row;
                older.row = PushRefusalRow { first_at: row.first_at, times: row.times + 1, ..queued.row };
            } else if waiting.len() < QUEUE {
                waiting.insert(key, queued);
            } else {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Queues a refusal of the call for the repository's ring. It does not block and can't fail.
pub fn refused(cx: &Cx, attempt: PushAttempt, refusal: PushRefusal) {
    let now = cx.now().0;
    let principal = cx.caller_arn();
    let message = excerpt(&refusal.message, MAX_MESSAGE);
    let row = PushRefusalRow {
        same: same(&principal, &attempt, &refusal, &message).to_vec(),
        id: cx.id(),
        first_at: now,
        last_at: now,
        times: 1,
        actor: principal,
        source: cx.source(),
        user_agent: cx.user_agent(),
        request_id: cx.request_id().unwrap_or_default().to_owned(),
        action: attempt.action.to_owned(),
        tag: attempt.tag,
        digest: attempt.digest.map(|digest| digest.to_bytes()),
        status: refusal.status.into(),
        code: refusal.code.to_owned(),
        message,
    };
    Queue::of(cx).add(Queued { registry: cx.registry.clone(), repository: attempt.repository, row });
}

/// Returns a hash that is the same for refusals of a repository that are one line of its log.
fn same(principal: &str, attempt: &PushAttempt, refusal: &PushRefusal, message: &str) -> [u8; 32] {
    let about = (attempt.tag.as_deref().unwrap_or_default(), attempt.digest.map(|digest| digest.to_string()));
    let (tag, digest) = if refusal.denied { ("", None) } else { about };
    let mut hash = Context::new(&SHA256);
    for text in [principal, attempt.action, refusal.code, message, tag, digest.as_deref().unwrap_or_default()] {
        hash.update(&text.len().to_le_bytes());
        hash.update(text.as_bytes());
    }
    let mut same = [0; 32];
    same.copy_from_slice(hash.finish().as_ref());
    same
}

/// Writes the queued refusals, until `stop` turns true or is dropped. Then writes the rest and returns.
pub async fn run(system: Arc<System>, stop: watch::Receiver<bool>) {
    Queue::of(&system).waiting.run(stop, |load| write(&system, load.into_values().collect())).await;
}

async fn write(system: &System, mut load: Vec<Queued>) {
    while !load.is_empty() {
        let batch = load.split_off(load.len().saturating_sub(BATCH));
        let count = batch.iter().map(|queued| u64::try_from(queued.row.times).unwrap_or(0)).sum();
        if let Err(error) = write_batch(system, batch).await {
            Queue::of(system).dropped.fetch_add(count, Ordering::Relaxed);
            tracing::warn!(%error, count, "Refused pushes could not be written to the push log");
        }
    }
}

async fn write_batch(system: &System, batch: Vec<Queued>) -> Result<(), Error> {
    system
        .db
        .write(move |tx| {
            for Queued { registry, repository, row } in &batch {
                let Some(found) = tx.repository_by_name(&registry.key(), repository.as_str())? else { continue };
                tx.push_refusal_put(found.id, row)?;
                tx.push_refusal_trim(found.id, RING)?;
            }
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(seed: u8, at: i64) -> Queued {
        let row = PushRefusalRow {
            same: vec![seed; 32],
            id: meta::PushRefusalId([seed; 16]),
            first_at: at,
            last_at: at,
            times: 1,
            actor: String::new(),
            source: String::new(),
            user_agent: String::new(),
            request_id: at.to_string(),
            action: String::new(),
            tag: None,
            digest: None,
            status: 400,
            code: String::new(),
            message: String::new(),
        };
        let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
        Queued { registry, repository: "app".parse().unwrap(), row }
    }

    #[test]
    fn equal_refusals_share_a_place_and_a_full_queue_only_counts() {
        let queue = Queue::default();
        for at in 1..=5000 {
            queue.add(queued(7, at));
        }
        assert_eq!((queue.len(), queue.dropped()), (1, 0));
        let (load, _) = queue.waiting.take().unwrap();
        let row = &load.values().next().unwrap().row;
        assert_eq!((row.times, row.first_at, row.last_at, row.request_id.as_str()), (5000, 1, 5000, "5000"));

        for number in 0..QUEUE + 10 {
            let mut one = queued(0, 1);
            one.row.same[..8].copy_from_slice(&number.to_le_bytes());
            queue.add(one);
        }
        assert_eq!((queue.len(), queue.dropped()), (QUEUE, 10));
        queue.add(queued(0, 2));
        assert_eq!((queue.len(), queue.dropped()), (QUEUE, 10), "a refusal that waits already was dropped");
    }

    #[test]
    fn denials_are_equal_for_all_tags_and_other_refusals_are_not() {
        let attempt = |tag: &str| PushAttempt {
            action: "PUT manifest",
            repository: "app".parse().unwrap(),
            tag: Some(tag.to_owned()),
            digest: None,
        };
        let refusal =
            |denied| PushRefusal { status: 403, code: "DENIED", message: "not authorized".to_owned(), denied };
        for denied in [true, false] {
            let hash = |tag| same("root", &attempt(tag), &refusal(denied), "not authorized");
            assert_eq!(hash("v1") == hash("v2"), denied);
        }
        let hash = |principal, message| same(principal, &attempt("v1"), &refusal(true), message);
        assert_ne!(hash("root", "a"), hash("user", "a"));
        assert_ne!(hash("root", "a"), hash("root", "b"));
    }
}
