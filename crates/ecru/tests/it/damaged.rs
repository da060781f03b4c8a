//! Damaged layers at the doors: no wrong byte leaves by any of them, and all of them say that the layer is missing until a client has
//! pushed it again.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use testkit::http::Call;
use testkit::{Image, TestApp, digest};

/// More than one buffer, so that an answer has begun when its last block is read.
const SIZE: usize = 700_000;

/// What of an answer came: its status, its bytes, and whether it ended as it should.
async fn received(app: &TestApp, call: &Call, http2: bool) -> (u16, Vec<u8>, bool) {
    let authority = if http2 { app.secure().address } else { app.address };
    let mut request =
        http::Request::get(format!("https://{authority}{}", call.target)).header("host", authority.to_string());
    for (name, value) in call.headers.iter().filter(|(name, _)| name != "host") {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = if http2 {
        let stream = TokioIo::new(app.secure().http2_client().connect().await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let stream = TokioIo::new(tokio::net::TcpStream::connect(app.address).await.unwrap());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let status = response.status().as_u16();
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Some(Err(_)) => return (status, bytes, false),
            None => return (status, bytes, true),
        }
    }
}

async fn url(app: &TestApp, d: &str) -> testkit::Outcome {
    app.ecr("GetDownloadUrlForLayer", json!({"repositoryName": "app", "layerDigest": d})).await
}

/// The path and query of a download URL.
fn target(url: &Value) -> String {
    let url = url["downloadUrl"].as_str().unwrap();
    url[url.find("/layers/").unwrap()..].to_owned()
}

async fn push_by_api(app: &TestApp, bytes: &[u8]) {
    let started = app.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok();
    let upload = &started["uploadId"];
    let part = json!({
        "repositoryName": "app", "uploadId": upload, "partFirstByte": 0, "partLastByte": bytes.len() - 1,
        "layerPartBlob": STANDARD.encode(bytes),
    });
    app.ecr("UploadLayerPart", part).await.ok();
    let end = json!({"repositoryName": "app", "uploadId": upload, "layerDigests": [digest(bytes)]});
    app.ecr("CompleteLayerUpload", end).await.ok();
}

/// A way to read a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Whole,
    Range,
    Suffix,
    Url,
    UrlRange,
    Http2,
    UrlHttp2,
}

const READS: [Read; 7] =
    [Read::Whole, Read::Range, Read::Suffix, Read::Url, Read::UrlRange, Read::Http2, Read::UrlHttp2];

