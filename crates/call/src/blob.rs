//! Bytes in JSON.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// Bytes of the wire: standard base64 with padding. Decoded straight from the input's text, so that no copy of the text is made.
pub struct Blob(pub Bytes);

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Blob, E> {
                let decoded =
                    STANDARD.decode(text).map_err(|_| E::invalid_type(serde::de::Unexpected::Str(""), &self))?;
                Ok(Blob(Bytes::from(decoded)))
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

#[cfg(test)]
mod tests {
    use super::Blob;

    #[test]
    fn only_standard_base64_with_its_padding_is_read() {
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
