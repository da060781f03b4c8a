use base64::Engine as _;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::http::Call;
use testkit::{AwsCaller, Image, TestApp, chance, digest};

const MIB: usize = 1024 * 1024;

async fn start(caller: &AwsCaller<'_>, name: &str) -> String {
    let answer = caller.ecr("InitiateLayerUpload", json!({"repositoryName": name})).await.ok();
    assert_eq!(answer["partSize"], 20 * MIB);
    answer["uploadId"].as_str().unwrap().to_owned()
}

fn part(id: &str, first: usize, bytes: &[u8]) -> Value {
    json!({
        "repositoryName": "app", "uploadId": id, "partFirstByte": first, "partLastByte": first + bytes.len() - 1,
        "layerPartBlob": base64::prelude::BASE64_STANDARD.encode(bytes),
    })
}

fn complete(id: &str, digest: &str) -> Value {
    json!({"repositoryName": "app", "uploadId": id, "layerDigests": [digest]})
}

async fn availability(caller: &AwsCaller<'_>, name: &str, digest: &str) -> Value {
    caller.ecr("BatchCheckLayerAvailability", json!({"repositoryName": name, "layerDigests": [digest]})).await.ok()["layers"][0].clone()
}

#[tokio::test]
async fn a_layer_is_uploaded_in_parts() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    let bytes = chance::bytes(1, 5 * MIB + 1000);
    let d = digest(&bytes);
    assert_eq!(availability(&caller, "app", &d).await, json!({"layerDigest": d, "layerAvailability": "UNAVAILABLE"}));
    let id = start(&caller, "app").await;
    let answer = caller.ecr("UploadLayerPart", part(&id, 0, &bytes[..5 * MIB])).await.ok();
    let expected =
        json!({"registryId": "000000000000", "repositoryName": "app", "uploadId": id, "lastByteReceived": 5 * MIB - 1});
    assert_eq!(answer, expected);
    caller.ecr("UploadLayerPart", part(&id, 5 * MIB, &bytes[5 * MIB..])).await.ok();
    let answer = caller.ecr("CompleteLayerUpload", complete(&id, &d)).await.ok();
    assert_eq!(
        answer,
        json!({"registryId": "000000000000", "repositoryName": "app", "uploadId": id, "layerDigest": d})
    );
    let available = availability(&caller, "app", &d).await;
    assert_eq!(
        (available["layerAvailability"].as_str(), available["layerSize"].as_u64()),
        (Some("AVAILABLE"), Some(bytes.len() as u64))
    );
    let docker = caller.docker().await;
    assert_eq!(docker.get(&format!("/v2/app/blobs/{d}")).await.expect(200).body, bytes);
}

#[tokio::test]
async fn parts_out_of_order_are_refused_and_say_what_was_received() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    let id = start(&caller, "app").await;
    caller.ecr("UploadLayerPart", part(&id, 0, &[1; 100])).await.ok();
    // The same part again is a retry whose answer was lost; its bytes count once.
    let again = caller.ecr("UploadLayerPart", part(&id, 0, &[1; 100])).await.ok();
    assert_eq!(again["lastByteReceived"], 99);
    for first in [50, 99, 101, 5000] {
        let refused = caller.ecr("UploadLayerPart", part(&id, first, &[2; 100])).await;
        assert_eq!(refused.body["lastValidByteReceived"], 99, "{}", refused.body);
        assert_eq!(refused.body["uploadId"], id);
        refused.error("InvalidLayerPart");
    }
    for (first, last, length) in [(100, 198, 100), (100, 200, 100), (100, 100, 0), (199, 100, 100)] {
        let mut wrong = part(&id, first, &[2; 100]);
        wrong["partLastByte"] = json!(last);
        wrong["layerPartBlob"] = json!(base64::prelude::BASE64_STANDARD.encode(vec![2; length]));
        caller.ecr("UploadLayerPart", wrong).await.error("InvalidLayerPart");
    }
    caller.ecr("UploadLayerPart", part(&id, 100, &[2; 100])).await.ok();
    let whole = [[1; 100], [2; 100]].concat();
    // The first part is below the minimum and not the last.
    caller.ecr("CompleteLayerUpload", complete(&id, &digest(&whole))).await.error("LayerPartTooSmall");
}

#[tokio::test]
async fn uploads_that_nobody_started_are_not_found() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    caller.repository("other").await;
    let elsewhere = start(&caller, "other").await;
    let foreign = start(&app.account("111122223333", "us-east-1").with_repository("app").await, "app").await;
    for id in ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-8fff-bfff-ffffffffffff", &elsewhere, &foreign] {
        caller.ecr("UploadLayerPart", part(id, 0, b"bytes")).await.error("UploadNotFound");
        caller.ecr("CompleteLayerUpload", complete(id, &digest(b"bytes"))).await.error("UploadNotFound");
    }
}

