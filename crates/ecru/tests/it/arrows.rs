//! The arrows between crates (DESIGN "Shape"): the compiler forbids a cycle, this test forbids the rest.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crates that know nothing of each other and of the rest, with few exceptions.
const LEAVES: &[(&str, &[&str])] =
    &[("oci", &[]), ("aws", &[]), ("meta", &[]), ("policy", &["aws"]), ("blob", &["oci"])];

/// What every domain stands on.
const KERNEL: &str = "kernel";

/// What exists and what may happen to it.
const DOMAINS: &[&str] = &["identity", "registry"];

/// The wire crates, which doors depend on, and the workspace crates that each may depend on in addition to the leaves and the kernel.
/// `listen` depends on the domains because it finds credentials and sends the bytes of layers, `call` on `identity` because it notes
/// which credentials are used.
const WIRE: &[(&str, &[&str])] = &[("listen", &["identity", "registry"]), ("call", &["identity", "listen"])];

/// The program, which alone knows the doors.
const PROGRAM: &str = "ecru";

/// What sees the program from outside.
const OUTSIDE: &[&str] = &["testkit", "bench"];

/// Crates that speak HTTP; leaves, kernel and domains must do without them.
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

/// The crates of the workspace: each one's name, whether it is a door, and those of ours that it stands on.
struct Ours {
    stands_on: BTreeMap<String, BTreeSet<String>>,
    doors: BTreeSet<String>,
}

impl Ours {
    fn read(metadata: &Value) -> Ours {
        let (names, dependencies) = (names(metadata), dependencies(metadata));
        let members: BTreeSet<String> =
            metadata["workspace_members"].as_array().expect("members").iter().map(text).collect();
        let below = |id: &String| dependencies[id].iter().filter(|id| members.contains(*id));
        let stands_on =
            members.iter().map(|id| (names[id].clone(), below(id).map(|id| names[id].clone()).collect())).collect();
        let packages = metadata["packages"].as_array().expect("packages").iter();
        let doors = packages.filter(|package| text(&package["manifest_path"]).contains("/crates/doors/"));
        Ours { stands_on, doors: doors.map(|package| text(&package["name"])).collect() }
    }

    /// The workspace crates that the rules of its kind allow a crate to depend on.
    fn allowed(&self, name: &str) -> BTreeSet<&str> {
        let leaves = LEAVES.iter().map(|(leaf, _)| *leaf);
        let below_the_wire = leaves.chain([KERNEL]);
        let wire = WIRE.iter().map(|(name, _)| *name);
        let named = |table: &'static [(&str, &[&str])]| table.iter().find(|(n, _)| *n == name).map(|(_, below)| *below);
        if let Some(below) = named(LEAVES) {
            return below.iter().copied().collect();
        }
        if name == KERNEL {
            return LEAVES.iter().map(|(leaf, _)| *leaf).collect();
        }
        if DOMAINS.contains(&name) {
            return below_the_wire.collect();
        }
        if let Some(below) = named(WIRE) {
            return below_the_wire.chain(below.iter().copied()).collect();
        }
        if self.doors.contains(name) {
            return below_the_wire.chain(DOMAINS.iter().copied()).chain(wire).collect();
        }
        let doors = self.doors.iter().map(String::as_str).filter(|_| name == PROGRAM);
        let program = [PROGRAM].into_iter().filter(|_| OUTSIDE.contains(&name));
        assert!(name == PROGRAM || OUTSIDE.contains(&name), "{name} is of no kind that this test knows");
        below_the_wire.chain(DOMAINS.iter().copied()).chain(wire).chain(doors).chain(program).collect()
    }
}

#[test]
fn crates_stand_only_on_those_below_them() {
    let ours = Ours::read(&metadata());
    for (name, below) in &ours.stands_on {
        let allowed = ours.allowed(name);
        for below in below {
            assert!(allowed.contains(below.as_str()), "{name} must not stand on {below}");
        }
    }
    for name in LEAVES.iter().chain(WIRE).map(|(name, _)| name).chain(DOMAINS).chain(OUTSIDE).chain([&KERNEL, &PROGRAM])
    {
        assert!(ours.stands_on.contains_key(*name), "{name} is gone");
    }
}

#[test]
fn the_program_alone_knows_the_doors_and_no_door_another() {
    let ours = Ours::read(&metadata());
    assert!(ours.doors.len() >= 6, "{:?}", ours.doors);
    for (name, below) in &ours.stands_on {
        let doors: Vec<&String> = below.intersection(&ours.doors).collect();
        match name == PROGRAM {
            true => assert_eq!(doors.len(), ours.doors.len(), "a door is not served"),
            false => assert!(doors.is_empty(), "{name} knows {doors:?}"),
        }
    }
}

#[test]
fn no_domain_has_the_wire_anywhere_beneath_it() {
    let metadata = metadata();
    let (names, dependencies) = (names(&metadata), dependencies(&metadata));
    let wire: Vec<&str> = WIRE.iter().map(|(name, _)| *name).chain(HTTP.iter().copied()).collect();
    let is_below = |name: &String| {
        LEAVES.iter().any(|(leaf, _)| leaf == name) || name == KERNEL || DOMAINS.contains(&name.as_str())
    };
    for (id, below) in names.iter().filter(|(id, name)| id.contains("/crates/") && is_below(name)) {
        let (mut seen, mut next) = (BTreeSet::new(), vec![id.clone()]);
        while let Some(id) = next.pop() {
            assert!(!wire.contains(&names[&id].as_str()), "{below} stands on {}", names[&id]);
            if seen.insert(id.clone()) {
                next.extend(dependencies[&id].iter().cloned());
            }
        }
        assert!(below != "registry" || seen.len() > 20, "the walk found only {} packages", seen.len());
    }
}
