//! What the documentation promises is what the program has.

use ecru::doors::operations;
use kernel::quirks::Quirks;
use std::collections::BTreeSet;

fn compatibility() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compatibility.md");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_quirk_is_documented_word_by_word() {
    let text = compatibility();
    for quirk in Quirks::TABLE {
        let (name, default) = (quirk.name, quirk.default.name());
        let line = format!("| `{name}` | {default} | {} | {} | {} |", quirk.faithful, quirk.fixed, quirk.issue);
        assert!(text.contains(&line), "docs/compatibility.md lacks: {line}");
    }
}

#[test]
fn every_operation_of_the_ecru_door_is_documented() {
    let text = compatibility();
    let (_, rest) = text.split_once("## The `ecru` door").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    for (_, entry) in operations().filter(|(service, _)| service.signing_name == "ecru") {
        assert!(section.contains(&format!("\n| {} | `ecru:{}`", entry.name, entry.name)), "{}", entry.name);
    }
}

#[test]
fn the_finished_operations_of_ecr_are_those_that_the_documentation_lists() {
    let text = compatibility();
    let (_, rest) = text.split_once("## ECR, 62 operations").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let rows: Vec<Vec<&str>> = section.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let listed = |state: &str| -> BTreeSet<&str> {
        rows.iter().filter(|row| row.get(2) == Some(&state)).map(|row| row[1]).collect()
    };
    let finished: BTreeSet<&str> =
        operations().filter(|(service, _)| service.signing_name == "ecr").map(|(_, entry)| entry.name).collect();
    assert_eq!(listed("yes"), finished);
    assert_eq!(listed("yes").len() + listed("not yet").len(), 62);
}
