//! The ids of records: a type for each, so that no two arguments can be swapped.
use crate::{FromValue, Value};
use std::fmt;
use std::str::FromStr;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Not above any other id.
            pub const MIN: $name = $name([0; 16]);
            /// Not below any other id.
            pub const MAX: $name = $name([u8::MAX; 16]);
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), uuid::Uuid::from_bytes(self.0).hyphenated())
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> $name {
                $name(bytes)
            }
        }

        impl From<$name> for Value {
            fn from(id: $name) -> Value {
                Value::Blob(id.0.to_vec())
            }
        }

        impl FromValue for $name {
            fn from_value(value: &Value) -> Option<$name> {
                <[u8; 16]>::from_value(value).map($name)
            }
        }
    )*};
}

ids! {
    /// A repository, living or deleted; a UUIDv7. A repository that is made again under its name has another id.
    RepositoryId;
    /// An image of one repository; a UUIDv7.
    ImageId;
    /// A layer's record; a UUIDv7. One per digest, registry and encryption identity.
    LayerId;
    /// An upload session: a UUIDv8 that carries its own proof. Its text is the hyphenated UUID of `ECR.md` A.9.
    UploadId;
    /// An event; a UUIDv7, so that later events sort behind earlier ones.
    EventId;
    /// The last of a row's refusals of a push; a UUIDv7.
    PushRefusalId;
    /// The place of a layer's or an upload's bytes, which `blob::Location` spells; a UUIDv7 that is never reused.
    LocationId;
    /// A store: in its records and in its layers' directory. 16 random bytes, shown as 32 hexadecimal digits.
    StoreId;
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads the hyphenated form of `ECR.md` A.9 UploadId, in lower or upper case.
impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<UploadId, InvalidUploadId> {
        // The parser knows other forms as well, of other lengths.
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidUploadId);
        }
        uuid::Uuid::try_parse(text).map(|uuid| UploadId(uuid.into_bytes())).map_err(|_| InvalidUploadId)
    }
}

/// A text that is not the hyphenated form of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an upload id")]
pub struct InvalidUploadId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_upload_id() {
        let id = UploadId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for text in [
            "",
            "8",
            "00000000000080008000000000000000",
            "{00000000-0000-8000-8000-000000000000}",
            "00000000-0000-8000-8000-00000000000g",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(InvalidUploadId), "{text}");
        }
    }

    #[test]
    fn an_id_is_a_blob_that_reads_back_as_itself_alone() {
        let id = LayerId([7; 16]);
        assert_eq!(Value::from(id), Value::Blob(vec![7; 16]));
        assert_eq!(LayerId::from_value(&Value::from(id)), Some(id));
        assert_eq!(LayerId::from_value(&Value::Blob(vec![7; 15])), None);
    }
}
