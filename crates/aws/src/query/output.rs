//! The serde serializer of an operation's output, which is written as XML or JSON.

use super::{escape, push_escaped};
use crate::timestamp;
use serde::ser::{self, Impossible, Serialize, Serializer};
use std::fmt::{self, Display, Write};

/// The output of one call, from which both formats are written. `()` is the output of an operation without output.
///
/// The intermediate form makes the program smaller: each type of output needs one serializer instead of two.
pub struct QueryOutput(Value);

/// A value of the output. A member that is absent (`None`) is not written.
enum Value {
    Absent,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Milliseconds since 1970 UTC, and the same in ISO 8601.
    Time(i64, String),
    List(Vec<Value>),
    Structure(Vec<(&'static str, Value)>),
    Map(Vec<(String, Value)>),
}

impl QueryOutput {
    /// # Errors
    /// The type can't be written in the query protocol: an enum with data, a tuple, a map with keys that are not texts, an output that is
    /// not a structure, or a time outside the years -9999 to 9999.
    pub fn of(output: &impl Serialize) -> Result<QueryOutput, QueryOutputError> {
        match output.serialize(Gather)? {
            value @ (Value::Structure(_) | Value::Absent) => Ok(QueryOutput(value)),
            _ => Err(ser::Error::custom("an operation's output is a structure or ()")),
        }
    }

    /// `<ACTIONResponse xmlns=…><ACTIONResult>…</ACTIONResult><ResponseMetadata><RequestId>…`, without a result for `()`.
    ///
    /// A list is written as `<member>` elements, a map as `<entry><key>…</key><value>…</value></entry>`, a time in ISO 8601.
    pub fn xml(&self, namespace: &str, action: &str, request_id: &str) -> String {
        let mut text = format!("<{action}Response xmlns=\"{}\">", escape(namespace));
        if !matches!(self.0, Value::Absent) {
            let result = format!("{action}Result");
            self.0.element(&result, &mut text);
        }
        let request_id = escape(request_id);
        // Writing to a String cannot fail.
        let _ =
            write!(text, "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>");
        text
    }

    /// The same structure in JSON, as STS writes it if `Accept` asks for JSON. A list is an array, a map is an object, a time is a number
    /// of seconds since 1970.
    pub fn json(&self, action: &str, request_id: &str) -> String {
        let result = match self.0 {
            Value::Absent => String::new(),
            // Writing a value as JSON can't fail.
            _ => format!("\"{action}Result\":{},", serde_json::to_string(&AsJson(&self.0)).unwrap_or_default()),
        };
        let metadata = serde_json::json!({ "RequestId": request_id });
        // The name of an action needs no escaping.
        format!("{{\"{action}Response\":{{{result}\"ResponseMetadata\":{metadata}}}}}")
    }
}

impl Value {
    fn element(&self, name: &str, text: &mut String) {
        if matches!(self, Value::Absent) {
            return;
        }
        // Names are Rust field names, which need no escaping.
        let _ = write!(text, "<{name}>");
        match self {
            Value::Absent => {}
            Value::Boolean(value) => drop(write!(text, "{value}")),
            Value::Integer(value) => drop(write!(text, "{value}")),
            Value::Float(value) => text.push_str(&float(*value)),
            Value::Text(value) => push_escaped(text, value),
            Value::Time(_, iso) => text.push_str(iso),
            Value::List(items) => items.iter().for_each(|item| item.element("member", text)),
            Value::Structure(members) => members.iter().for_each(|(name, member)| member.element(name, text)),
            Value::Map(entries) => {
                for (key, value) in entries {
                    text.push_str("<entry><key>");
                    push_escaped(text, key);
                    text.push_str("</key>");
                    value.element("value", text);
                    text.push_str("</entry>");
                }
            }
        }
        let _ = write!(text, "</{name}>");
    }
}

/// Serializes a value as JSON.
struct AsJson<'a>(&'a Value);

impl Serialize for AsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let present = |value: &Value| !matches!(value, Value::Absent);
        match self.0 {
            Value::Absent => serializer.serialize_none(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i128(*value),
            Value::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Value::Float(value) => serializer.serialize_str(&float(*value)),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Time(milliseconds, _) => serializer.serialize_f64(*milliseconds as f64 / 1_000.0),
            Value::List(items) => serializer.collect_seq(items.iter().filter(|item| present(item)).map(AsJson)),
            Value::Structure(members) => {
                let members = members.iter().filter(|(_, member)| present(member));
                serializer.collect_map(members.map(|(name, member)| (name, AsJson(member))))
            }
            Value::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, AsJson(value)))),
        }
    }
}

/// The text of a number. AWS writes numbers that are not finite as words.
fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value => value.to_string(),
    }
}

/// The output's type can't be written in the query protocol. This is a fault of the operation, not of the caller.
#[derive(Debug, thiserror::Error)]
#[error("an output can't be written: {0}")]
pub struct QueryOutputError(String);

