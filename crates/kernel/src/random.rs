//! Randomness and ids come from here and from nowhere else.
use crate::clock::Time;

/// What fills bytes with chance. Tests seed it.
pub trait Random: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's randomness.
///
/// aws-lc's own generator would do, but before its first byte it measures the processor for 65 ms of CPU time, which is more
/// than all the rest of a start.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // A system without randomness is one that nothing can be done on, and no caller could mend it.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// A UUIDv7 of a time: ids that are made later sort later, to the millisecond.
pub fn id(random: &dyn Random, now: Time) -> [u8; 16] {
    let mut chance = [0; 10];
    random.fill(&mut chance);
    let millis = u64::try_from(now.0.max(0) / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid().into_bytes()
}
