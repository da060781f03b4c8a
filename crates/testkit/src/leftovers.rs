//! Finds what a server left behind when its test ends, on both engines.

use meta::{Db, Error, Tx};
use std::collections::BTreeSet;
use std::path::Path;

/// Statements that find nothing in the records of a healthy server. Each row is a text.
///
/// A layer that no image names is not left behind during its grace or while its images can be undeleted: the collection finds it later.
/// It would never find one that has no reference and no start of the grace.
const NOTHING: &[(&str, &str)] = &[
    (
        "layers that no image names, and whose grace has not begun, so that they are never collected",
        "SELECT CAST(size AS TEXT) FROM layer WHERE unreferenced_since IS NULL \
         AND NOT EXISTS (SELECT 1 FROM image_layer WHERE image_layer.layer_id = layer.id)",
    ),
    (
        "layers in their grace that an image names, so that only a last look protects them",
        "SELECT CAST(layer.size AS TEXT) FROM layer JOIN image_layer ON image_layer.layer_id = layer.id \
         WHERE layer.unreferenced_since IS NOT NULL",
    ),
    (
        "images that name layers without a record",
        "SELECT image.media_type FROM image JOIN image_layer ON image_layer.image_id = image.id \
         WHERE NOT EXISTS (SELECT 1 FROM layer WHERE layer.id = image_layer.layer_id)",
    ),
    (
        "repositories that show layers without a record",
        "SELECT repository.name FROM repository JOIN repository_layer ON repository_layer.repository_id = repository.id \
         WHERE NOT EXISTS (SELECT 1 FROM layer WHERE layer.id = repository_layer.layer_id)",
    ),
    (
        "rows of images that are gone",
        "SELECT 'manifest' FROM manifest WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = image_id) \
         UNION ALL SELECT 'tag ' || name FROM tag WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = image_id) \
         UNION ALL SELECT 'pull' FROM image_pull WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = image_id) \
         UNION ALL SELECT 'layer' FROM image_layer WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = image_id) \
         UNION ALL SELECT 'child' FROM image_child WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = image_id)",
    ),
    (
        "layers without a checksum of each block",
        "SELECT CAST(size AS TEXT) FROM layer \
         WHERE checksums IS NULL OR length(checksums) <> 4 + (size + 131071) / 131072 * 4",
    ),
    ("jobs that failed", "SELECT kind || ' ' || key || ': ' || last_error FROM job WHERE last_error IS NOT NULL"),
];

/// Returns what a server left behind: bytes that no record names, records that nothing needs, and jobs that failed or whose upload is gone.
/// `layers` is the directory of the layers.
pub async fn find(db: &Db, layers: &Path) -> Vec<String> {
    // Read the records before the files, because a file that a record names exists before the record.
    let (mut left, known) = db.read(records).await.expect("the records");
    for shard in std::fs::read_dir(layers).expect("the layers") {
        let shard = shard.expect("a directory").path();
        let files = if shard.is_dir() { std::fs::read_dir(&shard).expect("a shard").collect() } else { Vec::new() };
        for file in files {
            let name = file.expect("a file").file_name().to_string_lossy().into_owned();
            if !known.contains(&name) {
                left.push(format!("files of layers that no record names: {name}"));
            }
        }
    }
    left
}

/// Returns what is left behind in the records, and the file names of all layers and uploads.
fn records(tx: &mut Tx<'_>) -> Result<(Vec<String>, BTreeSet<String>), Error> {
    let mut left = Vec::new();
    for (what, sql) in NOTHING {
        for row in tx.query(sql, &[])? {
            left.push(format!("{what}: {}", row.get::<String>(0)?));
        }
    }

    // Every upload has a job that ends it, and every such job has its upload. A job that runs may have removed the upload already.
    let mut uploads = BTreeSet::new();
    for row in tx.query("SELECT id FROM upload", &[])? {
        uploads.insert(row.get::<meta::UploadId>(0)?.to_string());
    }
    let mut ends = BTreeSet::new();
    for row in tx.query("SELECT key, claim FROM job WHERE kind = 'upload_expire'", &[])? {
        let (key, claim): (String, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?);
        if claim.is_none() && !uploads.contains(&key) {
            left.push(format!("jobs of uploads that are gone: {key}"));
        }
        ends.insert(key);
    }
    left.extend(uploads.difference(&ends).map(|upload| format!("uploads that no job ends: {upload}")));

    let mut known = BTreeSet::new();
    let locations = "SELECT location FROM layer WHERE location IS NOT NULL \
        UNION ALL SELECT location FROM upload WHERE location IS NOT NULL";
    for row in tx.query(locations, &[])? {
        known.insert(blob::Location(row.get::<meta::LocationId>(0)?.0).to_string());
    }
    Ok((left, known))
}
