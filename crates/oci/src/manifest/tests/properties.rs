use super::super::{InvalidManifest, Manifest};
use super::{image, index, parse};
use crate::MediaType;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

/// Generates any JSON value, a few levels deep.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c]{1,2}|.{0,4}", inner, 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Writes a value as JSON, and repeats the first key of one object. `at` selects the object, counted from the outside in.
fn write_with_a_double(value: &Value, at: &mut usize, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write_with_a_double(item, at, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let double = *at == 0;
            *at = at.wrapping_sub(1);
            out.push('{');
            let first = members.iter().next().filter(|_| double);
            for (i, (key, item)) in members.iter().chain(first).enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_with_a_double(item, at, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// Replaces empty objects by nulls, because they have no key to repeat.
fn drop_empty_objects(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(drop_empty_objects).collect(),
        Value::Object(members) if members.is_empty() => Value::Null,
        Value::Object(members) => members.into_iter().map(|(key, item)| (key, drop_empty_objects(item))).collect(),
        other => other,
    }
}

fn count_objects(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count_objects).sum(),
        Value::Object(members) => 1 + members.values().map(count_objects).sum::<usize>(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        prop_assert!(Manifest::parse(&bytes, Some(MediaType::OCI_MANIFEST)).is_err());
    }

    #[test]
    fn any_text_that_resembles_json_is_read_or_refused(text in r#"[{}\[\]":,0-9a-z\\. -]{0,80}"#) {
        prop_assert!(Manifest::parse(text.as_bytes(), Some(MediaType::OCI_INDEX)).is_err());
    }

    #[test]
    fn a_manifest_with_any_byte_changed_is_read_or_refused(at: Index, byte: u8) {
        let mut bytes = image().to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(manifest) = Manifest::parse(&bytes, None) {
            // The change may have renamed the member.
            let has_layers = String::from_utf8_lossy(&bytes).contains("\"layers\"");
            prop_assert_eq!(manifest.layers.len(), if has_layers { 2 } else { 0 });
        }
    }

    #[test]
    fn a_truncated_manifest_is_refused(at: Index) {
        let text = index().to_string();
        let cut = &text.as_bytes()[..at.index(text.len())];
        prop_assert!(matches!(Manifest::parse(cut, None), Err(InvalidManifest::Json(_))));
    }

    #[test]
    fn any_value_as_any_member_is_read_or_refused(value in values(), name in prop::sample::select(vec![
        "schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations",
    ])) {
        let mut manifest = image();
        manifest[name] = value;
        // The random value may be valid by chance. Then the parsed manifest must agree with the JSON.
        if let Ok(read) = parse(&manifest) {
            prop_assert_eq!(read.layers.len(), manifest["layers"].as_array().map_or(0, Vec::len));
        }
    }

    #[test]
    fn unknown_members_never_matter(value in values(), name in "x[a-z]{0,8}") {
        let mut manifest = image();
        manifest[&name] = value.clone();
        manifest["config"][&name] = value;
        let read = parse(&manifest).unwrap();
        prop_assert_eq!(read.required_blobs().len(), 3);
    }

    #[test]
    fn a_duplicate_key_is_found_at_any_level(extra in values(), chosen: Index) {
        let mut manifest = image();
        manifest["x"] = extra;
        let manifest = drop_empty_objects(manifest);
        let mut text = String::new();
        write_with_a_double(&manifest, &mut usize::MAX.clone(), &mut text);
        prop_assert!(Manifest::parse(text.as_bytes(), None).is_ok());
        text.clear();
        write_with_a_double(&manifest, &mut chosen.index(count_objects(&manifest)), &mut text);
        let error = Manifest::parse(text.as_bytes(), None).unwrap_err();
        prop_assert!(error.to_string().contains("appears twice"), "{error}");
    }

    #[test]
    fn deep_nesting_of_objects_and_arrays_is_refused(shape in prop::collection::vec(any::<bool>(), 1..200)) {
        let open: String = shape.iter().map(|object| if *object { "{\"a\":" } else { "[" }).collect();
        let close: String = shape.iter().rev().map(|object| if *object { '}' } else { ']' }).collect();
        let text = format!("{{\"x\":{open}0{close},{}", &image().to_string()[1..]);
        let read = Manifest::parse(text.as_bytes(), None);
        prop_assert_eq!(read.is_ok(), shape.len() < Manifest::MAX_DEPTH);
    }

    #[test]
    fn valid_manifests_round_trip(
        sizes in prop::collection::vec(0..=Manifest::MAX_SIZE, 0..6),
        annotations in prop::collection::btree_map(".{0,9}", ".{0,9}", 0..5),
    ) {
        let mut manifest = image();
        let layers: Vec<Value> = sizes.iter().map(|size| {
            json!({"mediaType": "a/b", "digest": super::digest(&size.to_string()), "size": size})
        }).collect();
        manifest["layers"] = layers.into();
        manifest["annotations"] = json!(annotations);
        let read = parse(&manifest).unwrap();
        prop_assert_eq!(read.layers.iter().map(|l| l.size).collect::<Vec<_>>(), sizes);
        prop_assert_eq!(read.annotations, annotations);
    }
}
