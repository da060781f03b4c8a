//! Content digests and the resumable hashing that makes them.

/// The hash algorithms that a digest may name (OCI image-spec "Digests").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    Sha256,
    Sha512,
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
    pub fn algorithm(&self) -> Algorithm { todo!() }
    /// The raw hash: 32 or 64 bytes.
    pub fn hash(&self) -> &[u8] { todo!() }
    /// The hash in lower-case hex, without the algorithm.
    pub fn hex(&self) -> String { todo!() }
    /// The stored form: one algorithm byte (1 = sha256, 2 = sha512) and the raw hash.
    pub fn to_bytes(&self) -> Vec<u8> { todo!() }
    /// Reads the stored form back.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Digest, InvalidDigest> { todo!() }
    /// The digest of bytes that are at hand.
    pub fn of(_algorithm: Algorithm, _bytes: &[u8]) -> Digest { todo!() }
}
// Also: Display, Debug (same as Display), FromStr<Err = InvalidDigest>.
impl std::fmt::Display for Digest { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::fmt::Debug for Digest { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for Digest { type Err = InvalidDigest; fn from_str(_: &str) -> Result<Self, InvalidDigest> { todo!() } }

/// The text is not a digest that can be stored.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid digest: {0}")]
pub struct InvalidDigest(pub &'static str);

/// A streaming hash whose state can be stored and taken up again after a restart.
pub struct Hasher;

impl Hasher {
    pub fn new(_algorithm: Algorithm) -> Hasher { todo!() }
    pub fn algorithm(&self) -> Algorithm { todo!() }
    pub fn update(&mut self, _bytes: &[u8]) { todo!() }
    pub fn finish(self) -> Digest { todo!() }
    /// The state in a versioned form, for [`Hasher::resume`].
    pub fn state(&self) -> Vec<u8> { todo!() }
    /// Takes a stored state up again; an unknown version or a damaged state is an error, never a wrong digest.
    pub fn resume(_state: &[u8]) -> Result<Hasher, InvalidHashState> { todo!() }
}

/// A stored hash state is of an unknown version or damaged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored hash state can't be read: {0}")]
pub struct InvalidHashState(pub &'static str);
