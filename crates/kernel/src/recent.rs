//! A cache of what was read a moment ago.
//!
//! Authorization reads the same records for every request. A node keeps them for [`RECENT`], so that a change on another node takes
//! effect here within a second (DESIGN "Caches"). A change on this node takes effect at once, because what changes such a record calls
//! [`Recently::forget`] afterwards.

use crate::clock::Time;
use crate::lock;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

/// How long a value is kept.
pub const RECENT: Duration = Duration::from_millis(500);

/// The values of one kind that this node has read within [`RECENT`], by key. The number of values and their weight are bounded.
#[derive(Debug)]
pub struct Recently<K, V> {
    most: usize,
    most_weight: usize,
    known: Mutex<Known<K, V>>,
}

#[derive(Debug)]
struct Known<K, V> {
    values: HashMap<K, Kept<V>>,
    weight: usize,
    /// The number of calls of [`Recently::forget`].
    changes: u64,
}

#[derive(Debug)]
struct Kept<V> {
    value: V,
    weight: usize,
    since: Time,
}

/// The moment at which a read began. A value that was read before a change must not be kept after it.
#[derive(Clone, Copy, Debug)]
pub struct Began {
    at: Time,
    changes: u64,
}

impl<V> Kept<V> {
    fn holds(&self, now: Time) -> bool {
        // After the clock was set back, the age of a value is unknown.
        self.since <= now && now < self.since.plus(RECENT)
    }
}

impl<K: Eq + Hash, V: Clone> Recently<K, V> {
    /// A cache of at most `most` values, whose weights add up to at most `most_weight`.
    pub fn new(most: usize, most_weight: usize) -> Recently<K, V> {
        let known = Known { values: HashMap::new(), weight: 0, changes: 0 };
        Recently { most, most_weight, known: Mutex::new(known) }
    }

    /// The value, or the moment at which the caller begins to read it, for [`Recently::keep`].
    pub fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q, now: Time) -> Result<V, Began>
    where
        K: Borrow<Q>,
    {
        let known = lock(&self.known);
        match known.values.get(key).filter(|kept| kept.holds(now)) {
            Some(kept) => Ok(kept.value.clone()),
            None => Err(Began { at: now, changes: known.changes }),
        }
    }

    /// Keeps a value, unless something was forgotten since the read began, or there is no room.
    pub fn keep(&self, key: K, value: V, weight: usize, began: Began) {
        let mut known = lock(&self.known);
        if known.changes != began.changes {
            return;
        }
        if let Some(old) = known.values.remove(&key) {
            known.weight -= old.weight;
        }
        if known.values.len() >= self.most || known.weight + weight > self.most_weight {
            known.values.retain(|_, kept| kept.holds(began.at));
            known.weight = known.values.values().map(|kept| kept.weight).sum();
        }
        if known.values.len() < self.most && known.weight + weight <= self.most_weight {
            known.weight += weight;
            known.values.insert(key, Kept { value, weight, since: began.at });
        }
    }

    /// Forgets all values. Call this after every attempt to change what was read, even if the attempt failed.
    pub fn forget(&self) {
        let mut known = lock(&self.known);
        known.changes += 1;
        known.weight = 0;
        known.values.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Recently<String, u32>, key: &str, value: u32, weight: usize, now: Time) {
        let began = cache.find(key, now).unwrap_err();
        cache.keep(key.to_owned(), value, weight, began);
    }

    #[test]
    fn a_value_holds_for_its_time_and_not_after_the_clock_was_set_back() {
        let cache = Recently::new(10, 10);
        keep(&cache, "a", 1, 1, Time(1000));
        let time = i64::try_from(RECENT.as_micros()).unwrap();
        for (now, holds) in [(999, false), (1000, true), (1000 + time - 1, true), (1000 + time, false)] {
            assert_eq!(cache.find("a", Time(now)).ok(), holds.then_some(1), "{now}");
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let cache: Recently<String, u32> = Recently::new(10, 10);
        let began = cache.find("a", Time(0)).unwrap_err();
        cache.forget();
        cache.keep("a".to_owned(), 1, 1, began);
        assert!(cache.find("a", Time(0)).is_err());
        keep(&cache, "a", 2, 1, Time(0));
        assert_eq!(cache.find("a", Time(0)).ok(), Some(2));
        cache.forget();
        assert!(cache.find("a", Time(0)).is_err());
    }

    #[test]
    fn values_and_their_weight_are_bounded_and_old_ones_make_room() {
        let cache = Recently::new(2, 10);
        keep(&cache, "a", 1, 4, Time(0));
        keep(&cache, "b", 2, 4, Time(0));
        keep(&cache, "c", 3, 1, Time(0));
        assert!(cache.find("c", Time(0)).is_err(), "there is room for two");
        let later = Time(0).plus(RECENT);
        keep(&cache, "c", 3, 10, later);
        assert_eq!(cache.find("c", later).ok(), Some(3), "old values make room");
        keep(&cache, "d", 4, 1, later);
        assert!(cache.find("d", later).is_err(), "the weight is spent");
    }
}
