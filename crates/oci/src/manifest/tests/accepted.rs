use super::super::{Manifest, ManifestKind, Platform};
use super::{digest, image, index, parse, with};
use crate::MediaType;
use serde_json::{Value, json};

#[test]
fn every_member_of_an_image_is_read() {
    let mut value = image();
    value["artifactType"] = json!("application/x.kind; version=0.2");
    value["annotations"] = json!({"a": "1", "A": "2", "": ""});
    value["subject"] = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": digest("s"), "size": 7});
    value["layers"][0]["urls"] = json!(["https://example.com/layer"]);
    value["layers"][0]["annotations"] = json!({"k": "v"});
    value["unknown"] = json!({"layers": [1, null, {"x": 0.5}], "deep": [[[[true]]]]});
    let manifest = parse(&value).unwrap();
    assert_eq!(manifest.kind, ManifestKind::Image);
    assert_eq!(manifest.media_type.as_str(), MediaType::OCI_MANIFEST);
    assert_eq!(manifest.artifact_type.as_deref(), Some("application/x.kind; version=0.2"));
    assert_eq!(manifest.annotations.len(), 3);
    assert_eq!(manifest.subject.unwrap().size, 7);
    assert_eq!(manifest.config.unwrap().digest.to_string(), digest("config"));
    assert_eq!(manifest.layers.len(), 2);
    assert_eq!(manifest.layers[0].urls, ["https://example.com/layer"]);
    assert_eq!(manifest.layers[0].annotations["k"], "v");
    assert_eq!(manifest.layers[1].media_type.as_str(), "application/x.part");
    assert!(manifest.manifests.is_empty());
}

#[test]
fn an_index_is_read_with_its_platforms() {
    let mut value = index();
    value["manifests"][0]["platform"] = json!({
        "os": "windows", "architecture": "amd64", "variant": "v1", "os.version": "10.0.1",
        "os.features": ["win32k"],
    });
    value["manifests"][1]["platform"] = json!({});
    value["manifests"][1]["artifactType"] = json!("a/b");
    let manifest = parse(&value).unwrap();
    assert_eq!(manifest.kind, ManifestKind::Index);
    assert!(manifest.config.is_none() && manifest.layers.is_empty());
    let platform = Platform {
        os: "windows".into(),
        architecture: "amd64".into(),
        variant: Some("v1".into()),
        os_version: Some("10.0.1".into()),
    };
    assert_eq!(manifest.manifests[0].platform, Some(platform));
    assert_eq!(manifest.manifests[1].platform.as_ref().unwrap().os, "");
    assert_eq!(manifest.manifests[1].artifact_type.as_deref(), Some("a/b"));
    assert_eq!(manifest.image_size(), 0);
    assert!(manifest.required_blobs().is_empty());
}

#[test]
fn the_media_type_comes_from_the_manifest_or_from_the_request() {
    let oci = MediaType::OCI_MANIFEST;
    let docker = MediaType::DOCKER_MANIFEST;
    let with_parameters = format!("{oci}; charset=utf-8");
    let in_capitals = oci.to_uppercase();
    let data = [
        (Some(oci), None, oci),
        (Some(oci), Some(""), oci),
        (Some(oci), Some(oci), oci),
        (Some(oci), Some(with_parameters.as_str()), oci),
        (Some(with_parameters.as_str()), Some(oci), oci),
        (Some(oci), Some(in_capitals.as_str()), oci),
        (None, Some(oci), oci),
        (None, Some(with_parameters.as_str()), oci),
        (Some(""), Some(oci), oci),
        (None, Some(docker), docker),
        (Some(docker), None, docker),
    ];
    for (own, given, expected) in data {
        let value = with(image(), "/mediaType", own.map(|own| json!(own)));
        let manifest = Manifest::parse(value.to_string().as_bytes(), given).unwrap();
        assert_eq!(manifest.media_type.as_str(), expected, "{own:?} {given:?}");
        assert_eq!(manifest.kind, ManifestKind::Image);
    }
    for list in [MediaType::OCI_INDEX, MediaType::DOCKER_LIST] {
        let manifest = parse(&with(index(), "/mediaType", Some(json!(list)))).unwrap();
        assert_eq!(manifest.media_type.as_str(), list);
        assert_eq!(manifest.kind, ManifestKind::Index);
    }
}

