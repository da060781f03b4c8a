//! Checks inputs, outputs and errors against botocore's service models.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A service's model, read from the directory that `scripts/botocore-models` writes.
pub struct Model {
    model: Value,
}

/// Returns the models' directory: ECRU_BOTOCORE, or `target/botocore` of the workspace.
fn directory() -> PathBuf {
    match std::env::var_os("ECRU_BOTOCORE") {
        Some(directory) => directory.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/botocore"),
    }
}

/// Errors that any operation may return although its model does not declare them, with their status (`ECR.md` 0).
pub const COMMON_ERRORS: &[(&str, u16)] = &[
    ("AccessDeniedException", 400),
    ("ExpiredTokenException", 400),
    ("IncompleteSignatureException", 400),
    ("InvalidSignatureException", 400),
    ("MissingAuthenticationTokenException", 400),
    ("SerializationException", 400),
    ("ThrottlingException", 400),
    ("UnknownOperationException", 400),
    ("UnrecognizedClientException", 400),
];

/// The same for services of the query protocol (IAM's and STS's "Common Errors").
pub const COMMON_QUERY_ERRORS: &[(&str, u16)] = &[
    ("AccessDenied", 403),
    ("ExpiredToken", 403),
    ("IncompleteSignature", 400),
    ("InvalidAction", 400),
    ("InvalidClientTokenId", 403),
    ("InternalFailure", 500),
    ("MissingAuthenticationToken", 403),
    ("ServiceUnavailable", 503),
    ("SignatureDoesNotMatch", 403),
    ("ValidationError", 400),
];

/// A way to break one documented constraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Missing,
    TooShort,
    TooLong,
    Pattern,
    Enum,
    TooSmall,
    TooLarge,
    WrongType,
}

/// A valid input with one constraint broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Such as `tags[].Key`.
    pub path: String,
    /// The name that a refusal must contain: the last member of the path.
    pub member: String,
    pub kind: Kind,
    pub input: Value,
}

impl Model {
    /// Reads the model of `ecr`, `ecr-public`, `iam` or `sts`.
    pub fn load(service: &str) -> Model {
        let path = directory().join(format!("{service}.json"));
        let text = std::fs::read(&path).unwrap_or_else(|e| {
            panic!("{}: {e}; `./test setup` makes it, ECRU_BOTOCORE names another directory", path.display())
        });
        Model { model: serde_json::from_slice(&text).expect("the model is not JSON") }
    }

    pub fn operations(&self) -> BTreeSet<String> {
        self.model["operations"].as_object().expect("operations").keys().cloned().collect()
    }

    pub fn target_prefix(&self) -> &str {
        self.model["metadata"]["targetPrefix"].as_str().expect("targetPrefix")
    }

    fn operation(&self, name: &str) -> &Value {
        let operation = &self.model["operations"][name];
        assert!(operation.is_object(), "the model has no operation {name}");
        operation
    }

    fn shape(&self, name: &str) -> &Value {
        &self.model["shapes"][name]
    }

    fn declares(&self, operation: &str, error: &str) -> bool {
        let errors = self.operation(operation)["errors"].as_array();
        errors.is_some_and(|errors| errors.iter().any(|e| e["shape"] == error))
    }

    /// Checks an operation's answer; the error says what is wrong.
    pub fn check_answer(&self, operation: &str, status: u16, body: &Value) -> Result<(), String> {
        if status == 200 {
            return self.check(self.operation(operation)["output"]["shape"].as_str().expect("output"), body, operation);
        }
        let name = body["__type"].as_str().ok_or_else(|| format!("an error without __type: {status} {body}"))?;
        let expected = match COMMON_ERRORS.iter().find(|(common, _)| *common == name) {
            Some((_, status)) => vec![*status],
            // Busy and full are 503 with Retry-After on the AWS door (DESIGN "Errors").
            None if name == "ServerException" => vec![500, 503],
            None if self.declares(operation, name) => vec![400],
            None => return Err(format!("{operation} may not answer {name}: {body}")),
        };
        if !expected.contains(&status) {
            return Err(format!("{name} has the status {status}, not one of {expected:?}"));
        }
        if self.declares(operation, name) {
            let mut members = body.clone();
            members.as_object_mut().expect("an object").remove("__type");
            self.check(name, &members, name)?;
        }
        Ok(())
    }

    /// Checks an operation's answer in the query protocol; the error says what is wrong. `body` is the operation's result in JSON, or
    /// `__type` and `message` of an error. The model declares an error by its shape, which contains the code on the wire.
    pub fn check_query_answer(&self, operation: &str, status: u16, body: &Value) -> Result<(), String> {
        if status == 200 {
            return match (self.operation(operation)["output"]["shape"].as_str(), body) {
                (Some(shape), body) => self.check(shape, body, operation),
                (None, Value::Null) => Ok(()),
                (None, body) => Err(format!("{operation} has no output: {body}")),
            };
        }
        let code = body["__type"].as_str().ok_or_else(|| format!("an error without a code: {status} {body}"))?;
        let common = COMMON_QUERY_ERRORS.iter().find(|(common, _)| *common == code).map(|(_, status)| *status);
        let errors = self.operation(operation)["errors"].as_array();
        let declared = errors.into_iter().flatten().find_map(|error| {
            let error = &self.shape(error["shape"].as_str()?)["error"];
            error["httpStatusCode"].as_u64().filter(|_| error["code"] == code)
        });
        let expected = common.map(u64::from).or(declared);
        match expected {
            Some(expected) if expected == u64::from(status) => Ok(()),
            Some(expected) => Err(format!("{code} has the status {status}, not {expected}")),
            None => Err(format!("{operation} may not answer {code}: {body}")),
        }
    }

