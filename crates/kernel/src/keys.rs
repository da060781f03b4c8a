//! The root keys and the keys derived from them (DESIGN "Keys and tokens").
//!
//! Root keys have numbers. A rotation adds a root key; the older ones still open the secrets that they sealed. Each purpose has its own
//! derived key: HKDF-SHA256 of the root key with a label for the purpose.

use crate::random::Random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The size in bytes of a root key and of a derived key.
pub const KEY_BYTES: usize = 32;

/// The first byte of a sealed secret: the version of its layout.
const SEALED_VERSION: u8 = 1;

/// The derived keys of all root keys, by number. `Debug` shows only the numbers.
#[derive(Clone)]
pub struct Keys {
    by_number: Arc<BTreeMap<u32, Arc<Derived>>>,
    current_number: u32,
    current: Arc<Derived>,
}

/// The derived keys of one root key, one per purpose in the order of [`Purpose::ALL`]. Made once, at start.
struct Derived([Zeroizing<[u8; KEY_BYTES]>; Purpose::ALL.len()]);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("numbers", &self.by_number.keys()).finish_non_exhaustive()
    }
}

/// The purpose of a derived key. Each purpose has its own HKDF label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    Token,
    LayerUrl,
    UploadId,
    PageToken,
    Credential,
    Proof,
}

impl Purpose {
    const ALL: [Purpose; 6] =
        [Purpose::Token, Purpose::LayerUrl, Purpose::UploadId, Purpose::PageToken, Purpose::Credential, Purpose::Proof];

    /// The HKDF label. It must never change, because stored secrets depend on it.
    fn label(self) -> &'static [u8] {
        match self {
            Purpose::Token => b"ecru/docker-token/1",
            Purpose::LayerUrl => b"ecru/layer-url/1",
            Purpose::UploadId => b"ecru/upload-id/1",
            Purpose::PageToken => b"ecru/page-token/1",
            Purpose::Credential => b"ecru/credential/1",
            Purpose::Proof => b"ecru/proof/1",
        }
    }
}

/// There is no root key, or the cryptographic library can't derive keys from one.
#[derive(Debug, thiserror::Error)]
#[error("there is no usable root key")]
pub struct NoRootKey;

impl Keys {
    /// Derives all keys of the numbered root keys. The highest number is current.
    pub fn new(roots: Vec<(u32, Zeroizing<[u8; KEY_BYTES]>)>) -> Result<Keys, NoRootKey> {
        let mut by_number = BTreeMap::new();
        for (number, root) in roots {
            by_number.insert(number, Arc::new(Derived::of(&root).ok_or(NoRootKey)?));
        }
        let (number, derived) = by_number.iter().next_back().ok_or(NoRootKey)?;
        Ok(Keys { current_number: *number, current: derived.clone(), by_number: Arc::new(by_number) })
    }

    pub fn current(&self) -> u32 {
        self.current_number
    }

    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.by_number.keys().copied()
    }

    /// HMAC-SHA256 with the key for `purpose` of root key `number`. `None` if there is no such root key.
    pub fn mac(&self, number: u32, purpose: Purpose, message: &[u8]) -> Option<[u8; 32]> {
        self.by_number.get(&number).map(|derived| derived.mac(purpose, message))
    }

    /// HMAC-SHA256 with the current key for `purpose`.
    pub fn mac_current(&self, purpose: Purpose, message: &[u8]) -> [u8; 32] {
        self.current.mac(purpose, message)
    }

    /// The current key for `purpose`.
    pub fn derive(&self, purpose: Purpose) -> Zeroizing<[u8; KEY_BYTES]> {
        self.current.0[purpose as usize].clone()
    }

    /// Encrypts a secret with AES-256-GCM and the current key. `context` is the additional authenticated data.
    ///
    /// Layout: version, key number (4 bytes), nonce (12 bytes), ciphertext and tag.
    pub fn seal(&self, purpose: Purpose, context: &[u8], secret: &[u8], random: &dyn Random) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = vec![SEALED_VERSION];
        sealed.extend_from_slice(&self.current_number.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        let mut bytes = secret.to_vec();
        self.current
            .aead(purpose)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut bytes)
            .ok()?;
        sealed.extend_from_slice(&bytes);
        Some(sealed)
    }

    /// Decrypts a secret that [`Keys::seal`] sealed. `None` if the context differs, the key number is unknown, or the bytes are damaged.
    pub fn open(&self, purpose: Purpose, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *version != SEALED_VERSION {
            return None;
        }
        let mut bytes = Zeroizing::new(rest.to_vec());
        let key = self.by_number.get(&u32::from_be_bytes(*number))?.aead(purpose)?;
        let length =
            key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl Derived {
    fn of(root: &[u8; KEY_BYTES]) -> Option<Derived> {
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"ecru/root-key").extract(root);
        let mut keys = std::array::from_fn(|_| Zeroizing::new([0; KEY_BYTES]));
        for (purpose, key) in Purpose::ALL.iter().zip(&mut keys) {
            let label = [purpose.label()];
            extracted.expand(&label, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut())).ok()?;
        }
        Some(Derived(keys))
    }

    fn mac(&self, purpose: Purpose, message: &[u8]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0[purpose as usize].as_ref());
        let mut mac = [0; 32];
        mac.copy_from_slice(hmac::sign(&key, message).as_ref());
        mac
    }

    fn aead(&self, purpose: Purpose) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.0[purpose as usize].as_ref()).ok().map(LessSafeKey::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    fn keys(roots: &[(u32, u8)]) -> Keys {
        Keys::new(roots.iter().map(|(number, byte)| (*number, Zeroizing::new([*byte; KEY_BYTES]))).collect()).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_only_with_its_key_purpose_and_context() {
        let keys_1 = keys(&[(1, 7)]);
        let sealed = keys_1.seal(Purpose::Credential, b"AKIA1", b"secret", &SystemRandom).unwrap();
        assert_eq!(keys_1.open(Purpose::Credential, b"AKIA1", &sealed).unwrap().as_slice(), b"secret");
        assert!(keys_1.open(Purpose::Credential, b"AKIA2", &sealed).is_none());
        assert!(keys_1.open(Purpose::Token, b"AKIA1", &sealed).is_none());
        assert!(keys(&[(1, 8)]).open(Purpose::Credential, b"AKIA1", &sealed).is_none());
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(keys_1.open(Purpose::Credential, b"AKIA1", &damaged).is_none());
    }

    #[test]
    fn after_a_rotation_the_old_key_still_opens_its_secrets() {
        let sealed = keys(&[(1, 7)]).seal(Purpose::Credential, b"x", b"secret", &SystemRandom).unwrap();
        let rotated = keys(&[(1, 7), (2, 9)]);
        assert_eq!(rotated.current(), 2);
        assert_eq!(rotated.open(Purpose::Credential, b"x", &sealed).unwrap().as_slice(), b"secret");
    }

    #[test]
    fn each_purpose_has_its_own_key() {
        let keys = keys(&[(1, 7)]);
        let macs: std::collections::BTreeSet<_> =
            Purpose::ALL.iter().map(|purpose| keys.mac(1, *purpose, b"message").unwrap()).collect();
        assert_eq!(macs.len(), Purpose::ALL.len());
        assert!(keys.mac(2, Purpose::Token, b"message").is_none());
    }
}
