//! The JSON form of a policy document. A value may stand for an array of one. Scalars are read as text. No member may occur twice.

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct RawDocument {
    #[serde(default, deserialize_with = "present")]
    pub version: Option<String>,
    #[serde(rename = "Id", default, deserialize_with = "present")]
    _id: Option<String>,
    pub statement: Statements,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub(super) struct RawStatement {
    #[serde(default, deserialize_with = "present")]
    pub sid: Option<String>,
    pub effect: String,
    #[serde(default, deserialize_with = "present")]
    pub principal: Option<RawPrincipal>,
    #[serde(default, deserialize_with = "present")]
    pub not_principal: Option<RawPrincipal>,
    #[serde(default, deserialize_with = "present")]
    pub action: Option<Many<String>>,
    #[serde(default, deserialize_with = "present")]
    pub not_action: Option<Many<String>>,
    #[serde(default, deserialize_with = "present")]
    pub resource: Option<Many<String>>,
    #[serde(default, deserialize_with = "present")]
    pub not_resource: Option<Many<String>>,
    #[serde(default, deserialize_with = "present")]
    pub condition: Option<Pairs<Pairs<Many<Scalar>>>>,
}

/// Reads a member that is present. Refuses `null`, because a null condition must not be read as no condition.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

/// A struct that must be a JSON object. Serde alone would also read it from an array.
pub(super) struct Object<T>(pub T);

/// One value, or an array of values.
pub(super) struct Many<T>(pub Vec<T>);

/// The statements: one, or an array. The error about one names its place.
pub(super) struct Statements(pub Vec<RawStatement>);

/// The members of an object, in order. Each name occurs once.
pub(super) struct Pairs<T>(pub Vec<(String, T)>);

/// A string, or the text of a boolean or number.
pub(super) struct Scalar(pub String);

/// A `Principal` element: `"*"`, or lists by kind of principal.
pub(super) enum RawPrincipal {
    Text(String),
    Lists(Pairs<Many<String>>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Many<T>, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Many)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Many<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| Many(vec![one]))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|one| Many(vec![one]))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Many<T>, E> {
                T::deserialize(value.into_deserializer()).map(|one| Many(vec![one]))
            }
        }
        reader.deserialize_any(Reader(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Statements {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Statements;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a statement or an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Statements, A::Error> {
                let mut statements = Vec::new();
                loop {
                    match seq.next_element() {
                        Ok(Some(Object(statement))) => statements.push(statement),
                        Ok(None) => return Ok(Statements(statements)),
                        Err(error) => return Err(in_statement(statements.len(), &error)),
                    }
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Statements, A::Error> {
                let one = RawStatement::deserialize(MapAccessDeserializer::new(map));
                one.map(|one| Statements(vec![one])).map_err(|error: A::Error| in_statement(0, &error))
            }
        }
        reader.deserialize_any(Reader)
    }
}

/// Names the statement in an error about it. The position in the text is cut off here: `serde_json` adds it to every error at the end.
fn in_statement<E: Error>(index: usize, error: &E) -> E {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    E::custom(format!("Statement[{index}]: {reason}"))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        reader.deserialize_map(Reader(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut seen = BTreeSet::new();
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !seen.insert(name.to_ascii_lowercase()) {
                        return Err(A::Error::custom(format!("duplicate member `{name}`")));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        reader.deserialize_map(Reader(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a boolean or a number")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        reader.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for RawPrincipal {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = RawPrincipal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"*\" or an object")
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<RawPrincipal, E> {
                Ok(RawPrincipal::Text(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawPrincipal, A::Error> {
                Pairs::deserialize(MapAccessDeserializer::new(map)).map(RawPrincipal::Lists)
            }
        }
        reader.deserialize_any(Reader)
    }
}