    /// Checks a value against a shape: only declared members, all required ones, matching types and enums, no nulls.
    fn check(&self, shape_name: &str, value: &Value, path: &str) -> Result<(), String> {
        let shape = self.shape(shape_name);
        let wrong = || Err(format!("{path} is no {}: {value}", shape["type"].as_str().unwrap_or_default()));
        match shape["type"].as_str().expect("type") {
            "structure" => {
                let Value::Object(object) = value else { return wrong() };
                let none = Map::new();
                let members = shape["members"].as_object().unwrap_or(&none);
                for (name, value) in object {
                    let member = members.get(name).ok_or_else(|| format!("{path} has no member {name}"))?;
                    self.check(member["shape"].as_str().expect("shape"), value, &format!("{path}.{name}"))?;
                }
                for name in required(shape) {
                    if !object.contains_key(name) {
                        return Err(format!("{path} lacks {name}"));
                    }
                }
                Ok(())
            }
            "list" => {
                let Value::Array(items) = value else { return wrong() };
                let member = shape["member"]["shape"].as_str().expect("shape");
                items.iter().enumerate().try_for_each(|(i, item)| self.check(member, item, &format!("{path}[{i}]")))
            }
            "map" => {
                let Value::Object(object) = value else { return wrong() };
                let member = shape["value"]["shape"].as_str().expect("shape");
                object.iter().try_for_each(|(key, value)| self.check(member, value, &format!("{path}.{key}")))
            }
            "string" => match (value, shape["enum"].as_array()) {
                (Value::String(_), Some(values)) if !values.contains(value) => {
                    Err(format!("{path} is none of {values:?}: {value}"))
                }
                (Value::String(_), _) => Ok(()),
                _ => wrong(),
            },
            "blob" if value.is_string() => Ok(()),
            "boolean" if value.is_boolean() => Ok(()),
            "integer" | "long" if value.is_i64() => Ok(()),
            "double" | "timestamp" if value.is_number() => Ok(()),
            _ => wrong(),
        }
    }

    /// Returns every constraint of an operation's input, as (path, kind).
    pub fn constraints(&self, operation: &str) -> BTreeSet<(String, Kind)> {
        let mut found = BTreeSet::new();
        if let Some(shape) = self.operation(operation)["input"]["shape"].as_str() {
            self.shape_constraints(shape, "", &mut found);
        }
        found
    }

    fn shape_constraints(&self, shape_name: &str, path: &str, found: &mut BTreeSet<(String, Kind)>) {
        let shape = self.shape(shape_name);
        found.extend(kinds(shape).into_iter().filter(|_| !path.is_empty()).map(|kind| (path.to_owned(), kind)));
        match shape["type"].as_str().expect("type") {
            "structure" => {
                found.extend(required(shape).map(|name| (join(path, name), Kind::Missing)));
                for (name, member) in shape["members"].as_object().expect("members") {
                    self.shape_constraints(member["shape"].as_str().expect("shape"), &join(path, name), found);
                }
            }
            "list" => {
                self.shape_constraints(shape["member"]["shape"].as_str().expect("shape"), &format!("{path}[]"), found)
            }
            _ => {}
        }
    }

    /// Returns variants of a valid input, each with one constraint broken.
    pub fn breaks(&self, operation: &str, valid: &Value) -> Vec<Broken> {
        let mut found = Vec::new();
        if let Some(shape) = self.operation(operation)["input"]["shape"].as_str() {
            self.shape_breaks(shape, valid, "", "", &mut found, &|broken| broken);
        }
        found
    }

    /// Collects the broken variants of one value. `put` replaces `value` in the whole input.
    fn shape_breaks(
        &self,
        shape_name: &str,
        value: &Value,
        path: &str,
        member: &str,
        found: &mut Vec<Broken>,
        put: &dyn Fn(Value) -> Value,
    ) {
        let shape = self.shape(shape_name);
        if !path.is_empty() {
            for kind in kinds(shape) {
                let input = put(break_value(shape, value, kind));
                found.push(Broken { path: path.to_owned(), member: member.to_owned(), kind, input });
            }
        }
        match value {
            Value::Object(object) if shape["type"] == "structure" => {
                for name in required(shape) {
                    let mut without = object.clone();
                    without.remove(name);
                    let input = put(Value::Object(without));
                    found.push(Broken { path: join(path, name), member: name.to_owned(), kind: Kind::Missing, input });
                }
                for (name, value) in object {
                    let member = &shape["members"][name.as_str()]["shape"];
                    let member = member.as_str().unwrap_or_else(|| panic!("{shape_name} has no member {name}"));
                    let put_member = |broken: Value| {
                        let mut object = object.clone();
                        object.insert(name.clone(), broken);
                        put(Value::Object(object))
                    };
                    self.shape_breaks(member, value, &join(path, name), name, found, &put_member);
                }
            }
            Value::Array(items) if shape["type"] == "list" => {
                let Some(first) = items.first() else { return };
                let put_first = |broken: Value| {
                    let mut items = items.clone();
                    items[0] = broken;
                    put(Value::Array(items))
                };
                let element = shape["member"]["shape"].as_str().expect("shape");
                self.shape_breaks(element, first, &format!("{path}[]"), member, found, &put_first);
            }
            _ => {}
        }
    }
}

