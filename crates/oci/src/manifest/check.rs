//! Finds, in one pass over the JSON, what serde_json accepts and Ecru refuses: duplicate keys, deep nesting, too many values.

use super::object::Text;
use super::{InvalidManifest, Manifest, quoted};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::HashSet;
use std::fmt;

/// Checks that the text is exactly one JSON object, and that no object in it repeats a key.
///
/// Only the keys of the objects that enclose the current value are in memory.
pub(super) fn check(text: &str) -> Result<(), InvalidManifest> {
    let not_json = |error: serde_json::Error| InvalidManifest::Json(error.to_string());
    if text.starts_with('\u{feff}') {
        return Err(InvalidManifest::Json("the text begins with a byte order mark".into()));
    }
    let mut values = 0;
    let mut reader = serde_json::Deserializer::from_str(text);
    let check = Check { depth: 0, values: &mut values };
    check.deserialize(&mut reader).map_err(not_json)?;
    reader.end().map_err(not_json)?;
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(InvalidManifest::Json("the value is not an object".into()));
    }
    Ok(())
}

struct Check<'c> {
    /// How many objects and arrays enclose the value.
    depth: usize,
    values: &'c mut usize,
}

impl Check<'_> {
    fn inner(&mut self) -> Check<'_> {
        Check { depth: self.depth + 1, values: self.values }
    }

    fn enter<E: Error>(&self) -> Result<(), E> {
        if self.depth >= Manifest::MAX_DEPTH {
            return Err(E::custom("nesting is deeper than 64 levels"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        *self.values += 1;
        if *self.values > Manifest::MAX_VALUES {
            return Err(D::Error::custom("the text has too many values"));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.enter()?;
        while seq.next_element_seed(self.inner())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut keys = HashSet::new();
        while let Some(Text(key)) = map.next_key()? {
            if let Some(key) = keys.replace(key) {
                let message = format!("the key '{}' appears twice", quoted(&key));
                return Err(A::Error::custom(message));
            }
            map.next_value_seed(self.inner())?;
        }
        Ok(())
    }
}
