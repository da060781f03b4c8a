//! Quotas of repositories and images (`ECR.md` M), without a count at every call.
//!
//! A count is O(n), and a counter would be a row that every push to a repository changes: on PostgreSQL pushes would conflict. So a node
//! remembers the remaining quota from an exact count, and keeps track of its own changes: it creates a part of the remaining quota
//! before it counts again. Near the limit that part is all that remains, and at the limit calls are refused without a count, so that a
//! node counts a subject at most once in [`NEAR_LIFE`] there. Concurrent calls share a count.
//!
//! Concurrent calls may exceed a quota by their number. Each further node may exceed it by its part of a count, which is at most
//! [`COUNT_LIFE`] old, and near the limit [`NEAR_LIFE`]. What another node deletes can be created again after [`NEAR_LIFE`].

use crate::clock::Time;
use crate::{Capability, Error, RegistryId, System, lock};
use oci::RepositoryName;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Mutex;
use std::time::Duration;

/// One in so many of the remaining quota is used without another count.
const SHARE: u64 = 64;
/// The part that is used without another count, if a [`SHARE`] is less. If no more than this remains, the limit is near.
const LEAST: u64 = 64;
/// The lifetime of a count, because other nodes use the same quota.
const COUNT_LIFE: Duration = Duration::from_secs(10);
/// The lifetime of a count near the limit.
const NEAR_LIFE: Duration = Duration::from_millis(500);
/// The most subjects whose count is remembered. For further ones every call counts. With the longest names they take 2 MiB.
const REMEMBERED: usize = 4096;
/// The most counts that run at the same time.
const GATES: usize = 16;

/// The remaining quotas that this node knows of.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<Quota>();

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum QuotaSubject {
    Repositories(RegistryId),
    Images { registry: RegistryId, repository: RepositoryName },
}

/// The remaining quotas that this node knows of.
#[derive(Default)]
pub(crate) struct Quota {
    known: Mutex<Known>,
    /// One is locked while a subject is counted: the one that the subject's hash selects.
    gates: [tokio::sync::Mutex<()>; GATES],
}

#[derive(Default)]
struct Known {
    rooms: HashMap<QuotaSubject, Room>,
    /// The subjects that are being counted, with what was deleted meanwhile. `None` if the count must not be remembered.
    counting: HashMap<QuotaSubject, Option<u64>>,
    last_room: u64,
}

/// What a count left to this node.
struct Room {
    /// Unique among the rooms of this process.
    number: u64,
    /// How many more can be created without a count.
    left: u64,
    /// True if `left` was all that remained, so that nothing more can be created until a count or a deletion finds more.
    is_all: bool,
    until: Time,
}

/// Permission to create one. If nothing is created, it is given back by [`Quota::give_back`]. Otherwise it counts as used until the next
/// count.
#[must_use]
pub(crate) struct Reservation(Option<(QuotaSubject, u64)>);

enum Taken {
    Reserved(Reservation),
    /// The quota is used up.
    Full,
    /// Only a count can tell.
    Unknown,
}

impl Quota {
    pub(crate) fn of(system: &System) -> &Quota {
        system.state()
    }

    /// Returns a reservation if the quota allows one more, or if `exists` finds that nothing will be created. `count` counts the existing
    /// ones, and is called only if needed.
    pub(crate) async fn reserve(
        &self,
        subject: QuotaSubject,
        limit: u64,
        now: Time,
        exists: impl AsyncFnOnce() -> Result<bool, Error>,
        count: impl AsyncFnOnce() -> Result<i64, Error>,
    ) -> Result<Option<Reservation>, Error> {
        let mut taken = self.take(&subject, now);
        if matches!(taken, Taken::Unknown) {
            // Another call may have counted while this one waited.
            let _counting = self.gate(&subject).lock().await;
            taken = match self.take(&subject, now) {
                Taken::Unknown => self.count(subject, limit, now, count).await?,
                taken => taken,
            };
        }
        match taken {
            Taken::Reserved(reservation) => Ok(Some(reservation)),
            Taken::Full | Taken::Unknown => Ok(exists().await?.then_some(Reservation(None))),
        }
    }