#[test]
fn absent_null_and_unknown_members_are_ignored() {
    let changes = [
        ("/subject", Value::Null),
        ("/annotations", Value::Null),
        ("/artifactType", Value::Null),
        ("/artifactType", json!("")),
        ("/manifests", Value::Null),
        ("/layers", json!([])),
        ("/config/urls", Value::Null),
        ("/config/annotations", Value::Null),
        ("/config/platform", Value::Null),
        ("/config/data", json!("e30=")),
        ("/config/mediaType", json!(MediaType::OCI_EMPTY)),
        ("/config/size", json!(0)),
        ("/config/size", json!(i64::MAX)),
        ("/config/Unknown", json!(1)),
        ("/annotations", json!({"Layers": "", "layers": ""})),
        ("/blobs", json!([])),
    ];
    for (pointer, value) in changes {
        let manifest = parse(&with(image(), pointer, Some(value.clone())));
        let manifest = manifest.unwrap_or_else(|e| panic!("{pointer} {value}: {e}"));
        assert_eq!(manifest.artifact_type, None);
        assert!(manifest.subject.is_none());
    }
    parse(&with(index(), "/manifests", Some(json!([])))).unwrap();
}

#[test]
fn a_list_that_is_absent_or_null_is_empty() {
    for (media_type, base, list) in [
        (MediaType::OCI_MANIFEST, image(), "/layers"),
        (MediaType::DOCKER_MANIFEST, image(), "/layers"),
        (MediaType::OCI_INDEX, index(), "/manifests"),
        (MediaType::DOCKER_LIST, index(), "/manifests"),
    ] {
        for empty in [None, Some(Value::Null), Some(json!([]))] {
            let value = with(with(base.clone(), "/mediaType", Some(json!(media_type))), list, empty.clone());
            let manifest = parse(&value).unwrap_or_else(|error| panic!("{media_type} {empty:?}: {error}"));
            assert_eq!(manifest.media_type.as_str(), media_type);
            assert!(manifest.layers.is_empty() && manifest.manifests.is_empty(), "{media_type} {empty:?}");
            assert_eq!(manifest.config.is_some(), list == "/layers");
        }
    }
}

#[test]
fn white_space_and_escapes_are_json() {
    let text = image().to_string().replace("\"layers\"", " \n\t\"l\\u0061yers\"\r");
    let manifest = Manifest::parse(format!("\n{text} \n").as_bytes(), None).unwrap();
    assert_eq!(manifest.layers.len(), 2);
}

#[test]
fn the_referrer_type_is_the_artifact_type_else_the_configs_media_type() {
    let mut value = image();
    let read = |value: &Value| parse(value).unwrap().referrer_artifact_type().map(str::to_owned);
    assert_eq!(read(&value).as_deref(), Some("application/x.part"));
    value["artifactType"] = json!("");
    assert_eq!(read(&value).as_deref(), Some("application/x.part"));
    value["artifactType"] = json!("a/b");
    assert_eq!(read(&value).as_deref(), Some("a/b"));
    assert_eq!(read(&index()), None);
    assert_eq!(read(&with(index(), "/artifactType", Some(json!("c/d")))).as_deref(), Some("c/d"));
}

#[test]
fn required_blobs_are_listed_once_and_without_those_stored_elsewhere() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let part = |of: &str, media_type: &str, urls: Value| json!({"mediaType": media_type, "digest": digest(of), "size": 10, "urls": urls});
    let url = json!(["https://example.com"]);
    let mut value = image();
    value["config"] = part("c", "a/b", json!([]));
    value["layers"] = json!([
        part("foreign with urls", foreign, url.clone()),
        part("foreign without urls", foreign, json!([])),
        part("ours with urls", "a/b", url),
        part("twice", "a/b", json!([])),
        part("twice", "a/b", json!([])),
        part("c", "a/b", json!([])),
    ]);
    let manifest = parse(&value).unwrap();
    let required: Vec<String> = manifest.required_blobs().iter().map(|d| d.digest.to_string()).collect();
    let expected = ["c", "foreign without urls", "ours with urls", "twice"].map(digest);
    assert_eq!(required, expected);
    assert_eq!(manifest.image_size(), 70);
}

#[test]
fn a_sum_of_sizes_never_overflows() {
    let mut value = image();
    for pointer in ["/config", "/layers/0", "/layers/1"] {
        value = with(value, &format!("{pointer}/size"), Some(json!(i64::MAX)));
    }
    assert_eq!(parse(&value).unwrap().image_size(), Manifest::MAX_SIZE);
}

#[test]
fn an_index_of_the_largest_size_is_read() {
    let head = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":["#, MediaType::OCI_INDEX);
    let child = format!(r#"{{"mediaType":"a/b","digest":"{}","size":1}}"#, digest(""));
    let count = (Manifest::MAX_BYTES - head.len() - 2) / (child.len() + 1);
    let text = format!("{head}{}]}}", vec![child; count].join(","));
    let padding = " ".repeat(Manifest::MAX_BYTES - text.len());
    let padded = format!("{text}{padding}");
    assert_eq!(Manifest::parse(padded.as_bytes(), None).unwrap().manifests.len(), count);
}
