//! The root key and the keys that derive from it.
use zeroize::Zeroizing;

/// The numbered root keys. `Debug` shows numbers only.
#[derive(Clone)]
pub struct Keys;

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// Which key to derive: each has an HKDF label of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    Token,
    LayerUrl,
    UploadId,
    PageToken,
    Credential,
    Proof,
}

impl Keys {
    /// Keys by number (1, 2 …); the highest is current.
    pub fn new(_keys: Vec<(u32, Zeroizing<[u8; 32]>)>) -> Keys { todo!() }
    pub fn current(&self) -> u32 { todo!() }
    /// HMAC-SHA256 under the key that derives for `purpose` from root key `number`; `None` when there is no such number.
    pub fn mac(&self, _number: u32, _purpose: Purpose, _message: &[u8]) -> Option<[u8; 32]> { todo!() }
    /// The derived key itself, of the current number.
    pub fn derive(&self, _purpose: Purpose) -> [u8; 32] { todo!() }
    /// Seals a secret with AES-256-GCM under the current key; `context` is authenticated with it.
    pub fn seal(&self, _purpose: Purpose, _context: &[u8], _secret: &[u8], _random: &dyn crate::random::Random) -> Vec<u8> { todo!() }
    /// Opens what [`Keys::seal`] made; `None` for another context, an unknown key number, or damage.
    pub fn open(&self, _purpose: Purpose, _context: &[u8], _sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> { todo!() }
}
