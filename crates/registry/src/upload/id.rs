//! The id of an upload session. It contains its own proof, so that a session needs no row before it has bytes (DESIGN "Uploads").
//!
//! It is a UUID of version 8 (RFC 9562 section 5.8). Its 122 free bits are, from the highest:
//!
//! | bits | meaning |
//! |---|---|
//! | 33 | seconds since 1970 at which it was made, sufficient until 2242 |
//! | 1 | the session's hash: 0 sha256, 1 sha512 |
//! | 40 | random |
//! | 48 | MAC over registry, repository id, and the bits above |

use crate::clock::Time;
use crate::keys::{Keys, Purpose};
use crate::random::Random;
use meta::{RepositoryId, UploadId};
use oci::Algorithm;
use subtle::ConstantTimeEq;

const SECONDS_BITS: u32 = 33;
const RANDOM_BITS: u32 = 40;
const MAC_BITS: u32 = 48;
const MAC_BYTES: usize = 6;

/// The content of an id whose MAC was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UploadClaim {
    /// The second at which it was made.
    pub made_at: Time,
    pub algorithm: Algorithm,
}

/// The owner of an upload, which the MAC covers.
#[derive(Clone, Copy)]
pub(super) struct UploadOwner<'a> {
    pub registry: &'a crate::RegistryId,
    pub repository: RepositoryId,
}

impl UploadClaim {
    /// Makes a new id with this content.
    pub(super) fn into_id(self, keys: &Keys, random: &dyn Random, owner: UploadOwner<'_>) -> UploadId {
        let mut chance = [0; 8];
        random.fill(&mut chance[..(RANDOM_BITS / 8) as usize]);
        let random = u128::from(u64::from_le_bytes(chance));
        let seconds = u128::from(self.made_at.0.max(0).unsigned_abs() / 1_000_000) & mask(SECONDS_BITS);
        let algorithm = u128::from(self.algorithm == Algorithm::Sha512);
        let head = (seconds << 1 | algorithm) << RANDOM_BITS | random;
        let mac = first_bytes(keys.mac_current(Purpose::UploadId, &message(owner, head)));
        pack(head << MAC_BITS | number(mac))
    }

    /// Verifies an id and returns its content. Returns `None` if this installation did not make the id for this repository.
    pub(super) fn verify(id: UploadId, keys: &Keys, owner: UploadOwner<'_>) -> Option<UploadClaim> {
        let bits = unpack(id)?;
        let (head, mac) = (bits >> MAC_BITS, bits & mask(MAC_BITS));
        let message = message(owner, head);
        let mac = (mac as u64).to_be_bytes();
        let given = &mac[mac.len() - MAC_BYTES..];
        let right = |key| {
            keys.mac(key, Purpose::UploadId, &message).is_some_and(|mac| bool::from(mac[..MAC_BYTES].ct_eq(given)))
        };
        if !keys.numbers().any(right) {
            return None;
        }
        let seconds = i64::try_from(head >> (RANDOM_BITS + 1)).ok()?;
        let algorithm = if head >> RANDOM_BITS & 1 == 1 { Algorithm::Sha512 } else { Algorithm::Sha256 };
        Some(UploadClaim { made_at: Time(seconds.saturating_mul(1_000_000)), algorithm })
    }
}

fn message(owner: UploadOwner<'_>, head: u128) -> Vec<u8> {
    let registry = owner.registry.key();
    let mut message = Vec::new();
    for text in [registry.account.as_str(), registry.region()] {
        // Prefix each text with its length, so that different owners have different messages.
        message.extend_from_slice(&(text.len() as u64).to_be_bytes());
        message.extend_from_slice(text.as_bytes());
    }
    message.extend_from_slice(&owner.repository.0);
    message.extend_from_slice(&head.to_be_bytes());
    message
}

fn first_bytes(mac: [u8; 32]) -> [u8; MAC_BYTES] {
    std::array::from_fn(|at| mac[at])
}

