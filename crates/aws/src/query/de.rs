//! The serde deserializer of an operation's input.

use super::form::{MAX_INDEX, Node, QueryFormError};
use crate::timestamp;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt::Display;
use std::str::FromStr;

/// The kind of a container, which decides the names of its items: `NAME.member.N` or `NAME.entry.N`.
#[derive(Clone, Copy)]
enum Items {
    List,
    Map,
}

impl Items {
    fn label(self) -> &'static str {
        match self {
            Items::List => "member",
            Items::Map => "entry",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Items::List => "a list",
            Items::Map => "a map",
        }
    }
}

impl<'de> Node<'de> {
    /// The node's value. A node with members has none.
    fn text(&self) -> Result<&'de str, QueryFormError> {
        let value = self.value.filter(|_| self.members.is_empty());
        value.ok_or_else(|| QueryFormError::new("must be a single value").within(self.path))
    }

    fn parse<T: FromStr>(&self, expected: &str) -> Result<T, QueryFormError> {
        self.text()?.parse().map_err(|_| QueryFormError::new(format!("must be {expected}")).within(self.path))
    }

    /// The items of a list or map, ordered by index. There may be gaps between indexes.
    fn items<'n>(&'n self, kind: Items) -> Result<std::vec::IntoIter<&'n Node<'de>>, QueryFormError> {
        let refuse = |node: &Node<'_>, problem: String| Err(QueryFormError::new(problem).within(node.path));
        let label = kind.label();
        if self.value.is_some_and(|value| !value.is_empty()) {
            return refuse(self, format!("must be {}: its items are NAME.{label}.N", kind.noun()));
        }
        let mut items = Vec::new();
        for (name, below) in &self.members {
            if *name != label || below.value.is_some() {
                return refuse(below, format!("is no item of {}: its items are NAME.{label}.N", kind.noun()));
            }
            for (index, item) in &below.members {
                match read_index(index) {
                    Some(number) => items.push((number, item)),
                    None => return refuse(item, format!("must end in a number from 1 to {MAX_INDEX}")),
                }
            }
        }
        items.sort_by_key(|(number, _)| *number);
        Ok(items.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into_iter())
    }

    /// The members of a structure. It must have no value, except that an empty structure may be written as `NAME=`.
    fn structure<'n>(&'n self) -> Result<Structure<'n, 'de>, QueryFormError> {
        if self.value.is_some_and(|value| !value.is_empty()) {
            return Err(QueryFormError::new("must be a structure: its members are NAME.MEMBER").within(self.path));
        }
        Ok(Structure { members: self.members.iter(), value: None })
    }
}

/// Parses an index. Refuses leading zeros and signs, so that each item has one name.
fn read_index(text: &str) -> Option<usize> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|number| canonical && *number <= MAX_INDEX)
}

macro_rules! numbers {
    ($($method:ident, $visit:ident, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
            visitor.$visit(self.parse($expected)?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &Node<'de> {
    type Error = QueryFormError;

    /// Used if the type is not known. A node with members is then a structure, another node is a text.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        if self.members.is_empty() && !self.path.is_empty() {
            return visitor.visit_borrowed_str(self.text()?);
        }
        visitor.visit_map(self.structure()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        visitor.visit_borrowed_str(self.text()?).map_err(|error: QueryFormError| error.within(self.path))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        let text = self.text()?;
        match [true, false].into_iter().find(|value| text.eq_ignore_ascii_case(&value.to_string())) {
            Some(value) => visitor.visit_bool(value),
            None => Err(QueryFormError::new("must be true or false").within(self.path)),
        }
    }

    numbers! {
        deserialize_i8, visit_i8, "an integer of 8 bits";
        deserialize_i16, visit_i16, "an integer of 16 bits";
        deserialize_i32, visit_i32, "an integer of 32 bits";
        deserialize_i64, visit_i64, "an integer of 64 bits";
        deserialize_u8, visit_u8, "a positive integer of 8 bits";
        deserialize_u16, visit_u16, "a positive integer of 16 bits";
        deserialize_u32, visit_u32, "a positive integer of 32 bits";
        deserialize_u64, visit_u64, "a positive integer of 64 bits";
        deserialize_f32, visit_f32, "a number";
        deserialize_f64, visit_f64, "a number";
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, QueryFormError> {
        if name != timestamp::MARKER {
            return visitor.visit_newtype_struct(self);
        }
        let time: jiff::Timestamp = self.parse("a time such as 2026-01-31T12:00:00Z")?;
        visitor.visit_i64(time.as_microsecond())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        visitor.visit_seq(List(self.items(Items::List)?))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        visitor.visit_map(Map { entries: self.items(Items::Map)?, entry: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, QueryFormError> {
        visitor.visit_map(self.structure()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, QueryFormError> {
        visitor.visit_enum(self.text()?.into_deserializer()).map_err(|error: QueryFormError| error.within(self.path))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, QueryFormError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { char bytes byte_buf unit_struct tuple tuple_struct }
}

struct Structure<'n, 'de> {
    members: std::collections::btree_map::Iter<'n, &'de str, Node<'de>>,
    value: Option<&'n Node<'de>>,
}

impl<'de> MapAccess<'de> for Structure<'_, 'de> {
    type Error = QueryFormError;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, QueryFormError> {
        let Some((name, node)) = self.members.next() else { return Ok(None) };
        self.value = Some(node);
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, QueryFormError> {
        let node = self.value.take().ok_or_else(|| QueryFormError::new("a value was asked for before its name"))?;
        seed.deserialize(node).map_err(|error| error.within(node.path))
    }
}

struct List<'n, 'de>(std::vec::IntoIter<&'n Node<'de>>);

impl<'de> SeqAccess<'de> for List<'_, 'de> {
    type Error = QueryFormError;

    fn next_element_seed<T: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, QueryFormError> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|error| error.within(node.path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Map<'n, 'de> {
    entries: std::vec::IntoIter<&'n Node<'de>>,
    /// The entry whose key was read and whose value was not.
    entry: Option<&'n Node<'de>>,
}

impl<'de> MapAccess<'de> for Map<'_, 'de> {
    type Error = QueryFormError;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, QueryFormError> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.entry = Some(entry);
        let key = entry.members.get("key").ok_or_else(|| QueryFormError::new("must have a key").within(entry.path))?;
        seed.deserialize(key).map(Some).map_err(|error| error.within(key.path))
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, QueryFormError> {
        let entry = self.entry.take().ok_or_else(|| QueryFormError::new("a value was asked for before its key"))?;
        match entry.members.get("value") {
            Some(value) => seed.deserialize(value).map_err(|error| error.within(value.path)),
            // The entry has no value: read an empty structure.
            None => seed.deserialize(&Node::at(entry.path)),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Serde's default messages repeat the caller's value, which may be a secret. These messages do not.
impl serde::de::Error for QueryFormError {
    fn custom<T: Display>(message: T) -> QueryFormError {
        QueryFormError::new(message.to_string())
    }

    fn invalid_type(_unexpected: Unexpected<'_>, expected: &dyn Expected) -> QueryFormError {
        QueryFormError::new(format!("must be {expected}"))
    }

    fn invalid_value(_unexpected: Unexpected<'_>, expected: &dyn Expected) -> QueryFormError {
        QueryFormError::new(format!("must be {expected}"))
    }

    fn unknown_variant(_variant: &str, expected: &'static [&'static str]) -> QueryFormError {
        QueryFormError::new(format!("must be one of {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> QueryFormError {
        QueryFormError::new(format!("{field} is missing"))
    }
}
