//! Random bytes and ids. All code takes them from here.

use crate::clock::Time;

/// A source of random bytes. Tests have one with a fixed seed.
pub trait Random: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's random generator.
///
/// aws-lc's generator is not used: it takes 65 ms of CPU time before its first byte, more than the rest of a start.
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without random bytes Ecru can't work safely, and no caller could handle the error.
        if getrandom::fill(bytes).is_err() {
            std::process::abort();
        }
    }
}

/// Makes a UUIDv7 with this time. Ids sort by their time, to the millisecond.
pub fn id(random: &dyn Random, now: Time) -> [u8; 16] {
    let mut chance = [0; 10];
    random.fill(&mut chance);
    let millis = u64::try_from(now.0.max(0) / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid().into_bytes()
}
