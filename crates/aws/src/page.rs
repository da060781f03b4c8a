//! Page tokens. A token is opaque to clients and valid only for the listing that made it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// The first byte of a token: the version of its format.
const VERSION: u8 = 1;
/// The number of bytes of the HMAC-SHA256 in a token: 128 bits, the shortest truncation that RFC 2104 section 5 recommends.
const MAC_LENGTH: usize = 16;
/// The length limit of a token in bytes. The longest cursor has a repository's name and a digest, less than 1 KiB.
const MAX_TOKEN_LENGTH: usize = 4096;

/// Makes and opens page tokens, with a key derived from the root key.
pub struct PageTokens {
    key: hmac::Key,
}

impl PageTokens {
    pub fn new(mut key: [u8; 32]) -> PageTokens {
        let tokens = PageTokens { key: hmac::Key::new(hmac::HMAC_SHA256, &key) };
        key.zeroize();
        tokens
    }

    /// Makes a token that contains `cursor`, the last key of a page, and is valid only for `listing`. `listing` must name the operation,
    /// the registry, the repository and the filter. The token is URL-safe text.
    pub fn seal(&self, listing: &str, cursor: &[u8]) -> String {
        let mut token = Vec::with_capacity(1 + cursor.len() + MAC_LENGTH);
        token.push(VERSION);
        token.extend_from_slice(cursor);
        let mac = self.mac(listing, &token);
        token.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Returns the cursor of a token that [`PageTokens::seal`] made for the same listing.
    pub fn open(&self, listing: &str, token: &str) -> Result<Vec<u8>, InvalidPageToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidPageToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidPageToken)?;
        let (sealed, mac) = bytes.split_last_chunk::<MAC_LENGTH>().ok_or(InvalidPageToken)?;
        if !bool::from(self.mac(listing, sealed).ct_eq(mac)) {
            return Err(InvalidPageToken);
        }
        match sealed.split_first() {
            Some((&VERSION, cursor)) => Ok(cursor.to_vec()),
            _ => Err(InvalidPageToken),
        }
    }

    fn mac(&self, listing: &str, sealed: &[u8]) -> [u8; MAC_LENGTH] {
        let mut context = hmac::Context::with_key(&self.key);
        // With the length, two different pairs of listing and cursor never give the same input.
        context.update(&(listing.len() as u64).to_be_bytes());
        context.update(listing.as_bytes());
        context.update(sealed);
        let mut mac = [0; MAC_LENGTH];
        mac.copy_from_slice(&context.sign().as_ref()[..MAC_LENGTH]);
        mac
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not one of this listing's")]
pub struct InvalidPageToken;
