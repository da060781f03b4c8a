//! What a test leaves behind fails it: each kind is found, on both engines.

use serde_json::json;
use testkit::{Image, TestApp};

/// A change of the records that leaves something behind, its repair, and what the check then says.
const LEFT: &[(&str, &str, &str)] = &[
    (
        "UPDATE layer SET unreferenced_since = NULL WHERE size = 7",
        "UPDATE layer SET unreferenced_since = 1 WHERE size = 7",
        "layers that no image names",
    ),
    (
        "UPDATE layer SET unreferenced_since = 1 WHERE size <> 7",
        "UPDATE layer SET unreferenced_since = NULL WHERE size <> 7",
        "layers in their grace that an image names",
    ),
    (
        "INSERT INTO manifest (image_id, bytes) SELECT id, digest FROM layer",
        "DELETE FROM manifest WHERE NOT EXISTS (SELECT 1 FROM image WHERE image.id = image_id)",
        "rows of images that are gone",
    ),
    (
        "UPDATE repository_layer SET layer_id = repository_id",
        "UPDATE repository_layer SET layer_id = (SELECT id FROM layer WHERE layer.digest = repository_layer.digest)",
        "repositories that show layers without a record",
    ),
    (
        "INSERT INTO image_layer (image_id, layer_id) SELECT id, id FROM image",
        "DELETE FROM image_layer WHERE image_id = layer_id",
        "images that name layers without a record",
    ),
    (
        "UPDATE job SET last_error = 'broken' WHERE kind = 'upload_expire'",
        "UPDATE job SET last_error = NULL",
        "jobs that failed: upload_expire",
    ),
    (
        "UPDATE job SET key = 'x' || key WHERE kind = 'upload_expire'",
        "UPDATE job SET key = substr(key, 2) WHERE kind = 'upload_expire'",
        "jobs of uploads that are gone",
    ),
    (
        "UPDATE job SET kind = 'x' || kind WHERE kind = 'upload_expire'",
        "UPDATE job SET kind = substr(kind, 2) WHERE kind = 'xupload_expire'",
        "uploads that no job ends",
    ),
];

async fn change(app: &TestApp, sql: &'static str) {
    let changed = app.system.db.write(move |tx| tx.execute(sql, &[])).await;
    let changed: u64 = changed.map_err(|error: meta::Error| error).unwrap();
    assert!(changed > 0, "{sql}");
}

#[tokio::test]
async fn everything_that_a_test_can_leave_behind_is_found() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    docker.push("app", "v1", &Image::new(1)).await;
    docker.push_blob("app", b"unnamed").await;
    // An upload that nobody ends.
    let upload = docker.start_upload("app").await;
    docker.patch(&upload, "bytes").await.expect(202);
    assert_eq!(app.leftovers().await, [""; 0]);
    for (wrong, repair, expected) in LEFT {
        change(&app, wrong).await;
        let left = app.leftovers().await;
        assert!(left.iter().any(|one| one.starts_with(expected)), "{wrong}: {left:?}");
        change(&app, repair).await;
        assert_eq!(app.leftovers().await, [""; 0], "{repair}");
    }
    // A file without a record.
    let stray = blob::Location::from([7; 16]);
    app.system.blobs.create(stray).await.unwrap().finish().await.unwrap();
    let left = app.leftovers().await;
    assert!(left.iter().any(|one| one.ends_with(&stray.to_string())), "{left:?}");
    app.system.blobs.remove(stray, None).await.unwrap();
    // What is deleted stays until the collection removes it, and is not left behind.
    app.ecr("DeleteRepository", json!({"repositoryName": "app", "force": true})).await.ok();
    assert_eq!(app.leftovers().await, [""; 0]);
}
