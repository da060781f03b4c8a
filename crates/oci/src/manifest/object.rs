//! JSON objects that are parsed member by member, so that an error names the member.

use super::{InvalidManifest, quoted};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// A JSON string. It borrows from the input unless it contains escapes.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Text<'a>(pub Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        reader.deserialize_str(Reader)
    }
}

/// The known members of one object. Their values are still JSON text.
pub(super) struct Object<'a> {
    /// The object's path in the manifest, such as `layers[2]`. Empty for the manifest itself.
    path: String,
    members: Vec<(&'static str, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads the known members of an object. Unknown members are skipped.
    ///
    /// A member that differs from a known one only in case is refused: Go's decoder, which most clients use, reads it as the
    /// known one.
    pub(super) fn read(
        raw: &'a str,
        path: String,
        known: &'static [&'static str],
    ) -> Result<Object<'a>, InvalidManifest> {
        let Members(all) = serde_json::from_str(raw)
            .map_err(|_| InvalidManifest::member(path.clone(), "the value is not an object"))?;
        let mut members = Vec::with_capacity(known.len());
        for (name, value) in all {
            if let Some(name) = known.iter().find(|k| **k == name) {
                members.push((*name, value));
            } else if let Some(alike) = known.iter().find(|k| same_to_go(k, &name)) {
                let reason = format!("the name differs from '{alike}' in case alone");
                return Err(InvalidManifest::member(join(&path, &quoted(&name)), reason));
            }
        }
        Ok(Object { path, members })
    }

    /// Returns a member's path in the manifest, for errors.
    pub(super) fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Returns a member's JSON text, or `None` if the member is absent or `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.members
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.get())
            .filter(|text| *text != "null")
    }

    /// Parses a member as `T`. The error says that the member is not `what`.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str, what: &str) -> Result<Option<T>, InvalidManifest> {
        self.raw(name)
            .map(serde_json::from_str)
            .transpose()
            .map_err(|_| InvalidManifest::member(self.path_of(name), format!("the value is not {what}")))
    }

    /// Returns the error for a required member that is absent.
    pub(super) fn missing(&self, name: &str) -> InvalidManifest {
        InvalidManifest::member(self.path_of(name), "the member is missing")
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns true if Go's encoding/json reads one key as the other. It ignores ASCII case, and folds two letters from outside ASCII.
fn same_to_go(known: &str, name: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    known.chars().map(fold).eq(name.chars().map(fold))
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        reader.deserialize_map(Reader)
    }
}
