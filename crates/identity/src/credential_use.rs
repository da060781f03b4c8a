//! Records when and for what access keys and roles were last used. No call waits for it.
//!
//! A node records a credential at most once per [`INTERVAL`], so that the last use is exact to the interval. If a crash loses a use, the
//! next use records it.

use crate::access_key::ID_PREFIX;
use crate::{Capability, System};
use kernel::access::{Caller, CallerIdentity};
use kernel::clock::Time;
use kernel::outbox::Outbox;
use meta::records::access_key::CredentialUseRow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// The shortest time between two records of one credential on one node.
const INTERVAL: Duration = Duration::from_secs(60);

/// The most credentials that a node remembers within [`INTERVAL`]. The uses of further ones are dropped, and recorded later.
const KNOWN: usize = 4096;

/// The queue of uses, and the task that records them.
pub(crate) const CAPABILITY: Capability =
    Capability::with_state::<Uses>().with_run(|system, stop| Box::pin(run(system, stop)));

#[derive(Default)]
struct Uses {
    /// The time at which each credential was last put into the queue.
    queued: Mutex<HashMap<String, Time>>,
    queue: Outbox<String, CredentialUseRow>,
}

impl Uses {
    /// Returns true if a use at `now` must be recorded, and notes that it is.
    fn is_due(&self, id: &str, now: Time) -> bool {
        let mut queued = kernel::lock(&self.queued);
        // After the clock was set back, the use is recorded.
        let recent = |since: &Time| *since <= now && now < since.plus(INTERVAL);
        if queued.get(id).is_some_and(recent) {
            return false;
        }
        if queued.len() >= KNOWN {
            queued.retain(|_, since| recent(since));
        }
        let room = queued.len() < KNOWN || queued.contains_key(id);
        if room {
            queued.insert(id.to_owned(), now);
        }
        room
    }
}

/// Queues the use of a caller's access key or role by an authenticated call of a service in a region.
pub fn record(system: &System, caller: &Caller, service: &str, region: &str) {
    let id = match &caller.identity {
        CallerIdentity::RoleSession { id, .. } => id,
        _ if caller.session.is_none() && caller.access_key_id.starts_with(ID_PREFIX) => &caller.access_key_id,
        _ => return,
    };
    let (now, uses) = (system.now(), system.state::<Uses>());
    if !uses.is_due(id, now) {
        return;
    }
    let row = CredentialUseRow { used_at: now.0, service: service.to_owned(), region: region.to_owned() };
    // The queue is bounded: an id is added to it only once per interval.
    uses.queue.change(|waiting| waiting.insert(id.clone(), row));
}

/// Waits until all earlier uses were recorded, or failed to be. Hangs unless the system is running.
pub async fn written(system: &System) {
    system.state::<Uses>().queue.written().await;
}

/// Records the queued uses, until `stop` turns true or is dropped. Then records the rest and returns.
async fn run(system: Arc<System>, stop: watch::Receiver<bool>) {
    system.state::<Uses>().queue.run(stop, |used| write(&system, used)).await;
}

/// Records uses, ordered by id, so that the transactions of all nodes lock rows in the same order. A failure is only logged, because
/// calls must work on a full disk too.
async fn write(system: &System, used: BTreeMap<String, CredentialUseRow>) {
    let count = used.len();
    let recorded = system.db.write(move |tx| used.iter().try_for_each(|(id, used)| tx.credential_use_put(id, used)));
    if let Err(error) = recorded.await {
        let error: &meta::Error = &error;
        tracing::warn!(
            error = error as &dyn std::error::Error,
            count,
            "The last uses of credentials were not recorded"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_due_once_an_interval_and_the_memory_is_bounded() {
        let uses = Uses::default();
        let start = Time(0);
        for number in 0..KNOWN {
            assert!(uses.is_due(&number.to_string(), start));
            assert!(!uses.is_due(&number.to_string(), start));
        }
        assert!(!uses.is_due("one more", start), "there is no room");
        let later = start.plus(INTERVAL);
        assert!(uses.is_due("0", later));
        assert!(uses.is_due("one more", later), "old ones make room");
        assert_eq!(uses.queued.lock().unwrap().len(), 2);
    }
}
