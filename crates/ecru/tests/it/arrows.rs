//! The arrows between crates (DESIGN "Shape"): the compiler forbids a cycle, this test forbids the rest.
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate of the workspace may stand on among the others.
const ARROWS: &[(&str, &[&str])] = &[
    ("oci", &[]),
    ("aws", &[]),
    ("meta", &[]),
    ("policy", &["aws"]),
    ("blob", &["oci"]),
    ("kernel", &["oci", "aws", "policy", "meta", "blob"]),
    ("registry", &["kernel", "oci", "aws", "policy", "meta", "blob"]),
    ("listen", &["registry", "oci", "aws", "policy", "blob"]),
    ("call", &["listen", "registry", "oci", "aws"]),
    ("admin", &["call", "listen", "registry", "oci", "aws"]),
    ("docker", &["listen", "registry", "oci", "aws", "policy"]),
    ("ecr", &["call", "listen", "registry", "oci", "aws"]),
    ("ecr_public", &["call"]),
    ("layers", &["listen", "registry"]),
    ("sts", &["call", "listen", "registry", "aws"]),
    (
        "ecru",
        &[
            "admin",
            "docker",
            "ecr",
            "ecr_public",
            "layers",
            "sts",
            "call",
            "listen",
            "registry",
            "oci",
            "aws",
            "policy",
            "meta",
            "blob",
        ],
    ),
    ("testkit", &["ecru", "listen", "registry", "oci", "aws", "policy", "meta", "blob"]),
    ("bench", &["oci", "aws"]),
];

/// Crates that speak HTTP; the domain must do without them.
const HTTP: &[&str] =
    &["axum", "h2", "http", "http-body", "hyper", "hyper-util", "object_store", "reqwest", "tower", "tower-http"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Normal and build dependencies of each package, by package id: what tests alone need does not count.
fn dependencies(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let of = |node: &Value| {
        let counts = |dependency: &&Value| {
            dependency["dep_kinds"].as_array().expect("dep_kinds").iter().any(|kind| kind["kind"] != "dev")
        };
        node["deps"].as_array().expect("deps").iter().filter(counts).map(|d| text(&d["pkg"])).collect()
    };
    nodes.iter().map(|node| (text(&node["id"]), of(node))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn names(metadata: &Value) -> BTreeMap<String, String> {
    metadata["packages"].as_array().expect("packages").iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect()
}

#[test]
fn crates_stand_only_on_those_below_them() {
    let metadata = metadata();
    let (names, dependencies) = (names(&metadata), dependencies(&metadata));
    let ours: BTreeSet<String> = metadata["workspace_members"].as_array().expect("members").iter().map(text).collect();
    let mut seen = BTreeSet::new();
    for id in &ours {
        let name = names[id].as_str();
        let (_, allowed) =
            ARROWS.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} has no line in ARROWS"));
        for below in dependencies[id].iter().filter(|d| ours.contains(*d)).map(|d| names[d].as_str()) {
            assert!(allowed.contains(&below), "{name} must not stand on {below}");
        }
        seen.insert(name);
    }
    assert_eq!(seen.len(), ARROWS.len(), "ARROWS names a crate that is gone");
}

#[test]
fn the_domain_has_no_http_anywhere_beneath_it() {
    let metadata = metadata();
    let (names, dependencies) = (names(&metadata), dependencies(&metadata));
    let registry = names.iter().find(|(_, name)| *name == "registry").expect("registry").0.clone();
    let (mut seen, mut next) = (BTreeSet::new(), vec![registry]);
    while let Some(id) = next.pop() {
        assert!(!HTTP.contains(&names[&id].as_str()), "registry stands on {}", names[&id]);
        if seen.insert(id.clone()) {
            next.extend(dependencies[&id].iter().cloned());
        }
    }
    assert!(seen.len() > 20, "the walk found only {} packages", seen.len());
}
