//! Checksums of a layer's blocks: they tell, before a byte leaves, whether it is the byte that came.
//!
//! The algorithm is CRC-32C (Castagnoli; RFC 3720 appendix B.4). It finds every error of up to three bits in a block and every
//! burst of up to 32 bits, and misses one of 2^32 other alterations. It is no protection against intent; the digest is.
use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;

/// Bytes of a block; the last block of a layer may have fewer.
///
/// A range is read in whole blocks, so a byte costs a block: 128 KiB take some 15 µs to read from memory and to check, a fraction
/// of what a request costs. A GiB has 32 KiB of checksums.
pub const BLOCK_BYTES: usize = 128 * 1024;
/// Bytes that stored checksums begin with: the version, the algorithm, the binary logarithm of the block size, and a zero.
pub const HEAD_BYTES: usize = HEAD.len();
/// Bytes of one stored checksum, big endian.
pub const SUM_BYTES: usize = 4;

const VERSION: u8 = 1;
const CRC32C: u8 = 1;
const HEAD: [u8; 4] = [VERSION, CRC32C, BLOCK_BYTES.ilog2() as u8, 0];

/// Stored checksums are of an unknown version, or too few for the bytes that they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored checksums can't be read: {0}")]
pub struct InvalidChecksums(&'static str);

/// Computes the checksums of bytes as they go by. What is stored of it can be taken up again.
#[derive(Clone)]
pub struct Checksummer {
    /// The head and the checksums of all whole blocks, as they are stored.
    whole: Vec<u8>,
    /// The checksum of the block that is not whole yet; 0 while it is empty.
    partial: u32,
    /// Bytes of that block.
    filled: usize,
}

/// A place that a [`Checksummer`] has passed, for [`Checksummer::stored_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Length of the head and of the checksums of the whole blocks before the place.
    whole: usize,
    /// The checksum of the block that the place lies in, up to the place; `None` between two blocks.
    partial: Option<u32>,
}

impl Default for Checksummer {
    fn default() -> Checksummer {
        Checksummer { whole: HEAD.to_vec(), partial: 0, filled: 0 }
    }
}

impl Checksummer {
    /// Takes up again after the first `bytes` bytes, whose checksums are `stored`.
    pub fn resume(stored: &[u8], bytes: u64) -> Result<Checksummer, InvalidChecksums> {
        let sums = sums(stored)?;
        if sums.len() as u64 != bytes.div_ceil(BLOCK_BYTES as u64) * SUM_BYTES as u64 {
            return Err(InvalidChecksums("they are of another number of bytes"));
        }
        let filled = usize::try_from(bytes % BLOCK_BYTES as u64).unwrap_or(0);
        let mut whole = stored.to_vec();
        let mut partial = 0;
        if filled > 0
            && let Some((_, last)) = sums.split_last_chunk()
        {
            partial = u32::from_be_bytes(*last);
            whole.truncate(stored.len() - SUM_BYTES);
        }
        Ok(Checksummer { whole, partial, filled })
    }

    /// Takes in the bytes that follow.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
            self.partial = continued(self.partial, now);
            self.filled += now.len();
            if self.filled == BLOCK_BYTES {
                self.whole.extend_from_slice(&self.partial.to_be_bytes());
                (self.partial, self.filled) = (0, 0);
            }
            bytes = rest;
        }
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place { whole: self.whole.len(), partial: (self.filled > 0).then_some(self.partial) }
    }

    /// The checksums of the bytes before a place, as they are stored.
    pub fn stored_at(&self, place: Place) -> Vec<u8> {
        let mut stored = self.whole.get(..place.whole).unwrap_or(&self.whole).to_vec();
        stored.extend(place.partial.into_iter().flat_map(u32::to_be_bytes));
        stored
    }

    /// The checksums of all bytes, as they are stored.
    pub fn finish(self) -> Vec<u8> {
        self.stored_at(self.place())
    }
}

/// The checksums of these bytes, as they are stored.
pub fn of(bytes: &[u8]) -> Vec<u8> {
    let mut summer = Checksummer::default();
    summer.update(bytes);
    summer.finish()
}

/// Consecutive stored checksums of a layer, to check blocks by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// The number of the block that the first one is of.
    first: u64,
    sums: Vec<u8>,
}

impl Checksums {
    /// Those that lie in `stored`, from its beginning: all of a layer's, or the first of them.
    pub fn read(stored: &[u8]) -> Result<Checksums, InvalidChecksums> {
        Ok(Checksums { first: 0, sums: sums(stored)?.to_vec() })
    }