fn number(mac: [u8; MAC_BYTES]) -> u128 {
    mac.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn mask(bits: u32) -> u128 {
    (1 << bits) - 1
}

/// Places 122 bits around the version (bits 79 to 76) and the variant (bits 63 and 62).
fn pack(bits: u128) -> UploadId {
    let (high, middle, low) = (bits >> 74, bits >> 62 & mask(12), bits & mask(62));
    UploadId((high << 80 | 8 << 76 | middle << 64 | 0b10 << 62 | low).to_be_bytes())
}

/// Extracts the 122 bits. Returns `None` for a UUID of another version or variant.
fn unpack(id: UploadId) -> Option<u128> {
    let uuid = u128::from_be_bytes(id.0);
    let ours = uuid >> 76 & 0xf == 8 && uuid >> 62 & 0b11 == 0b10;
    ours.then_some(uuid >> 80 << 74 | (uuid >> 64 & mask(12)) << 62 | uuid & mask(62))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn keys(numbers: &[u32]) -> Keys {
        Keys::new(numbers.iter().map(|number| (*number, Zeroizing::new([*number as u8; 32]))).collect()).unwrap()
    }

    fn registry(account: &str, region: &str) -> crate::RegistryId {
        crate::RegistryId::private(account.parse().unwrap(), region.parse().unwrap())
    }

    #[test]
    fn an_id_contains_its_time_and_its_hash_algorithm() {
        let (keys, registry) = (keys(&[1]), registry("000000000000", "us-east-1"));
        let owner = UploadOwner { registry: &registry, repository: RepositoryId([7; 16]) };
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let made_at = Time(1_795_255_200_999_999);
            let id = UploadClaim { made_at, algorithm }.into_id(&keys, &SystemRandom, owner);
            let made_at = Time(1_795_255_200_000_000);
            assert_eq!(UploadClaim::verify(id, &keys, owner), Some(UploadClaim { made_at, algorithm }));
            let uuid = uuid::Uuid::from_bytes(id.0);
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (8, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn an_id_is_valid_only_for_its_repository_and_stays_valid_after_a_rotation() {
        let (old, home) = (keys(&[1]), registry("000000000000", "us-east-1"));
        let owner = UploadOwner { registry: &home, repository: RepositoryId([7; 16]) };
        let claim = UploadClaim { made_at: Time(1_795_255_200_000_000), algorithm: Algorithm::Sha256 };
        let id = claim.into_id(&old, &SystemRandom, owner);
        assert_eq!(UploadClaim::verify(id, &keys(&[1, 2]), owner), Some(claim));
        assert_eq!(UploadClaim::verify(id, &keys(&[2]), owner), None);
        assert_eq!(UploadClaim::verify(id, &old, UploadOwner { repository: RepositoryId([8; 16]), ..owner }), None);
        for other in [registry("000000000001", "us-east-1"), registry("000000000000", "us-east-2")] {
            assert_eq!(UploadClaim::verify(id, &old, UploadOwner { registry: &other, ..owner }), None);
        }
    }

    proptest! {
        #[test]
        fn packing_preserves_every_bit(bits in 0..1_u128 << 122) {
            prop_assert_eq!(unpack(pack(bits)), Some(bits));
        }

        #[test]
        fn one_changed_bit_makes_an_id_invalid(bit in 0..128_u32) {
            let (keys, registry) = (keys(&[1]), registry("000000000000", "us-east-1"));
            let owner = UploadOwner { registry: &registry, repository: RepositoryId([7; 16]) };
            let claim = UploadClaim { made_at: Time(1_795_255_200_000_000), algorithm: Algorithm::Sha256 };
            let id = claim.into_id(&keys, &SystemRandom, owner);
            let changed = UploadId((u128::from_be_bytes(id.0) ^ 1 << bit).to_be_bytes());
            prop_assert_eq!(UploadClaim::verify(changed, &keys, owner), None);
        }
    }
}
