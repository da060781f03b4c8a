//! A streaming hasher whose state survives a restart of the process.

use super::{Algorithm, Digest};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;

/// The first byte of a stored state. Raise it when the layout changes, also if a new `sha2` changes the layout of its own state.
const STATE_VERSION: u8 = 1;
/// Bytes of the version and the algorithm.
const HEAD_LENGTH: usize = 2;
/// Bytes of the trailing checksum: a prefix of SHA-256 over everything before it.
const CHECKSUM_LENGTH: usize = 8;

/// Hashes a stream. Its state can be stored with [`Hasher::state`] and resumed after a restart with [`Hasher::resume`].
#[derive(Clone)]
pub struct Hasher(Inner);

#[derive(Clone)]
enum Inner {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Creates a hasher that has hashed no bytes.
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher(match algorithm {
            Algorithm::Sha256 => Inner::Sha256(Sha256::new()),
            Algorithm::Sha512 => Inner::Sha512(Sha512::new()),
        })
    }

    /// The algorithm that the hasher computes.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Inner::Sha256(_) => Algorithm::Sha256,
            Inner::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Hashes the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Inner::Sha256(hash) => hash.update(bytes),
            Inner::Sha512(hash) => hash.update(bytes),
        }
    }

    /// Returns the digest of all bytes hashed.
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        let mut hash = [0; 64];
        match self.0 {
            Inner::Sha256(inner) => hash[..32].copy_from_slice(&inner.finalize()),
            Inner::Sha512(inner) => hash.copy_from_slice(&inner.finalize()),
        }
        Digest { algorithm, hash }
    }

    /// Returns the state in a versioned form, for [`Hasher::resume`].
    ///
    /// The form is one version byte, one algorithm byte, the state (104 bytes for sha256, 208 for sha512), and 8 bytes of checksum.
    /// The state contains up to one block of the hashed bytes, so it is as confidential as the content.
    pub fn state(&self) -> Vec<u8> {
        let mut state = vec![STATE_VERSION, self.algorithm().stored()];
        match &self.0 {
            Inner::Sha256(hash) => state.extend_from_slice(&hash.serialize()),
            Inner::Sha512(hash) => state.extend_from_slice(&hash.serialize()),
        }
        let checksum = checksum(&state);
        state.extend_from_slice(&checksum);
        state
    }

    /// Restores a hasher from a stored state. An unknown version or a damaged state is an error, never a wrong digest.
    pub fn resume(state: &[u8]) -> Result<Hasher, InvalidHashState> {
        let (&version, _) = state.split_first().ok_or(InvalidHashState("it is empty"))?;
        if version != STATE_VERSION {
            return Err(InvalidHashState("its version is unknown"));
        }
        let (content, sum) = state
            .split_last_chunk::<CHECKSUM_LENGTH>()
            .filter(|(content, _)| content.len() >= HEAD_LENGTH)
            .ok_or(InvalidHashState("it is cut short"))?;
        if checksum(content) != *sum {
            return Err(InvalidHashState("its checksum is wrong"));
        }
        let (head, inner) = content.split_at(HEAD_LENGTH);
        let algorithm = Algorithm::from_stored(head[1]).ok_or(InvalidHashState("it names an unknown algorithm"))?;
        Ok(Hasher(match algorithm {
            Algorithm::Sha256 => Inner::Sha256(restore(inner)?),
            Algorithm::Sha512 => Inner::Sha512(restore(inner)?),
        }))
    }
}

fn restore<H: SerializableState>(bytes: &[u8]) -> Result<H, InvalidHashState> {
    let state = <&SerializedState<H>>::try_from(bytes).map_err(|_| InvalidHashState("it has the wrong length"))?;
    H::deserialize(state).map_err(|_| InvalidHashState("it contradicts itself"))
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut sum = [0; CHECKSUM_LENGTH];
    sum.copy_from_slice(&Sha256::digest(content)[..CHECKSUM_LENGTH]);
    sum
}

/// Shows the algorithm only, because the state contains bytes of the content.
impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

/// Why a stored hash state can't be resumed: its version is unknown, or it is damaged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored hash state can't be read: {0}")]
pub struct InvalidHashState(pub &'static str);