impl ser::Error for QueryOutputError {
    fn custom<T: Display>(message: T) -> QueryOutputError {
        QueryOutputError(message.to_string())
    }
}

fn unsupported<T>(what: &str) -> Result<T, QueryOutputError> {
    Err(ser::Error::custom(format_args!("{what} has no spelling in the query protocol")))
}

/// The serializer that converts an output to a [`Value`].
struct Gather;

macro_rules! scalars {
    ($($method:ident($type:ty) => $variant:ident;)*) => {$(
        fn $method(self, value: $type) -> Result<Value, QueryOutputError> {
            Ok(Value::$variant(value.into()))
        }
    )*};
}

impl Serializer for Gather {
    type Ok = Value;
    type Error = QueryOutputError;
    type SerializeSeq = GatherList;
    type SerializeMap = GatherMap;
    type SerializeStruct = GatherStructure;
    type SerializeTuple = Impossible<Value, QueryOutputError>;
    type SerializeTupleStruct = Impossible<Value, QueryOutputError>;
    type SerializeTupleVariant = Impossible<Value, QueryOutputError>;
    type SerializeStructVariant = Impossible<Value, QueryOutputError>;

    scalars! {
        serialize_bool(bool) => Boolean;
        serialize_i8(i8) => Integer;
        serialize_i16(i16) => Integer;
        serialize_i32(i32) => Integer;
        serialize_i64(i64) => Integer;
        serialize_u8(u8) => Integer;
        serialize_u16(u16) => Integer;
        serialize_u32(u32) => Integer;
        serialize_u64(u64) => Integer;
        serialize_f32(f32) => Float;
        serialize_f64(f64) => Float;
        serialize_char(char) => Text;
        serialize_str(&str) => Text;
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<Value, QueryOutputError> {
        unsupported("a byte array that is no Blob")
    }

    fn serialize_none(self) -> Result<Value, QueryOutputError> {
        Ok(Value::Absent)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, QueryOutputError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, QueryOutputError> {
        Ok(Value::Absent)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, QueryOutputError> {
        Ok(Value::Structure(Vec::new()))
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, QueryOutputError> {
        Ok(Value::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, QueryOutputError> {
        match value.serialize(self)? {
            Value::Float(seconds) if name == timestamp::MARKER => {
                let milliseconds = (seconds * 1_000.0).round() as i64;
                let time = jiff::Timestamp::from_millisecond(milliseconds).map_err(ser::Error::custom)?;
                Ok(Value::Time(milliseconds, time.to_string()))
            }
            value => Ok(value),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Value, QueryOutputError> {
        unsupported("an enum with data")
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<GatherList, QueryOutputError> {
        Ok(GatherList(Vec::with_capacity(length.unwrap_or(0))))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<GatherMap, QueryOutputError> {
        Ok(GatherMap { entries: Vec::new(), key: None })
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<GatherStructure, QueryOutputError> {
        Ok(GatherStructure(Vec::with_capacity(length)))
    }

    fn serialize_tuple(self, _length: usize) -> Result<Self::SerializeTuple, QueryOutputError> {
        unsupported("a tuple")
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleStruct, QueryOutputError> {
        unsupported("a tuple")
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeTupleVariant, QueryOutputError> {
        unsupported("an enum with data")
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self::SerializeStructVariant, QueryOutputError> {
        unsupported("an enum with data")
    }

    /// Types such as addresses are then written as text.
    fn is_human_readable(&self) -> bool {
        true
    }
}

struct GatherList(Vec<Value>);

impl ser::SerializeSeq for GatherList {
    type Ok = Value;
    type Error = QueryOutputError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), QueryOutputError> {
        self.0.push(value.serialize(Gather)?);
        Ok(())
    }

    fn end(self) -> Result<Value, QueryOutputError> {
        Ok(Value::List(self.0))
    }
}

struct GatherMap {
    entries: Vec<(String, Value)>,
    key: Option<String>,
}

impl ser::SerializeMap for GatherMap {
    type Ok = Value;
    type Error = QueryOutputError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), QueryOutputError> {
        let Value::Text(key) = key.serialize(Gather)? else { return unsupported("a map's key that is no text") };
        self.key = Some(key);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), QueryOutputError> {
        let Some(key) = self.key.take() else { return unsupported("a map's value without a key") };
        self.entries.push((key, value.serialize(Gather)?));
        Ok(())
    }

    fn end(self) -> Result<Value, QueryOutputError> {
        Ok(Value::Map(self.entries))
    }
}

struct GatherStructure(Vec<(&'static str, Value)>);

impl ser::SerializeStruct for GatherStructure {
    type Ok = Value;
    type Error = QueryOutputError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), QueryOutputError> {
        self.0.push((name, value.serialize(Gather)?));
        Ok(())
    }

    fn end(self) -> Result<Value, QueryOutputError> {
        Ok(Value::Structure(self.0))
    }
}

impl fmt::Debug for QueryOutput {
    /// Hides the content, because an output may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryOutput(..)")
    }
}
