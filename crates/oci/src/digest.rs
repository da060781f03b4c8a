//! Content digests, and the resumable hasher that computes them.

mod hasher;
#[cfg(test)]
mod tests;

pub use hasher::{Hasher, InvalidHashState};

use std::fmt;
use std::str::FromStr;

/// The hash algorithms that a digest may name (OCI image-spec "Digests").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// The name before the colon: `sha256` or `sha512`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// The length of the raw hash in bytes: 32 or 64.
    pub fn hash_length(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    /// Returns the byte that identifies the algorithm in stored digests and hash states.
    fn stored(self) -> u8 {
        match self {
            Algorithm::Sha256 => 1,
            Algorithm::Sha512 => 2,
        }
    }

    fn from_stored(byte: u8) -> Option<Algorithm> {
        match byte {
            1 => Some(Algorithm::Sha256),
            2 => Some(Algorithm::Sha512),
            _ => None,
        }
    }
}

/// A content digest: one algorithm and the raw hash.
///
/// Displays as `sha256:<64 hex>` or `sha512:<128 hex>`, lower case; only that spelling parses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash, padded with zeros to the longest algorithm's length.
    hash: [u8; 64],
}

impl Digest {
    /// The pattern of a digest in AWS's service models. It also matches texts that are not a valid [`Digest`].
    pub const LOOSE_PATTERN: &str = "[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+";

    /// Returns true if a text matches [`Digest::LOOSE_PATTERN`].
    pub fn is_loosely(text: &str) -> bool {
        let algorithm = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
        text.split_once(':').is_some_and(|(name, hash)| {
            !name.is_empty()
                && name.bytes().all(algorithm)
                && !hash.is_empty()
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }

    /// The algorithm that made the hash.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash: 32 or 64 bytes.
    pub fn hash(&self) -> &[u8] {
        &self.hash[..self.algorithm.hash_length()]
    }

    /// The hash in lower-case hex, without the algorithm.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.hash()
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
            .collect()
    }

    /// The stored form: one algorithm byte (1 = sha256, 2 = sha512) and the raw hash.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.hash().len());
        bytes.push(self.algorithm.stored());
        bytes.extend_from_slice(self.hash());
        bytes
    }

    /// Reads the stored form back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Digest, InvalidDigest> {
        let (first, hash) = bytes.split_first().ok_or(InvalidDigest("the stored form is empty"))?;
        let algorithm =
            Algorithm::from_stored(*first).ok_or(InvalidDigest("the stored form names an unknown algorithm"))?;
        Digest::from_hash(algorithm, hash).ok_or(InvalidDigest("the stored form has the wrong length"))
    }

    /// Computes the digest of bytes in memory.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Returns `None` if the hash's length is not the algorithm's.
    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Option<Digest> {
        if hash.len() != algorithm.hash_length() {
            return None;
        }
        let mut padded = [0; 64];
        padded[..hash.len()].copy_from_slice(hash);
        Some(Digest { algorithm, hash: padded })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Digest, InvalidDigest> {
        let (name, hex) = text.split_once(':').ok_or(InvalidDigest("it has no algorithm before a colon"))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(InvalidDigest("the algorithm is neither sha256 nor sha512")),
        };
        if hex.len() != 2 * algorithm.hash_length() {
            return Err(InvalidDigest("the hash has the wrong length"));
        }
        let mut hash = [0; 64];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(InvalidDigest("the hash is not lower-case hex"));
            };
            *byte = high << 4 | low;
        }
        Ok(Digest { algorithm, hash })
    }
}

fn nibble(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// Why a text or a stored form is not a supported digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid digest: {0}")]
pub struct InvalidDigest(pub &'static str);