#[tokio::test]
async fn whichever_way_it_is_read_a_damaged_layer_breaks_off_and_is_missing_until_it_is_pushed_again() {
    let app = TestApp::builder().tls(true).start().await;
    let caller = app.administrator().with_repository("app").await;
    app.administrator().repository("other").await;
    let docker = caller.docker().await;
    let image = Image::builder(1).layers(&[SIZE; READS.len()]).build();
    docker.push("app", "v1", &image).await;
    for (layer, read) in image.blobs[1..].iter().zip(READS) {
        let d = digest(layer);
        let path = format!("/v2/app/blobs/{d}");
        let signed = target(&url(&app, &d).await.ok());
        let mut wrong = layer.to_vec();
        wrong[SIZE - 2] ^= 1;
        app.set_stored("app", layer, Some(&wrong)).await;
        // What comes before the wrong block comes, and nothing of it.
        let (call, from) = match read {
            Read::Whole | Read::Http2 => (docker.call("GET", path.clone()), 0),
            Read::Range => (docker.call("GET", path.clone()).header("range", "bytes=1000-"), 1000),
            Read::Suffix => (docker.call("GET", path.clone()).header("range", "bytes=-600000"), SIZE - 600_000),
            Read::Url | Read::UrlHttp2 => (Call::new("GET", signed.clone()), 0),
            Read::UrlRange => (Call::new("GET", signed.clone()).header("range", "bytes=70-"), 70),
        };
        let (status, bytes, ended) = received(&app, &call, matches!(read, Read::Http2 | Read::UrlHttp2)).await;
        assert!(matches!(status, 200 | 206) && !ended, "{read:?}: {status}, {ended}");
        assert!(layer[from..].starts_with(&bytes) && from + bytes.len() <= SIZE / 131_072 * 131_072, "{read:?}");

        docker.head(&path).await.expect(404);
        assert_eq!(docker.get(&path).await.expect(404).code(), "BLOB_UNKNOWN");
        Call::new("GET", signed.clone()).send(app.address).await.expect(404);
        Call::new("HEAD", signed).send(app.address).await.expect(404);
        url(&app, &d).await.error("LayersNotFound");
        let check = json!({"repositoryName": "app", "layerDigests": [d]});
        let check = app.ecr("BatchCheckLayerAvailability", check).await.ok();
        assert_eq!(check["layers"][0]["layerAvailability"], "UNAVAILABLE");
        docker.post(&format!("/v2/other/blobs/uploads/?mount={d}&from=app"), "").await.expect(202);
        assert_eq!(docker.put_manifest("app", "v2", &image).await.expect(404).code(), "MANIFEST_BLOB_UNKNOWN");
        let put = json!({"repositoryName": "app", "imageManifest": image.text(), "imageTag": "v2"});
        app.ecr("PutImage", put).await.error("LayersNotFound");

        match read {
            Read::Whole | Read::Url | Read::Http2 => drop(docker.push_blob("app", layer).await),
            Read::Range | Read::UrlRange | Read::UrlHttp2 => push_by_api(&app, layer).await,
            Read::Suffix => {
                let upload = docker.start_upload("app").await;
                let upload = testkit::location(&docker.patch(&upload, layer.clone()).await.expect(202));
                docker.put(&testkit::with_query(&upload, &format!("digest={d}")), "").await.expect(201);
            }
        }
        docker.head(&path).await.expect(200);
        docker.post(&format!("/v2/other/blobs/uploads/?mount={d}&from=app"), "").await.expect(201);
        docker.put_manifest("app", "v2", &image).await.expect(201);
    }
    docker.pull("app", "v2", &image).await;
}

#[tokio::test]
async fn a_layer_whose_first_bytes_are_gone_or_wrong_is_unknown_at_once() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    let image = Image::builder(2).layers(&[SIZE; 6]).build();
    docker.push("app", "v1", &image).await;
    for (number, layer) in image.blobs[1..].iter().enumerate() {
        let d = digest(layer);
        let signed = target(&url(&app, &d).await.ok());
        let mut wrong = layer.to_vec();
        wrong[3] ^= 0x10;
        let stored = [None, Some(&wrong[..0]), Some(&wrong[..])][number / 2];
        app.set_stored("app", layer, stored).await;
        if number % 2 == 0 {
            let answer = docker.get(&format!("/v2/app/blobs/{d}")).await.expect(404);
            assert_eq!(answer.code(), "BLOB_UNKNOWN");
            assert!(answer.message().contains("damaged") && answer.message().contains("push"), "{}", answer.message());
        } else {
            Call::new("GET", signed).send(app.address).await.expect(404);
        }
        docker.head(&format!("/v2/app/blobs/{d}")).await.expect(404);
        docker.push_blob("app", layer).await;
    }
    docker.pull("app", "v1", &image).await;
}

#[tokio::test]
async fn a_damaged_config_is_missing_when_its_image_is_put() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(3);
    let config = image.config().clone();
    docker.push_blobs("app", &image).await;
    app.set_stored("app", &config, None).await;
    assert_eq!(docker.put_manifest("app", "v1", &image).await.expect(404).code(), "MANIFEST_BLOB_UNKNOWN");
    docker.push_blob("app", &config).await;
    docker.put_manifest("app", "v1", &image).await.expect(201);
    docker.pull("app", "v1", &image).await;
}
