//! Blobs: bytes that every protocol encodes as base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;

/// Bytes that a protocol encodes as standard base64 with padding. Deserialization makes no copy of the encoded text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl FromStr for Blob {
    type Err = InvalidBlob;

    fn from_str(text: &str) -> Result<Blob, InvalidBlob> {
        STANDARD.decode(text).map(|bytes| Blob(bytes.into())).map_err(|_| InvalidBlob)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not base64")]
pub struct InvalidBlob;

impl<'de> serde::Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl serde::de::Visitor<'_> for Base64 {
            type Value = Blob;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
                text.parse().map_err(|_| E::invalid_type(serde::de::Unexpected::Str(""), &self))
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

impl serde::Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Blob;

    #[test]
    fn only_standard_base64_with_padding_is_read() {
        for (text, expected) in [
            (r#""""#, Some(&b""[..])),
            (r#""YQ==""#, Some(b"a")),
            (r#""+/+/""#, Some(b"\xfb\xff\xbf")),
            (r#""+\/+\/""#, Some(b"\xfb\xff\xbf")),
            (r#""YQ""#, None),
            (r#""YR==""#, None),
            (r#""Y Q=""#, None),
            (r#""-_-_""#, None),
        ] {
            let read = serde_json::from_str::<Blob>(text).ok().map(|blob| blob.0);
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
