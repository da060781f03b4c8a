mod accepted;
mod properties;
mod refused;

use super::{InvalidManifest, Manifest};
use crate::{Algorithm, Digest, MediaType};
use serde_json::{Value, json};

fn digest(of: &str) -> String {
    Digest::of(Algorithm::Sha256, of.as_bytes()).to_string()
}

fn descriptor(of: &str) -> Value {
    json!({"mediaType": "application/x.part", "digest": digest(of), "size": of.len()})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor("config"),
        "layers": [descriptor("layer one"), descriptor("layer two")],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [descriptor("child one"), descriptor("child two")],
    })
}

/// Returns a copy with the member at a JSON pointer set, or removed for `None`. `Value::Null` sets a null.
fn with(mut base: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = base.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    base
}

fn parse(value: &Value) -> Result<Manifest, InvalidManifest> {
    Manifest::parse(value.to_string().as_bytes(), None)
}

fn member(member: &str, reason: &str) -> InvalidManifest {
    InvalidManifest::member(member, reason)
}