fn required(shape: &Value) -> impl Iterator<Item = &str> {
    shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Returns the constraints that a value of this shape can break by itself.
fn kinds(shape: &Value) -> Vec<Kind> {
    let mut kinds = vec![Kind::WrongType];
    let number = matches!(shape["type"].as_str(), Some("integer" | "long" | "double"));
    if shape["min"].as_i64().is_some_and(|min| number || min > 0) {
        kinds.push(if number { Kind::TooSmall } else { Kind::TooShort });
    }
    if shape["max"].is_i64() {
        kinds.push(if number { Kind::TooLarge } else { Kind::TooLong });
    }
    if shape["pattern"].is_string() {
        kinds.push(Kind::Pattern);
    }
    if shape["enum"].is_array() {
        kinds.push(Kind::Enum);
    }
    kinds
}

fn break_value(shape: &Value, value: &Value, kind: Kind) -> Value {
    let min = shape["min"].as_i64().unwrap_or(0);
    let max = shape["max"].as_i64().unwrap_or(i64::MAX - 1);
    let text =
        |character: &str, length: i64| Value::String(character.repeat(usize::try_from(length).expect("a length")));
    match (kind, shape["type"].as_str().expect("type")) {
        (Kind::TooSmall, _) => json!(min - 1),
        (Kind::TooLarge, _) => json!(max + 1),
        (Kind::TooShort, "list") => json!([]),
        (Kind::TooLong, "list") => {
            let first = value[0].clone();
            Value::Array(std::iter::repeat_n(first, usize::try_from(max + 1).expect("a length")).collect())
        }
        (Kind::TooShort, _) => text("a", min - 1),
        // At least one byte too many, in base64 without padding: 4 characters hold 3 bytes.
        (Kind::TooLong, "blob") => text("A", (max / 3 + 1) * 4),
        (Kind::TooLong, _) => text("a", max + 1),
        // No pattern of the models allows a snowman.
        (Kind::Pattern, _) => text("\u{2603}", min.max(2)),
        (Kind::Enum, _) => json!("NO_SUCH_VALUE"),
        (Kind::WrongType, "structure" | "list" | "map") => json!("text"),
        (Kind::WrongType, "string" | "blob") => json!([1]),
        (Kind::WrongType, _) => json!("text"),
        (Kind::Missing, _) => unreachable!("a missing member is broken in its structure"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_held_to_its_shape() {
        let model = Model::load("ecr");
        let answer =
            json!({"repositories": [{"repositoryName": "app", "createdAt": 1.5, "imageTagMutability": "MUTABLE"}]});
        model.check_answer("DescribeRepositories", 200, &answer).unwrap();
        for (wrong, says) in [
            (json!({"repositories": [{"name": "app"}]}), "has no member name"),
            (json!({"repositories": {}}), "is no list"),
            (json!({"nextToken": null}), "is no string"),
            (json!({"repositories": [{"imageTagMutability": "SOMETIMES"}]}), "is none of"),
        ] {
            let error = model.check_answer("DescribeRepositories", 200, &wrong).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn an_error_must_be_declared_or_common_and_have_its_status() {
        let model = Model::load("ecr");
        let error = |name: &str| json!({"__type": name, "message": "m"});
        model.check_answer("PutImage", 400, &error("LayersNotFoundException")).unwrap();
        model.check_answer("PutImage", 400, &error("AccessDeniedException")).unwrap();
        model.check_answer("PutImage", 503, &error("ServerException")).unwrap();
        model.check_answer("PutImage", 400, &error("ValidationException")).unwrap_err();
        model.check_answer("PutImage", 500, &error("LayersNotFoundException")).unwrap_err();
    }

    #[test]
    fn every_constraint_of_a_whole_input_is_broken_once() {
        let model = Model::load("ecr");
        let valid = json!({
            "registryId": "000000000000", "repositoryName": "app",
            "layerDigests": ["sha256:00"],
        });
        let broken: BTreeSet<_> =
            model.breaks("BatchCheckLayerAvailability", &valid).into_iter().map(|b| (b.path, b.kind)).collect();
        assert_eq!(broken, model.constraints("BatchCheckLayerAvailability"));
        assert!(broken.contains(&("layerDigests[]".to_owned(), Kind::TooLong)));
    }
}
