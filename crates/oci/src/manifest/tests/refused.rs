use super::super::{InvalidManifest, Manifest};
use super::{descriptor, image, index, member, parse, with};
use crate::MediaType;
use serde_json::{Value, json};

fn json_error(bytes: &[u8]) -> String {
    match Manifest::parse(bytes, Some(MediaType::OCI_MANIFEST)) {
        Err(InvalidManifest::Json(reason)) => reason,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn bytes_that_are_not_one_json_object_are_refused() {
    let good = image().to_string();
    let behind = [" x", "{}", ",", "]", "\0", "\u{a0}", "//"].map(|tail| format!("{good}{tail}"));
    for text in &behind {
        assert!(json_error(text.as_bytes()).starts_with("trailing characters"), "{text}");
    }
    for text in ["[]", "1", "null", "\"{}\"", " [ ]"] {
        assert_eq!(json_error(text.as_bytes()), "the value is not an object", "{text}");
    }
    for text in [
        "",
        " ",
        "{",
        "{\"a\"",
        "{\"a\":}",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{a:1}",
        "{\"a\":NaN}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"\\udc00\":1}",
        "{\"a\":1e999}",
        "/**/{}",
    ] {
        assert!(!json_error(text.as_bytes()).is_empty(), "{text}");
    }
    assert_eq!(json_error(b"\xef\xbb\xbf{}"), "the text begins with a byte order mark");
    assert!(json_error(b"{\"a\":\"\xff\"}").starts_with("the text is not UTF-8"));
    assert!(json_error(b"{\"a\":\"\xed\xa0\x80\"}").starts_with("the text is not UTF-8"));
    assert!(json_error(b"\xff\xfe{\0}\0").starts_with("the text is not UTF-8"));
}

#[test]
fn duplicate_keys_are_refused_at_any_level() {
    let texts = [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"{"x":{"a":1,"a":1}}"#,
        r#"{"x":[[],{"y":[{"a":null,"a":null}]}]}"#,
        r#"{"x":{"a":{"a":{}},"a":[]}}"#,
    ];
    for text in texts {
        assert!(json_error(text.as_bytes()).starts_with("the key 'a' appears twice"), "{text}");
    }
    let text = image().to_string();
    let twice = format!(r#"{{"layers":[],{}"#, &text[1..]);
    assert!(json_error(twice.as_bytes()).contains("'layers' appears twice"));
}

#[test]
fn an_error_quotes_at_most_a_line_of_the_manifest() {
    let key = format!("\\n{}", "k".repeat(100_000));
    let error = json_error(format!(r#"{{"{key}":1,"{key}":1}}"#).as_bytes());
    assert!(error.len() < 200 && error.starts_with("the key '?kkk"), "{}", error.len());
    let long = "a".repeat(100_000);
    for value in [
        with(image(), "/mediaType", Some(json!(long))),
        with(image(), "/artifactType", Some(json!(long))),
        with(image(), "/config/digest", Some(json!(long))),
        with(image(), "/config/mediaType", Some(json!(long))),
    ] {
        assert!(parse(&value).unwrap_err().to_string().len() < 300);
    }
    let error = Manifest::parse(image().to_string().as_bytes(), Some(&long)).unwrap_err();
    assert!(error.to_string().len() < 300);
}

fn nested(depth: usize) -> String {
    let rest = depth - 1;
    format!(r#"{{"x":{}1{},{}"#, "[".repeat(rest), "]".repeat(rest), &image().to_string()[1..])
}

#[test]
fn nesting_deeper_than_64_levels_is_refused() {
    Manifest::parse(nested(64).as_bytes(), None).unwrap();
    let objects = format!("{}1{}", r#"{"x":"#.repeat(65), "}".repeat(65));
    let open_only = "{\"x\":[".to_owned() + &"[".repeat(2_000_000);
    for text in [nested(65), nested(100_000), objects, open_only] {
        assert!(json_error(text.as_bytes()).starts_with("nesting is deeper than 64 levels"));
    }
}

#[test]
fn more_bytes_or_values_than_the_limits_are_refused() {
    let text = image().to_string();
    let full = format!("{text}{}", " ".repeat(Manifest::MAX_BYTES - text.len()));
    Manifest::parse(full.as_bytes(), None).unwrap();
    let error = Manifest::parse(format!("{full} ").as_bytes(), None).unwrap_err();
    assert_eq!(error, InvalidManifest::TooLarge);
    assert!(error.to_string().contains(&Manifest::MAX_BYTES.to_string()));
    let many = format!(r#"{{"x":[{}0]}}"#, "0,".repeat(Manifest::MAX_VALUES));
    assert!(json_error(many.as_bytes()).starts_with("the text has too many values"));
}

#[test]
fn media_types_of_other_documents_are_refused() {
    let unsupported = [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.cncf.oras.artifact.manifest.v1+json",
        "application/json",
        "text/plain",
        "x",
    ];
    for media_type in unsupported {
        let expected = InvalidManifest::UnsupportedMediaType(media_type.into());
        let own = with(image(), "/mediaType", Some(json!(media_type)));
        assert_eq!(parse(&own).unwrap_err(), expected);
        let untyped = with(image(), "/mediaType", None).to_string();
        let given = format!("{media_type}; charset=utf-8");
        let error = Manifest::parse(untyped.as_bytes(), Some(&given)).unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(error.is_docker_schema_1(), media_type.contains("docker"), "{media_type}");
    }
    for value in [image(), index()] {
        let untyped = with(value, "/mediaType", None);
        assert_eq!(parse(&untyped).unwrap_err(), InvalidManifest::NoMediaType);
    }
    let schema_1 = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": []});
    let expected = InvalidManifest::UnsupportedMediaType(MediaType::DOCKER_SCHEMA_1.into());
    assert_eq!(parse(&schema_1).unwrap_err(), expected);
}

#[test]
fn media_types_that_contradict_each_other_are_refused() {
    let pairs = [
        (image(), MediaType::OCI_INDEX),
        (image(), MediaType::DOCKER_MANIFEST),
        (image(), "application/json"),
        (index(), MediaType::OCI_MANIFEST),
    ];
    for (value, given) in pairs {
        let expected = InvalidManifest::MediaTypeMismatch {
            own: value["mediaType"].as_str().unwrap().into(),
            given: given.into(),
        };
        let error = Manifest::parse(value.to_string().as_bytes(), Some(given)).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn members_that_contradict_the_media_type_are_refused() {
    let in_image = "an image manifest must not have this member";
    let in_index = "an index must not have this member";
    let data = [
        (with(image(), "/manifests", Some(json!([]))), "manifests", in_image),
        (with(image(), "/manifests", Some(json!(false))), "manifests", in_image),
        (with(image(), "/fsLayers", Some(json!([]))), "fsLayers", in_image),
        (with(index(), "/layers", Some(json!([]))), "layers", in_index),
        (with(index(), "/config", Some(descriptor("c"))), "config", in_index),
        (with(index(), "/fsLayers", Some(json!([]))), "fsLayers", in_index),
        (with(image(), "/mediaType", Some(json!(MediaType::OCI_INDEX))), "config", in_index),
        (with(index(), "/mediaType", Some(json!(MediaType::DOCKER_MANIFEST))), "manifests", in_image),
        (with(image(), "/Manifests", Some(json!([]))), "Manifests", "the name differs from 'manifests' in case alone"),
        (with(image(), "/layerſ", Some(json!([]))), "layerſ", "the name differs from 'layers' in case alone"),
        (
            with(image(), "/config/DIGEST", Some(json!("x"))),
            "config.DIGEST",
            "the name differs from 'digest' in case alone",
        ),
        (
            with(image(), "/layers/1/Size", Some(json!(1))),
            "layers[1].Size",
            "the name differs from 'size' in case alone",
        ),
    ];
    for (value, name, reason) in data {
        assert_eq!(parse(&value).unwrap_err(), member(name, reason), "{value}");
    }
}

#[test]
fn missing_and_invalid_members_are_refused() {
    let remove = [
        (image(), "/schemaVersion", "schemaVersion"),
        (image(), "/config", "config"),
        (image(), "/config/mediaType", "config.mediaType"),
        (image(), "/config/digest", "config.digest"),
        (image(), "/layers/1/size", "layers[1].size"),
        (index(), "/manifests/0/digest", "manifests[0].digest"),
    ];
    for (value, pointer, name) in remove {
        for absent in [None, Some(Value::Null)] {
            let error = parse(&with(value.clone(), pointer, absent)).unwrap_err();
            assert_eq!(error, member(name, "the member is missing"));
        }
    }
    let bytes = "the value is not a number of bytes";
    let set = [
        ("/schemaVersion", json!(1), "schemaVersion", "the value is not 2"),
        ("/schemaVersion", json!(3), "schemaVersion", "the value is not 2"),
        ("/schemaVersion", json!("2"), "schemaVersion", "the value is not 2"),
        ("/schemaVersion", json!(2.0), "schemaVersion", "the value is not 2"),
        ("/mediaType", json!(7), "mediaType", "the value is not a string"),
        ("/artifactType", json!([]), "artifactType", "the value is not a string"),
        ("/artifactType", json!("x"), "artifactType", "'x' is not a media type"),
        ("/config", json!("x"), "config", "the value is not an object"),
        ("/config", json!([]), "config", "the value is not an object"),
        ("/layers", json!({}), "layers", "the value is not an array"),
        ("/layers", json!([null]), "layers[0]", "the value is not an object"),
        ("/layers", json!([1]), "layers[0]", "the value is not an object"),
        ("/subject", json!([]), "subject", "the value is not an object"),
        ("/subject", json!({}), "subject.mediaType", "the member is missing"),
        ("/annotations", json!([]), "annotations", "the value is not an object of strings"),
        ("/annotations", json!({"a": 1}), "annotations", "the value is not an object of strings"),
        ("/annotations", json!({"a": null}), "annotations", "the value is not an object of strings"),
        ("/config/size", json!(-1), "config.size", bytes),
        ("/config/size", json!(1.5), "config.size", bytes),
        ("/config/size", json!("1"), "config.size", bytes),
        ("/config/size", json!(1u64 << 63), "config.size", "the number is too large"),
        ("/config/size", json!(1e30), "config.size", bytes),
        ("/config/mediaType", json!(""), "config.mediaType", "'' is not a media type"),
        ("/config/mediaType", json!("a/b\r\nX: y"), "config.mediaType", "'a/b??X: y' is not a media type"),
        ("/config/urls", json!("x"), "config.urls", "the value is not an array of strings"),
        ("/config/urls", json!([1]), "config.urls", "the value is not an array of strings"),
        ("/config/annotations", json!({"a": {}}), "config.annotations", "the value is not an object of strings"),
        ("/config/platform", json!("linux"), "config.platform", "the value is not an object"),
        ("/config/platform", json!({"os": 1}), "config.platform.os", "the value is not a string"),
        ("/config/digest", json!("sha256:00"), "config.digest", "invalid digest: the hash has the wrong length"),
        (
            "/config/digest",
            json!("md5:00"),
            "config.digest",
            "invalid digest: the algorithm is neither sha256 nor sha512",
        ),
    ];
    for (pointer, value, name, reason) in set {
        let error = parse(&with(image(), pointer, Some(value.clone()))).unwrap_err();
        assert_eq!(error, member(name, reason), "{pointer} {value}");
    }
}
