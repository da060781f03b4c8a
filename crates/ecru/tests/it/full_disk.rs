//! A store that is full or read-only: a clear 5xx, nothing acknowledged, and all well once there is room again.

use blob::faulty::EngineCall;
use serde_json::json;
use std::io;
use std::sync::Arc;
use testkit::{Image, TestApp, chance, digest, location, with_query};

fn full() -> blob::Error {
    blob::Error::Full(Arc::new(io::ErrorKind::StorageFull.into()))
}

fn read_only() -> blob::Error {
    blob::Error::ReadOnly(Arc::new(io::ErrorKind::ReadOnlyFilesystem.into()))
}

#[tokio::test]
async fn a_full_or_read_only_layer_store_refuses_clearly_and_is_well_again_with_room() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, 300_000);
    let d = digest(&bytes);
    for error in [full(), read_only()] {
        for call in [EngineCall::Create, EngineCall::Write, EngineCall::Sync, EngineCall::Finish] {
            app.faults.fail(call, 1, error.clone());
            let answer = docker.post(&format!("/v2/app/blobs/uploads/?digest={d}"), bytes.clone()).await;
            if answer.status == 201 {
                // A one-body POST need not make that call; then the failure still waits, for a streamed one.
                docker.delete(&format!("/v2/app/blobs/{d}")).await.expect(202);
                let upload = docker.start_upload("app").await;
                let patched = docker.patch(&upload, bytes.clone()).await;
                let answer = if patched.status == 202 {
                    docker.put(&with_query(&upload, &format!("digest={d}")), "").await
                } else {
                    patched
                };
                assert_eq!(answer.status, 503, "{call:?}: {answer:?}");
            } else {
                assert_eq!(answer.status, 503, "{call:?}: {answer:?}");
                assert_eq!(answer.code(), "UNKNOWN");
                assert!(answer.header("retry-after").is_some());
            }
            docker.head(&format!("/v2/app/blobs/{d}")).await.expect(404);
        }
    }
    docker.post(&format!("/v2/app/blobs/uploads/?digest={d}"), bytes.clone()).await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{d}")).await.expect(200).body, bytes);
}

#[tokio::test]
async fn an_upload_that_met_a_full_disk_goes_on_from_where_it_stood() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, 2_000_000);
    let upload =
        location(&docker.patch_at(&docker.start_upload("app").await, 0, bytes[..500_000].to_vec()).await.expect(202));
    app.faults.fail(EngineCall::Write, 1, full());
    docker.patch_at(&upload, 500_000, bytes[500_000..].to_vec()).await.expect(503);
    let range = docker.get(&upload).await.expect(204).header("range").unwrap().to_owned();
    let at = range.strip_prefix("0-").unwrap().parse::<usize>().unwrap() + 1;
    assert!(at >= 500_000, "{range}");
    let answer = docker.patch_at(&upload, at, bytes[at..].to_vec()).await.expect(202);
    docker.put(&with_query(&location(&answer), &format!("digest={}", digest(&bytes))), "").await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{}", digest(&bytes))).await.expect(200).body, bytes);
}

#[tokio::test]
async fn the_api_answers_a_full_store_with_a_server_exception() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let id = caller.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok()["uploadId"].clone();
    let blob = "A".repeat(400_000);
    let part = json!({"repositoryName": "app", "uploadId": id, "partFirstByte": 0, "partLastByte": 299_999, "layerPartBlob": blob});
    app.faults.fail(EngineCall::Write, 1, full());
    let refused = caller.ecr("UploadLayerPart", part.clone()).await;
    assert!(refused.answer.status >= 500);
    refused.error("Server");
    caller.ecr("UploadLayerPart", part).await.ok();
}

#[tokio::test]
async fn a_read_error_cuts_the_answer_and_never_gives_wrong_bytes() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::builder(1).layers(&[1_000_000]).build();
    docker.push("app", "v1", &image).await;
    app.faults.fail(EngineCall::Read, 1, full());
    let target = format!("/v2/app/blobs/{}", digest(image.layer()));
    let answer = docker.get(&target).await;
    assert!(answer.status >= 500, "{}", answer.status);
    docker.pull("app", "v1", &image).await;
}
