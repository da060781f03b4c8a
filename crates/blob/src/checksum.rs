//! Checksums of a layer's blocks, which detect corrupt bytes before they are sent to a client.
//!
//! The algorithm is CRC-32C (Castagnoli; RFC 3720 appendix B.4). It finds every error of up to three bits in a block and every
//! burst of up to 32 bits, and misses one of 2^32 other errors. It does not protect against deliberate changes; the digest does.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use crc_fast::Digest;

/// Bytes of a block. The last block of a layer may have fewer.
///
/// Ranges are read in whole blocks, so even one byte costs a block. To read 128 KiB from memory and to check them takes some 15 µs,
/// a fraction of the cost of a request. The checksums of a GiB take 32 KiB.
pub const BLOCK_BYTES: usize = 128 * 1024;
/// Bytes of the head of stored checksums: the version, the algorithm, the binary logarithm of the block size, and a zero.
pub const HEAD_BYTES: usize = HEAD.len();
/// Bytes of one stored checksum, big endian.
pub const SUM_BYTES: usize = 4;

const VERSION: u8 = 1;
const CRC32C: u8 = 1;
const HEAD: [u8; 4] = [VERSION, CRC32C, BLOCK_BYTES.ilog2() as u8, 0];

/// Why stored checksums can't be used: their version is unknown, or their number does not match the layer's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored checksums can't be read: {0}")]
pub struct InvalidChecksums(&'static str);

/// Computes the checksums of a stream's blocks. It can be resumed from the stored checksums.
#[derive(Clone)]
pub struct Checksummer {
    /// The head and the checksums of all complete blocks, in stored form.
    whole: Vec<u8>,
    /// The checksum of the incomplete block, or 0 if that block is empty.
    partial: u32,
    /// Bytes of the incomplete block.
    filled: usize,
}

/// A position in a [`Checksummer`]'s stream, made by [`Checksummer::position`] for [`Checksummer::stored_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumPosition {
    /// Bytes of the head and of the checksums of the complete blocks before the position.
    whole: usize,
    /// The checksum of the incomplete block before the position. `None` between two blocks.
    partial: Option<u32>,
}

impl Default for Checksummer {
    fn default() -> Checksummer {
        Checksummer { whole: HEAD.to_vec(), partial: 0, filled: 0 }
    }
}

impl Checksummer {
    /// Resumes after the first `bytes` bytes, whose checksums are `stored`.
    pub fn resume(stored: &[u8], bytes: u64) -> Result<Checksummer, InvalidChecksums> {
        let sums = sums(stored)?;
        if sums.len() as u64 != bytes.div_ceil(BLOCK_BYTES as u64) * SUM_BYTES as u64 {
            return Err(InvalidChecksums("they do not match the number of bytes"));
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

    /// Adds the bytes that follow.
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

    /// Returns the current position.
    pub fn position(&self) -> ChecksumPosition {
        ChecksumPosition { whole: self.whole.len(), partial: (self.filled > 0).then_some(self.partial) }
    }

    /// Returns the checksums of the bytes before an earlier position, in stored form.
    pub fn stored_at(&self, position: ChecksumPosition) -> Vec<u8> {
        let mut stored = self.whole.get(..position.whole).unwrap_or(&self.whole).to_vec();
        stored.extend(position.partial.into_iter().flat_map(u32::to_be_bytes));
        stored
    }

    /// Returns the checksums of all bytes, in stored form.
    pub fn finish(self) -> Vec<u8> {
        self.stored_at(self.position())
    }
}

/// Computes the checksums of bytes in memory, in stored form.
pub fn of(bytes: &[u8]) -> Vec<u8> {
    let mut summer = Checksummer::default();
    summer.update(bytes);
    summer.finish()
}

/// The checksums of consecutive blocks of a layer, to check the blocks with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// The number of the first block.
    first: u64,
    sums: Vec<u8>,
}

impl Checksums {
    /// Reads stored checksums, which start with the head and the layer's first block.
    pub fn read(stored: &[u8]) -> Result<Checksums, InvalidChecksums> {
        Ok(Checksums { first: 0, sums: sums(stored)?.to_vec() })
    }

    /// Wraps the checksums of the blocks from `first` on. They have no head: they are a slice of stored checksums whose head
    /// [`Checksums::read`] has checked.
    pub fn part(first: u64, sums: Vec<u8>) -> Checksums {
        Checksums { first, sums }
    }

    /// Returns true if the bytes match the block's checksum. Returns `None` if that checksum is not among these.
    pub fn check(&self, block: u64, bytes: &[u8]) -> Option<bool> {
        let at = usize::try_from(block.checked_sub(self.first)?).ok()?.checked_mul(SUM_BYTES)?;
        let sum = self.sums.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*sum) == continued(0, bytes))
    }
}

/// Checks the head of stored checksums and returns the checksums that follow it.
fn sums(stored: &[u8]) -> Result<&[u8], InvalidChecksums> {
    match stored.split_first_chunk() {
        Some((&HEAD, sums)) => Ok(sums),
        Some(_) => Err(InvalidChecksums("their version, algorithm or block size is unknown")),
        None => Err(InvalidChecksums("they are cut short")),
    }
}

/// Extends the checksum `before` by the bytes that follow. The checksum of no bytes is 0.
fn continued(before: u32, bytes: &[u8]) -> u32 {
    // The last step of the checksum flips every bit, so flip them back to get the state.
    let mut digest = Digest::new_with_init_state(Crc32Iscsi, u64::from(!before));
    digest.update(bytes);
    // The checksum has 32 bits, so the upper half is zero.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_algorithm_is_the_one_of_rfc_3720() {
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
    fn unknown_stored_checksums_are_refused() {
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
    fn a_block_is_checked_with_its_own_checksum_and_a_missing_checksum_is_reported() {
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
        fn checksums_do_not_depend_on_the_pieces_or_on_where_the_checksummer_is_resumed(
            size in 0..5 * BLOCK_BYTES, pieces in prop::collection::vec((1..3 * BLOCK_BYTES, any::<bool>()), 1..12),
        ) {
            let bytes: Vec<u8> = (0..size).map(|at| (at * 31 / 7) as u8).collect();
            let mut summer = Checksummer::default();
            let (mut at, mut positions) = (0, Vec::new());
            for (length, restart) in pieces.into_iter().cycle() {
                let end = size.min(at + length);
                summer.update(&bytes[at..end]);
                at = end;
                positions.push((at, summer.position()));
                if restart {
                    summer = Checksummer::resume(&summer.clone().finish(), at as u64).unwrap();
                }
                if at == size {
                    break;
                }
            }
            for (at, position) in positions {
                prop_assert_eq!(summer.stored_at(position), of(&bytes[..at]));
            }
            prop_assert_eq!(summer.finish(), of(&bytes));
        }
    }
}
