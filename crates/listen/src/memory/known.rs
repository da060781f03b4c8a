//! Remembers which clients have recently proved an access key.

use super::Owner;
use kernel::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long a pair of address and key stays known after its last verified call: longer than a build's pause between pushes.
const KNOWN_TIME: Duration = Duration::from_secs(3600);
/// Maximum known pairs; beyond it, the least recently seen are forgotten.
const KNOWN_PAIRS: usize = 4096;

/// The pairs of address and access key id with a verified call within the last hour.
#[derive(Default)]
pub struct KnownPairs(Mutex<HashMap<Owner, Instant>>);

impl KnownPairs {
    /// Whether the pair had a verified call within [`KNOWN_TIME`].
    pub fn knows(&self, pair: &Owner) -> bool {
        let pairs = lock(&self.0);
        pairs.get(pair).is_some_and(|seen| seen.elapsed() < KNOWN_TIME)
    }

    /// Records that a call of the pair was verified now.
    pub fn verified(&self, pair: &Owner) {
        let mut pairs = lock(&self.0);
        if let Some(seen) = pairs.get_mut(pair) {
            *seen = Instant::now();
            return;
        }
        if pairs.len() >= KNOWN_PAIRS {
            pairs.retain(|_, seen| seen.elapsed() < KNOWN_TIME);
        }
        if pairs.len() >= KNOWN_PAIRS {
            let oldest = pairs.iter().min_by_key(|(_, seen)| **seen).map(|(pair, _)| pair.clone());
            oldest.map(|oldest| pairs.remove(&oldest));
        }
        pairs.insert(pair.clone(), Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn pair(key: usize) -> Owner {
        Owner::claimed("10.0.0.1".parse().unwrap(), &key.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_pair_is_known_for_an_hour_after_its_last_good_signature() {
        let known = KnownPairs::default();
        assert!(!known.knows(&pair(1)));
        known.verified(&pair(1));
        advance(KNOWN_TIME / 2).await;
        known.verified(&pair(1));
        advance(KNOWN_TIME / 2).await;
        assert!(known.knows(&pair(1)) && !known.knows(&pair(2)));
        advance(KNOWN_TIME / 2).await;
        assert!(!known.knows(&pair(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_pairs_the_oldest_is_forgotten() {
        let known = KnownPairs::default();
        for key in 0..=KNOWN_PAIRS {
            known.verified(&pair(key));
            advance(Duration::from_millis(1)).await;
        }
        assert!(!known.knows(&pair(0)) && known.knows(&pair(1)) && known.knows(&pair(KNOWN_PAIRS)));
        assert_eq!(known.0.lock().unwrap().len(), KNOWN_PAIRS);
    }
}
