//! A policy's text as it is stored and shown.

#[cfg(test)]
mod tests;

use super::InvalidDocument;
use super::read::cut;
use aws::{AccountId, Partition};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// The members that hold principals.
const PRINCIPALS: [&str; 2] = ["Principal", "NotPrincipal"];

/// Formats a policy: indents it, keeps the order of its members, and writes an account id as the ARN of the account's root.
///
/// The text must be valid for [`Document::parse`](super::Document::parse). The meaning does not change.
pub fn readable(text: &str, partition: Partition) -> Result<String, InvalidDocument> {
    with_principals(text, |name| {
        name.parse::<AccountId>().ok().map(|account| format!("arn:{partition}:iam::{account}:root"))
    })
}

/// Replaces the names of principals of AWS in a policy, where `replace` returns another one. Indents the text and keeps the order of its
/// members.
///
/// The text must be valid for [`Document::parse`](super::Document::parse).
pub fn with_principals(text: &str, mut replace: impl FnMut(&str) -> Option<String>) -> Result<String, InvalidDocument> {
    let unreadable = |error: serde_json::Error| InvalidDocument::Json(cut(&error.to_string()));
    let mut json: Json = serde_json::from_str(text).map_err(unreadable)?;
    json.replace_principals(false, &mut replace);
    serde_json::to_string_pretty(&json).map_err(unreadable)
}

/// JSON whose members keep their order.
enum Json {
    Object(Vec<(String, Json)>),
    Array(Vec<Json>),
    Scalar(serde_json::Value),
}

impl Json {
    /// `is_principal`: whether this stands below `Principal`.
    fn replace_principals(&mut self, is_principal: bool, replace: &mut dyn FnMut(&str) -> Option<String>) {
        match self {
            Json::Object(members) => {
                for (name, value) in members {
                    let is_principal = PRINCIPALS.contains(&name.as_str()) || (is_principal && name == "AWS");
                    value.replace_principals(is_principal, replace);
                }
            }
            Json::Array(elements) => {
                elements.iter_mut().for_each(|element| element.replace_principals(is_principal, replace));
            }
            Json::Scalar(serde_json::Value::String(text)) if is_principal => {
                if let Some(other) = replace(text) {
                    *text = other;
                }
            }
            Json::Scalar(_) => {}
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Json, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(Json::Array(elements))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Scalar(value.into()))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Scalar(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Scalar(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Scalar(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Scalar(value.into()))
            }
        }
        reader.deserialize_any(Reader)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Object(members) => {
                let mut map = writer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
            Json::Array(elements) => {
                let mut list = writer.serialize_seq(Some(elements.len()))?;
                elements.iter().try_for_each(|element| list.serialize_element(element))?;
                list.end()
            }
            Json::Scalar(value) => value.serialize(writer),
        }
    }
}