    /// Those of the blocks from `first` on, without a head: a part of stored ones whose head [`Checksums::read`] took.
    pub fn part(first: u64, sums: Vec<u8>) -> Checksums {
        Checksums { first, sums }
    }

    /// Whether a block has these bytes; `None` when its checksum is not among these.
    pub fn check(&self, block: u64, bytes: &[u8]) -> Option<bool> {
        let at = usize::try_from(block.checked_sub(self.first)?).ok()?.checked_mul(SUM_BYTES)?;
        let sum = self.sums.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*sum) == continued(0, bytes))
    }
}

/// What follows the head, once that is known.
fn sums(stored: &[u8]) -> Result<&[u8], InvalidChecksums> {
    match stored.split_first_chunk() {
        Some((&HEAD, sums)) => Ok(sums),
        Some(_) => Err(InvalidChecksums("they are of an unknown version, algorithm or block size")),
        None => Err(InvalidChecksums("they are cut short")),
    }
}

/// The checksum of bytes that follow others, whose checksum is `before`; 0 is that of none.
fn continued(before: u32, bytes: &[u8]) -> u32 {
    // The state is the checksum before its last step, which flips every bit.
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!before));
    digest.update(bytes);
    // The upper half is zero.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_algorithm_is_that_of_rfc_3720() {
        // RFC 3720 B.4, and the check value of the CRC catalogue.
        let ascending: Vec<u8> = (0..32).collect();
        for (bytes, sum) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
            (b"", 0),
        ] {
            assert_eq!(continued(0, bytes), sum, "{bytes:?}");
        }
        assert_eq!(of(b"123456789"), [1, 1, 17, 0, 0xe3, 0x06, 0x92, 0x83]);
        assert_eq!(of(b""), HEAD);
    }

    #[test]
    fn stored_checksums_that_are_not_understood_are_refused() {
        let stored = of(&[7; BLOCK_BYTES + 1]);
        assert_eq!(stored.len(), HEAD_BYTES + 2 * SUM_BYTES);
        for (at, stored) in [(1, &stored[..]), (BLOCK_BYTES as u64 * 2 + 1, &stored), (0, &stored)] {
            assert!(Checksummer::resume(stored, at).is_err(), "{at}");
        }
        for version in [&[][..], &[1, 1, 17], &[2, 1, 17, 0], &[1, 2, 17, 0], &[1, 1, 19, 0], &[1, 1, 17, 1]] {
            assert!(Checksums::read(version).is_err() && Checksummer::resume(version, 0).is_err(), "{version:?}");
        }
    }

    #[test]
    fn a_block_is_checked_by_its_own_checksum_and_an_unknown_one_is_said_to_be() {
        let bytes: Vec<u8> = (0..2 * BLOCK_BYTES + 100).map(|byte| (byte / 1000) as u8).collect();
        let sums = Checksums::read(&of(&bytes)).unwrap();
        let later = Checksums::part(1, of(&bytes)[HEAD_BYTES + SUM_BYTES..].to_vec());
        for (number, block) in (0..).zip(bytes.chunks(BLOCK_BYTES)) {
            assert_eq!(sums.check(number, block), Some(true));
            assert_eq!(later.check(number, block), (number > 0).then_some(true));
            assert_eq!(sums.check(number, &block[..block.len() - 1]), Some(false));
            let mut altered = block.to_vec();
            altered[77] ^= 1;
            assert_eq!(sums.check(number, &altered), Some(false));
        }
        assert_eq!(sums.check(3, b""), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn however_the_bytes_come_and_wherever_they_are_taken_up_again_the_checksums_are_the_same(
            size in 0..5 * BLOCK_BYTES, pieces in prop::collection::vec((1..3 * BLOCK_BYTES, any::<bool>()), 1..12),
        ) {
            let bytes: Vec<u8> = (0..size).map(|at| (at * 31 / 7) as u8).collect();
            let mut summer = Checksummer::default();
            let (mut at, mut places) = (0, Vec::new());
            for (length, restart) in pieces.into_iter().cycle() {
                let end = size.min(at + length);
                summer.update(&bytes[at..end]);
                at = end;
                places.push((at, summer.place()));
                if restart {
                    summer = Checksummer::resume(&summer.clone().finish(), at as u64).unwrap();
                }
                if at == size {
                    break;
                }
            }
            for (at, place) in places {
                prop_assert_eq!(summer.stored_at(place), of(&bytes[..at]));
            }
            prop_assert_eq!(summer.finish(), of(&bytes));
        }
    }
}
