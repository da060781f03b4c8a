//! Parses and prints root keys, for settings and files.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use kernel::keys::KEY_BYTES;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Numbered root keys, at least one. `Debug` shows only the numbers.
#[derive(Clone)]
pub struct RootKeys(Vec<(u32, Zeroizing<[u8; KEY_BYTES]>)>);

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl RootKeys {
    /// Creates a set of one key, with number 1.
    pub fn first(key: Zeroizing<[u8; KEY_BYTES]>) -> RootKeys {
        RootKeys(vec![(1, key)])
    }

    /// Returns the keys with their numbers.
    pub fn into_inner(self) -> Vec<(u32, Zeroizing<[u8; KEY_BYTES]>)> {
        self.0
    }

    /// Returns `NUMBER:BASE64` for each key, one per line, which [`RootKeys::from_str`] parses.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len() * 64));
        for (number, key) in &self.0 {
            let encoded = Zeroizing::new(BASE64.encode(key.as_slice()));
            text.push_str(&number.to_string());
            text.push(':');
            text.push_str(&encoded);
            text.push('\n');
        }
        text
    }
}

impl std::fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(number, _)| number)).finish()
    }
}

/// Why a text is not a set of root keys. No variant shows any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRootKey {
    #[error("a root key is 32 bytes, as base64 or as 64 hexadecimal digits; `openssl rand -base64 32` makes one")]
    Form,
    #[error("a root key's number is 1 or more: NUMBER:KEY")]
    Number,
    #[error("two root keys have the number {0}: write each as NUMBER:KEY; a key without a number is number 1")]
    Twice(u32),
    #[error("there is no root key in it")]
    None,
}

impl FromStr for RootKeys {
    type Err = InvalidRootKey;

    /// Parses one key, or several as `NUMBER:KEY` separated by commas or line ends. A key without a number has number 1.
    fn from_str(text: &str) -> Result<RootKeys, InvalidRootKey> {
        let mut keys: Vec<(u32, _)> = Vec::new();
        for entry in text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
            let (number, key) = match entry.split_once(':') {
                Some((number, key)) => (number.trim().parse().map_err(|_| InvalidRootKey::Number)?, key.trim()),
                None => (1, entry),
            };
            if number == 0 {
                return Err(InvalidRootKey::Number);
            }
            if keys.iter().any(|(other, _)| *other == number) {
                return Err(InvalidRootKey::Twice(number));
            }
            keys.push((number, decode(key).ok_or(InvalidRootKey::Form)?));
        }
        if keys.is_empty() { Err(InvalidRootKey::None) } else { Ok(RootKeys(keys)) }
    }
}

fn decode(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        return Some(key);
    }
    let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
    (bytes.len() == KEY_BYTES).then(|| key.copy_from_slice(&bytes))?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    const PADDED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn numbers(text: &str) -> Result<Vec<u32>, InvalidRootKey> {
        Ok(text.parse::<RootKeys>()?.0.iter().map(|(number, _)| *number).collect())
    }

    #[test]
    fn every_form_of_a_key_is_the_same_key() {
        let expected: [u8; KEY_BYTES] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        for text in [HEX, PADDED, PADDED.trim_end_matches('='), &format!(" 1:{HEX}\n")] {
            let keys = text.parse::<RootKeys>().unwrap().into_inner();
            assert_eq!(keys.len(), 1);
            assert_eq!((keys[0].0, *keys[0].1), (1, expected), "{text}");
        }
    }

    #[test]
    fn several_keys_have_numbers_of_their_own() {
        let other = PADDED.replace('A', "B");
        for (text, expected) in [
            (format!("1:{PADDED},2:{other}"), Ok(vec![1, 2])),
            (format!("7:{PADDED}\n\n3:{HEX}\n"), Ok(vec![7, 3])),
            (format!("1:{PADDED},{other}"), Err(InvalidRootKey::Twice(1))),
            (format!("0:{PADDED}"), Err(InvalidRootKey::Number)),
            (format!("x:{PADDED}"), Err(InvalidRootKey::Number)),
            (format!("1:{}", &PADDED[4..]), Err(InvalidRootKey::Form)),
            (HEX[2..].to_owned(), Err(InvalidRootKey::Form)),
            ("hunter2".to_owned(), Err(InvalidRootKey::Form)),
            (" \n".to_owned(), Err(InvalidRootKey::None)),
        ] {
            assert_eq!(numbers(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_key_survives_its_text_and_never_shows() {
        let keys: RootKeys = format!("1:{PADDED},2:{HEX}").parse().unwrap();
        assert_eq!(numbers(&keys.to_text()), Ok(vec![1, 2]));
        assert_eq!(keys.to_text().parse::<RootKeys>().unwrap().into_inner(), keys.0);
        assert_eq!(format!("{keys:?}"), "[1, 2]");
    }
}
