//! Quotas of repositories and images (`ECR.md` M), without a count at every call.
//!
//! A count is O(n), and a counter would be a row that every push to a repository changes: on PostgreSQL pushes would conflict. So a node
//! remembers the remaining quota from an exact count, and uses a part of it before it counts again. Near the limit that part is zero, so
//! every call counts. Concurrent calls may exceed a quota by their number. Each further node may exceed it by its part of a count that is
//! at most [`COUNT_LIFE`] old.

use crate::clock::Time;
use crate::{Capability, Error, RegistryId, System, lock};
use oci::RepositoryName;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

/// One in so many of the remaining quota is used without another count.
const SHARE: u64 = 64;
/// The lifetime of a count, because other nodes use the same quota.
const COUNT_LIFE: Duration = Duration::from_secs(10);
/// The most subjects whose count is remembered. For further ones every call counts. With the longest names they take 2 MiB.
const REMEMBERED: usize = 4096;

/// The room that this node knows of.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<Quota>();

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QuotaSubject {
    Repositories(RegistryId),
    Images { registry: RegistryId, repository: RepositoryName },
}

/// The room that this node knows of.
#[derive(Default)]
pub(crate) struct Quota(Mutex<HashMap<QuotaSubject, Room>>);

struct Room {
    /// How many more can be created without a count.
    left: u64,
    until: Time,
}

impl Quota {
    pub(crate) fn of(system: &System) -> &Quota {
        system.state()
    }

    /// Returns true if the quota allows one more. `count` counts the existing ones, and is called only if needed.
    pub(crate) async fn room(
        &self,
        subject: QuotaSubject,
        limit: u64,
        now: Time,
        count: impl AsyncFnOnce() -> Result<i64, Error>,
    ) -> Result<bool, Error> {
        if self.take(&subject, now) {
            return Ok(true);
        }
        let counted = u64::try_from(count().await?).unwrap_or(0);
        let free = limit.saturating_sub(counted);
        self.remember(subject, Room { left: free / SHARE, until: now.plus(COUNT_LIFE) }, now);
        Ok(free > 0)
    }

    fn take(&self, subject: &QuotaSubject, now: Time) -> bool {
        let mut rooms = lock(&self.0);
        let Some(room) = rooms.get_mut(subject).filter(|room| room.left > 0 && room.until > now) else { return false };
        room.left -= 1;
        true
    }

    fn remember(&self, subject: QuotaSubject, room: Room, now: Time) {
        let mut rooms = lock(&self.0);
        if rooms.len() >= REMEMBERED {
            rooms.retain(|_, room| room.left > 0 && room.until > now);
        }
        if room.left > 0 && rooms.len() < REMEMBERED {
            rooms.insert(subject, room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn images(number: usize) -> QuotaSubject {
        let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
        QuotaSubject::Images { registry, repository: format!("app{number}").parse().unwrap() }
    }

    /// Makes `calls` calls at `now`, each of which would find `count`. Returns how many counted, and whether the last one was allowed.
    async fn counts(quota: &Quota, (count, limit): (i64, u64), now: Time, calls: usize) -> (usize, bool) {
        let (mut counted, mut room) = (0, false);
        for _ in 0..calls {
            let asked = quota.room(images(0), limit, now, async || {
                counted += 1;
                Ok(count)
            });
            room = asked.await.unwrap();
        }
        (counted, room)
    }

    #[tokio::test]
    async fn few_calls_count_far_from_the_limit_and_all_near_it() {
        for ((count, limit), calls, expected) in [
            ((0, 100_000), 1563, (1, true)),
            ((0, 100_000), 1564, (2, true)),
            ((99_936, 100_000), 4, (2, true)),
            ((99_937, 100_000), 4, (4, true)),
            ((100_000, 100_000), 4, (4, false)),
            ((100_001, 100_000), 4, (4, false)),
            ((0, 2), 2, (2, true)),
        ] {
            assert_eq!(counts(&Quota::default(), (count, limit), NOW, calls).await, expected, "{count} of {limit}");
        }
    }

    #[tokio::test]
    async fn a_count_is_valid_for_its_lifetime_and_only_for_its_subject() {
        let quota = Quota::default();
        assert_eq!(counts(&quota, (0, 100_000), NOW, 2).await, (1, true));
        let last = Time(NOW.plus(COUNT_LIFE).0 - 1);
        assert_eq!(counts(&quota, (0, 100_000), last, 2).await, (0, true));
        assert!(!quota.take(&images(1), NOW));
        assert_eq!(counts(&quota, (100_000, 100_000), NOW.plus(COUNT_LIFE), 1).await, (1, false));
    }

    #[test]
    fn remembered_counts_are_bounded_and_old_ones_are_evicted() {
        let quota = Quota::default();
        let until = NOW.plus(COUNT_LIFE);
        for number in 0..REMEMBERED + 10 {
            quota.remember(images(number), Room { left: 1, until }, NOW);
        }
        assert_eq!(lock(&quota.0).len(), REMEMBERED);
        quota.remember(images(0), Room { left: 1, until: until.plus(COUNT_LIFE) }, until);
        assert_eq!(lock(&quota.0).len(), 1);
    }
}
