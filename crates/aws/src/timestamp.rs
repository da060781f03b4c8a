//! Timestamps. JSON services write seconds since 1970 as a number, the query protocol writes ISO 8601.

use std::fmt;

/// The serde name of a [`Timestamp`], by which a protocol with another format recognizes it.
pub(crate) const MARKER: &str = "aws::Timestamp";

/// A time in microseconds since 1970 UTC.
///
/// In JSON it is a number of seconds with three decimals (`1699999999.123`), in [`crate::query`] it is a text
/// (`2023-11-14T22:13:19.123Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        struct Moment;
        impl<'de> serde::de::Visitor<'de> for Moment {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }
            /// From a protocol that knows the marker: microseconds.
            fn visit_i64<E>(self, microseconds: i64) -> Result<Timestamp, E> {
                Ok(Timestamp(microseconds))
            }
            /// From JSON: seconds.
            fn visit_newtype_struct<D: serde::Deserializer<'de>>(self, inner: D) -> Result<Timestamp, D::Error> {
                let seconds = <f64 as serde::Deserialize>::deserialize(inner)?;
                // A value out of range saturates.
                Ok(Timestamp(((seconds * 1_000.0).round() as i64).saturating_mul(1_000)))
            }
        }
        deserializer.deserialize_newtype_struct(MARKER, Moment)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Round down, so that the written time is never later than the real one.
        let milliseconds = self.0.div_euclid(1_000);
        // The milliseconds of any year up to 200,000 are exact in an f64, and its shortest form has three decimals.
        serializer.serialize_newtype_struct(MARKER, &(milliseconds as f64 / 1_000.0))
    }
}