#[tokio::test]
async fn an_upload_ends_after_its_life() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    let (silent, written) = (start(&caller, "app").await, start(&caller, "app").await);
    caller.ecr("UploadLayerPart", part(&written, 0, b"bytes")).await.ok();
    app.clock.advance(Duration::from_secs(25 * 3600));
    for id in [silent, written] {
        caller.ecr("CompleteLayerUpload", complete(&id, &digest(b"bytes"))).await.error("UploadNotFound");
    }
}

#[tokio::test]
async fn a_completion_says_what_is_wrong() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    let empty = start(&caller, "app").await;
    caller.ecr("CompleteLayerUpload", complete(&empty, &digest(b""))).await.error("EmptyUpload");

    let id = start(&caller, "app").await;
    caller.ecr("UploadLayerPart", part(&id, 0, b"bytes")).await.ok();
    caller.ecr("CompleteLayerUpload", complete(&id, &digest(b"other"))).await.error("InvalidLayer");

    for expected in [None, Some("LayerAlreadyExists")] {
        let id = start(&caller, "app").await;
        caller.ecr("UploadLayerPart", part(&id, 0, b"bytes")).await.ok();
        let outcome = caller.ecr("CompleteLayerUpload", complete(&id, &digest(b"bytes"))).await;
        match expected {
            Some(name) => drop(outcome.error(name)),
            None => drop(outcome.ok()),
        }
    }
}

#[tokio::test]
async fn layers_are_checked_by_repository_and_malformed_digests_are_failures() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    caller.repository("other").await;
    let docker = caller.docker().await;
    let d = docker.push_blob("app", b"a small layer").await;
    assert_eq!(availability(&caller, "other", &d).await["layerAvailability"], "UNAVAILABLE");
    let input = json!({"repositoryName": "app", "layerDigests": [d, "nonsense", "", digest(b"gone")]});
    let answer = caller.ecr("BatchCheckLayerAvailability", input).await.ok();
    let states: Vec<_> =
        answer["layers"].as_array().unwrap().iter().map(|layer| layer["layerAvailability"].as_str().unwrap()).collect();
    assert_eq!(states, ["AVAILABLE", "UNAVAILABLE"]);
    let codes: Vec<_> =
        answer["failures"].as_array().unwrap().iter().map(|f| f["failureCode"].as_str().unwrap()).collect();
    assert_eq!(codes, ["InvalidLayerDigest", "MissingLayerDigest"]);
}

/// The target behind a download URL, which must begin with this server's base.
fn target(app: &TestApp, url: &Value) -> String {
    let base = format!("http://localhost:{}", app.address.port());
    url.as_str().unwrap().strip_prefix(&base).unwrap_or_else(|| panic!("{url} does not begin with {base}")).to_owned()
}

#[tokio::test]
async fn a_download_url_gives_the_bytes_without_credentials_until_it_expires() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    let image = Image::builder(1).layers(&[600, 100_000]).build();
    caller.docker().await.push("app", "v1", &image).await;
    for blob in &image.blobs {
        let d = digest(blob);
        let answer =
            caller.ecr("GetDownloadUrlForLayer", json!({"repositoryName": "app", "layerDigest": d})).await.ok();
        assert_eq!(answer["layerDigest"], d);
        let target = target(&app, &answer["downloadUrl"]);
        assert!(target.starts_with("/layers/"), "{target}");
        let get = || Call::new("GET", target.clone());
        assert_eq!(get().send(app.address).await.expect(200).body, *blob);
        assert_eq!(get().header("authorization", "Basic nonsense").send(app.address).await.expect(200).body, *blob);
        let part = get().header("range", "bytes=10-19").send(app.address).await.expect(206);
        assert_eq!(part.body, blob[10..20]);
        assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{}", blob.len()).as_str()));
        let tampered = if target.ends_with('0') {
            format!("{}1", &target[..target.len() - 1])
        } else {
            format!("{}0", &target[..target.len() - 1])
        };
        Call::new("GET", tampered).send(app.address).await.expect(403);
    }
    let d = digest(image.layer());
    let answer = caller.ecr("GetDownloadUrlForLayer", json!({"repositoryName": "app", "layerDigest": d})).await.ok();
    app.clock.advance(Duration::from_secs(3601));
    Call::new("GET", target(&app, &answer["downloadUrl"])).send(app.address).await.expect(403);
}

#[tokio::test]
async fn a_download_url_is_for_layers_of_images_here() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    caller.repository("app").await;
    let docker = caller.docker().await;
    let unreferenced = docker.push_blob("app", b"no image has this").await;
    let ask =
        async |d: &str| caller.ecr("GetDownloadUrlForLayer", json!({"repositoryName": "app", "layerDigest": d})).await;
    ask(&unreferenced).await.error("LayerInaccessible");
    ask(&digest(b"gone")).await.error("LayersNotFound");
}
