//! Checks what a server leaves behind when its test ends.
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeSet;
use std::path::Path;

/// Fails the test if a layer's file belongs to no record and no open upload, if a layer lacks a checksum, or if a job failed.
pub fn check(directory: &Path) {
    let known = known(&directory.join("ecru.db"));
    let mut strays = Vec::new();
    for shard in std::fs::read_dir(directory.join("layers")).expect("the layers") {
        let shard = shard.expect("a directory").path();
        let files = if shard.is_dir() { std::fs::read_dir(&shard).expect("a shard").collect() } else { Vec::new() };
        for file in files {
            let name = file.expect("a file").file_name().to_string_lossy().into_owned();
            if !known.contains(&name) {
                strays.push(name);
            }
        }
    }
    assert!(strays.is_empty(), "files of layers that no record names: {strays:?}");
}

/// Returns the locations of all layers and uploads, in hex.
fn known(database: &Path) -> BTreeSet<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(database, flags).expect("the database");
    let failed: Option<String> = db
        .query_row("SELECT group_concat(kind || ': ' || last_error) FROM job", [], |row| row.get(0))
        .expect("the jobs");
    assert_eq!(failed, None, "jobs failed");
    let unchecked: i64 = db
        .query_row(
            "SELECT count(*) FROM layer WHERE checksums IS NULL OR length(checksums) <> 4 + (size + 131071) / 131072 * 4",
            [],
            |row| row.get(0),
        )
        .expect("the layers");
    assert_eq!(unchecked, 0, "layers have no checksums, or not one for each block");
    let mut statement = db
        .prepare(
            "SELECT lower(hex(location)) FROM layer WHERE location IS NOT NULL
             UNION SELECT lower(hex(location)) FROM upload WHERE location IS NOT NULL",
        )
        .expect("the locations");
    let rows = statement.query_map([], |row| row.get(0)).expect("the locations");
    rows.collect::<Result<_, _>>().expect("the locations")
}
