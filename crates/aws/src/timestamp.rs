//! The epoch timestamps of AWS JSON 1.1.

/// A moment in microseconds since 1970 UTC, written as a JSON number of seconds with a fraction of milliseconds
/// (`1699999999.123`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        // Out of range saturates, as a conversion of floats does.
        Ok(Timestamp(((seconds * 1_000.0).round() as i64).saturating_mul(1_000)))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Rounding down keeps the written moment from ever being later than the real one.
        let milliseconds = self.0.div_euclid(1_000);
        // The milliseconds of any year up to 200,000 are exact in an f64, and its shortest form has three decimals.
        serializer.serialize_f64(milliseconds as f64 / 1_000.0)
    }
}
