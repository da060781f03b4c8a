//! The ids of records. Each record has its own type, so that arguments can't be swapped.

use crate::{FromValue, Value};
use std::fmt;
use std::str::FromStr;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The smallest id.
            pub const MIN: $name = $name([0; 16]);
            /// The largest id.
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
    /// The id of a repository, deleted or not: a UUIDv7. A repository that is created again under the same name has another id.
    RepositoryId;
    /// The id of an image of one repository: a UUIDv7.
    ImageId;
    /// The id of a layer's record: a UUIDv7. There is one record for each digest, registry and encryption identity.
    LayerId;
    /// The id of an upload session: a UUIDv8 that contains its own proof. Its text is the hyphenated UUID of `ECR.md` A.9.
    UploadId;
    /// The id of an event: a UUIDv7, so that events sort by time.
    EventId;
    /// The id of the last refusal in a row of the push log: a UUIDv7.
    PushRefusalId;
    /// The id of a hold of all layers: a UUIDv7.
    HoldId;
    /// The location of a layer's or an upload's bytes, the same as `blob::Location`: a UUIDv7 that is never reused.
    LocationId;
    /// The id of a store, in its records and in its layers' directory: 16 random bytes, displayed as 32 hexadecimal digits.
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

/// Parses the hyphenated form of `ECR.md` A.9 UploadId, in lower or upper case.
impl FromStr for UploadId {
    type Err = InvalidUploadId;

    fn from_str(text: &str) -> Result<UploadId, InvalidUploadId> {
        // The parser also accepts other forms, which have other lengths.
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(InvalidUploadId);
        }
        uuid::Uuid::try_parse(text).map(|uuid| UploadId(uuid.into_bytes())).map_err(|_| InvalidUploadId)
    }
}

/// The text is not the hyphenated form of a UUID.
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
    fn an_id_is_stored_as_a_blob_and_reads_back() {
        let id = LayerId([7; 16]);
        assert_eq!(Value::from(id), Value::Blob(vec![7; 16]));
        assert_eq!(LayerId::from_value(&Value::from(id)), Some(id));
        assert_eq!(LayerId::from_value(&Value::Blob(vec![7; 15])), None);
    }
}
