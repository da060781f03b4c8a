//! The location of a layer's bytes.

use crate::Error;

/// The name of a layer's bytes in an engine: a UUIDv7, displayed as 32 lower-case hex digits. A location is never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(pub [u8; 16]);

impl Location {
    /// Returns the time at which the location was made, in milliseconds since 1970: the first 48 bits of a UUIDv7 (RFC 9562
    /// section 5.7).
    pub fn made_at_ms(&self) -> u64 {
        self.0[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }
}

impl From<[u8; 16]> for Location {
    fn from(bytes: [u8; 16]) -> Location {
        Location(bytes)
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Location({self})")
    }
}

impl std::str::FromStr for Location {
    type Err = Error;

    /// Parses exactly what Display writes. Fails with [`Error::State`] for another length, another digit or upper case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let digits: [u8; 32] = text.as_bytes().try_into().map_err(|_| NOT_A_LOCATION)?;
        let mut location = Location([0; 16]);
        for (byte, pair) in location.0.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(location)
    }
}

const NOT_A_LOCATION: Error = Error::State("a location is 32 lower-case hex digits");

fn digit(ascii: u8) -> Result<u8, Error> {
    match ascii {
        b'0'..=b'9' => Ok(ascii - b'0'),
        b'a'..=b'f' => Ok(ascii - b'a' + 10),
        _ => Err(NOT_A_LOCATION),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_location_displays_its_digits_and_contains_its_time() {
        // The example of RFC 9562, A.6.
        let location: Location = "017f22e279b07cc398c4dc0c0c07398f".parse().unwrap();
        assert_eq!(location.made_at_ms(), 0x017F_22E2_79B0);
        assert_eq!(location.to_string(), "017f22e279b07cc398c4dc0c0c07398f");
        assert_eq!(format!("{location:?}"), "Location(017f22e279b07cc398c4dc0c0c07398f)");
    }

    #[test]
    fn malformed_locations_are_refused() {
        let long = "0".repeat(33);
        for text in [
            "",
            "0",
            &long,
            "017F22E279B07CC398C4DC0C0C07398F",
            "../e279b07cc398c4dc0c0c07398f017f",
            "é17f22e279b07cc398c4dc0c0c07398",
        ] {
            assert!(matches!(text.parse::<Location>(), Err(Error::State(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_location_round_trips(bytes: [u8; 16]) {
            prop_assert_eq!(Location(bytes).to_string().parse::<Location>().unwrap(), Location(bytes));
        }
    }
}