    /// Takes back a reservation with which nothing was created.
    pub(crate) fn give_back(&self, reservation: Reservation) {
        let Some((subject, number)) = reservation.0 else { return };
        if let Some(room) = lock(&self.known).rooms.get_mut(&subject).filter(|room| room.number == number) {
            room.left += 1;
        }
    }

    /// Adds what this node deleted to what it may create.
    pub(crate) fn deleted(&self, subject: &QuotaSubject, number: u64) {
        let mut known = lock(&self.known);
        if let Some(room) = known.rooms.get_mut(subject) {
            room.left = room.left.saturating_add(number);
        }
        // The count may or may not see these deletions.
        if let Some(Some(deleted)) = known.counting.get_mut(subject) {
            *deleted = deleted.saturating_add(number);
        }
    }

    /// Forgets the count of a subject, which no longer exists, or which has grown otherwise than by a reservation.
    pub(crate) fn forget(&self, subject: &QuotaSubject) {
        let mut known = lock(&self.known);
        known.rooms.remove(subject);
        if let Some(deleted) = known.counting.get_mut(subject) {
            *deleted = None;
        }
    }

    fn gate(&self, subject: &QuotaSubject) -> &tokio::sync::Mutex<()> {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(subject);
        &self.gates[usize::try_from(hash % GATES as u64).unwrap_or(0)]
    }

    fn take(&self, subject: &QuotaSubject, now: Time) -> Taken {
        let mut known = lock(&self.known);
        match known.rooms.get_mut(subject).filter(|room| room.until > now) {
            Some(room) if room.left > 0 => {
                room.left -= 1;
                Taken::Reserved(Reservation(Some((subject.clone(), room.number))))
            }
            Some(room) if room.is_all => Taken::Full,
            _ => Taken::Unknown,
        }
    }

    /// Counts a subject, takes one from what remains, and remembers this node's part of it.
    async fn count(
        &self,
        subject: QuotaSubject,
        limit: u64,
        now: Time,
        count: impl AsyncFnOnce() -> Result<i64, Error>,
    ) -> Result<Taken, Error> {
        let running = RunningCount::begin(self, subject);
        let counted = u64::try_from(count().await?).unwrap_or(0);
        let deleted = running.deleted();
        let free = limit.saturating_sub(counted).saturating_add(deleted.unwrap_or(0));
        let part = (free / SHARE).max(free.min(LEAST));
        let is_all = part == free;
        let room = Room {
            number: 0,
            left: part.saturating_sub(1),
            is_all,
            until: now.plus(if is_all { NEAR_LIFE } else { COUNT_LIFE }),
        };
        let number = if deleted.is_some() { self.remember(running.subject.clone(), room, now) } else { None };
        if free == 0 {
            return Ok(Taken::Full);
        }
        Ok(Taken::Reserved(Reservation(number.map(|number| (running.subject.clone(), number)))))
    }

    /// Returns the number of the room, or `None` if too many are remembered.
    fn remember(&self, subject: QuotaSubject, mut room: Room, now: Time) -> Option<u64> {
        let mut known = lock(&self.known);
        if known.rooms.len() >= REMEMBERED && !known.rooms.contains_key(&subject) {
            known.rooms.retain(|_, room| room.until > now);
            if known.rooms.len() >= REMEMBERED {
                return None;
            }
        }
        known.last_room += 1;
        room.number = known.last_room;
        known.rooms.insert(subject, room);
        Some(known.last_room)
    }
}

/// A count that runs. It ends with this value, also if its call is cancelled.
struct RunningCount<'a> {
    quota: &'a Quota,
    subject: QuotaSubject,
}

impl RunningCount<'_> {
    fn begin(quota: &Quota, subject: QuotaSubject) -> RunningCount<'_> {
        lock(&quota.known).counting.insert(subject.clone(), Some(0));
        RunningCount { quota, subject }
    }

    /// Returns how many were deleted since the count began, or `None` if it must not be remembered.
    fn deleted(&self) -> Option<u64> {
        lock(&self.quota.known).counting.get(&self.subject).copied().flatten()
    }
}

impl Drop for RunningCount<'_> {
    fn drop(&mut self) {
        lock(&self.quota.known).counting.remove(&self.subject);
    }
}

#[cfg(test)]
mod tests;
