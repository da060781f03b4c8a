//! The epoch timestamps of AWS JSON 1.1.

/// A moment in microseconds since 1970 UTC, written as a JSON number of seconds with a fraction of milliseconds (`1699999999.123`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);
impl serde::Serialize for Timestamp { fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> { todo!() } }
