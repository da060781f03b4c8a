//! botocore's requests are read and botocore reads the responses, for all operations of STS and IAM.

use crate::botocore::{file, run};
use aws::query::{QueryError, QueryForm, QueryOutput};
use aws::{Blob, Timestamp};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;

/// A shape of a service's model, in place of a Rust type with derived serde traits.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Shape {
    Structure { members: std::collections::BTreeMap<String, Shape> },
    List { member: Box<Shape> },
    Map { value: Box<Shape> },
    String,
    Integer,
    Long,
    Double,
    Boolean,
    Timestamp,
    Blob,
}

#[derive(Deserialize)]
struct Case {
    service: String,
    operation: String,
    version: String,
    namespace: String,
    body: String,
    input_shape: Option<Shape>,
    input: Option<Value>,
    output_shape: Option<Shape>,
    output: Option<Value>,
}

/// Deserializes a value like a type of this shape, to JSON with times in microseconds and blobs in base64.
impl<'de> DeserializeSeed<'de> for &Shape {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Shape::Structure { .. } => deserializer.deserialize_struct("Structure", &[], self),
            Shape::List { .. } => deserializer.deserialize_seq(self),
            Shape::Map { .. } => deserializer.deserialize_map(self),
            Shape::String => String::deserialize(deserializer).map(Into::into),
            Shape::Integer => i32::deserialize(deserializer).map(Into::into),
            Shape::Long => i64::deserialize(deserializer).map(Into::into),
            Shape::Double => f64::deserialize(deserializer).map(Into::into),
            Shape::Boolean => bool::deserialize(deserializer).map(Into::into),
            Shape::Timestamp => Timestamp::deserialize(deserializer).map(|time| time.0.into()),
            Shape::Blob => Ok(serde_json::to_value(Blob::deserialize(deserializer)?).unwrap()),
        }
    }
}

impl<'de> Visitor<'de> for &Shape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let Shape::List { member } = self else { return Err(A::Error::custom("not a list")) };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(&**member)? {
            items.push(item);
        }
        Ok(items.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let shape = match self {
                Shape::Map { value } => value,
                Shape::Structure { members } => members.get(&name).ok_or_else(|| A::Error::custom("no such member"))?,
                _ => return Err(A::Error::custom("not a map")),
            };
            let value = map.next_value_seed(shape)?;
            assert!(members.insert(name, value).is_none(), "a member was read twice");
        }
        Ok(members.into())
    }
}

/// Serializes a value like a type of its shape.
struct Shaped<'a>(&'a Shape, &'a Value);

impl Serialize for Shaped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Shaped(shape, value) = self;
        match shape {
            Shape::Structure { members } => {
                let values = value.as_object().unwrap();
                let mut structure = serializer.serialize_struct("Structure", members.len())?;
                for (name, shape) in members {
                    // Names of fields are constants of a program.
                    let name: &'static str = Box::leak(name.clone().into_boxed_str());
                    structure.serialize_field(name, &values.get(name).map(|value| Shaped(shape, value)))?;
                }
                structure.end()
            }
            Shape::List { member } => {
                let mut list = serializer.serialize_seq(None)?;
                for item in value.as_array().unwrap() {
                    list.serialize_element(&Shaped(member, item))?;
                }
                list.end()
            }
            Shape::Map { value: shape } => {
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in value.as_object().unwrap() {
                    map.serialize_entry(key, &Shaped(shape, value))?;
                }
                map.end()
            }
            Shape::Timestamp => Timestamp(value.as_i64().unwrap()).serialize(serializer),
            Shape::Blob => serde_json::from_value::<Blob>((*value).clone()).unwrap().serialize(serializer),
            _ => value.serialize(serializer),
        }
    }
}

fn samples() -> Vec<Case> {
    let out = file("samples");
    run("botocore-query", &["samples"], &out);
    let cases = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    std::fs::remove_file(&out).unwrap();
    cases
}

#[test]
fn every_operation_of_sts_and_iam_agrees_with_botocore() {
    let cases = samples();
    assert!(cases.len() > 4 * 190, "only {} samples", cases.len());
    let mut answers = Vec::new();
    for case in &cases {
        let what = format!("{} {}", case.service, case.body);
        let form = QueryForm::read("", case.body.as_bytes()).unwrap();
        assert_eq!(form.get("Action"), Some(case.operation.as_str()), "{what}");
        assert_eq!(form.get("Version"), Some(case.version.as_str()), "{what}");
        if let (Some(shape), Some(input)) = (&case.input_shape, &case.input) {
            let read = form.input_of(shape).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(&read, input, "{what}");
        }

        let output = match (&case.output_shape, &case.output) {
            (Some(shape), Some(output)) => QueryOutput::of(&Shaped(shape, output)),
            _ => QueryOutput::of(&()),
        };
        let xml = output.unwrap().xml(&case.namespace, &case.operation, "id<1>");
        let (service, operation) = (&case.service, &case.operation);
        answers.push(json!({
            "service": service, "operation": operation, "status": 200, "xml": xml, "output": case.output,
        }));
        let (code, message) = ("NoSuchEntity", "no '<user>' & \"key\"");
        let error = QueryError { is_sender: true, code, message, extra: &[] }.xml(&case.namespace, "id<1>");
        let meant = json!({ "Code": "NoSuchEntity", "Message": "no '<user>' & \"key\"", "Type": "Sender" });
        answers.push(json!({
            "service": service, "operation": operation, "status": 404, "xml": error, "error": meant,
        }));
    }
    let written = file("answers");
    std::fs::write(&written, serde_json::to_vec(&answers).unwrap()).unwrap();
    run("botocore-query", &["parse"], &written);
    std::fs::remove_file(&written).unwrap();
}
