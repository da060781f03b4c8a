//! Seeded randomness: a test gets the same bytes each time.

use kernel::lock;
use kernel::random::Random;
use std::sync::Mutex;

/// SplitMix64 (Steele, Lea, Flood 2014): good enough for distinct ids, and reproducible.
pub struct Seeded(Mutex<u64>);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(Mutex::new(seed))
    }

    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = lock(&self.0);
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&Seeded::next(&mut state).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Returns `size` incompressible bytes that depend only on `seed`.
pub fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Seeded::new(seed).fill(&mut bytes);
    bytes
}
