//! Bad input: bodies that are cut, too large or wrong, requests that cross, ids that nobody gave.

use serde_json::json;
use testkit::http::{self, Call};
use testkit::{Image, TestApp, chance, digest, location, with_query};
use tokio::io::AsyncWriteExt;

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_manifest_of_four_mebibytes_is_taken_and_one_byte_more_is_not() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let base = Image::new(1);
    docker.push_blobs("app", &base).await;
    let padded = |size: usize| {
        let mut text = base.text();
        text.push_str(&" ".repeat(size - text.len()));
        text
    };
    for (size, status) in [(4 * MIB, 201), (4 * MIB + 1, 413)] {
        let call = docker.call("PUT", format!("/v2/app/manifests/s{size}")).header("content-type", base.media_type);
        docker.send(call.body(padded(size))).await.expect(status);
    }
    let input = json!({"repositoryName": "app", "imageManifest": padded(4 * MIB), "imageTag": "api"});
    app.ecr("PutImage", input).await.ok();
    let input = json!({"repositoryName": "app", "imageManifest": padded(4 * MIB + 1), "imageTag": "api2"});
    app.ecr("PutImage", input).await.error("InvalidParameter");
    let tags = docker.get("/v2/app/tags/list").await.json()["tags"].clone();
    assert_eq!(tags, json!(["api", "s4194304"]));
}

#[tokio::test]
async fn a_body_that_is_cut_is_not_acknowledged_and_what_came_may_be_continued() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, 2 * MIB);
    let upload = docker.start_upload("app").await;
    let call = docker.call("PATCH", upload.clone()).header("content-length", bytes.len().to_string());
    let mut cut = call.head(app.address).into_bytes();
    cut.extend_from_slice(&bytes[..MIB]);
    if let Some(answer) = http::raw(app.address, &cut, true).await {
        assert!(answer.status >= 400, "{answer:?}");
    }
    let status = docker.get(&upload).await;
    let range = status.expect(204).header("range").unwrap().to_owned();
    let received: usize = range.strip_prefix("0-").unwrap().parse::<usize>().unwrap();
    let received = if received == 0 { 0 } else { received + 1 };
    assert!(received <= MIB, "{range}");
    let answer = docker.patch_at(&upload, received, bytes[received..].to_vec()).await.expect(202);
    docker.put(&with_query(&location(&answer), &format!("digest={}", digest(&bytes))), "").await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{}", digest(&bytes))).await.expect(200).body, bytes);
}

#[tokio::test]
async fn a_put_and_a_manifest_that_are_cut_leave_nothing() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let bytes = chance::bytes(2, 100_000);
    let upload = docker.start_upload("app").await;
    let cases = [
        (docker.call("PUT", with_query(&upload, &format!("digest={}", digest(&bytes)))), bytes.clone()),
        (docker.call("POST", format!("/v2/app/blobs/uploads/?digest={}", digest(&bytes))), bytes.clone()),
        (docker.call("PUT", "/v2/app/manifests/v1").header("content-type", image.media_type), image.manifest.to_vec()),
    ];
    for (call, body) in cases {
        let mut cut = call.header("content-length", body.len().to_string()).head(app.address).into_bytes();
        cut.extend_from_slice(&body[..body.len() - 1]);
        if let Some(answer) = http::raw(app.address, &cut, true).await {
            assert!(answer.status >= 400, "{answer:?}");
        }
    }
    docker.head("/v2/app/manifests/v1").await.expect(404);
    docker.head(&format!("/v2/app/blobs/{}", digest(&bytes))).await.expect(404);
}

#[tokio::test]
async fn an_aborted_connection_does_not_hold_its_upload() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, MIB);
    let upload = docker.start_upload("app").await;
    let mut stream = tokio::net::TcpStream::connect(app.address).await.unwrap();
    let call = docker.call("PATCH", upload.clone()).header("content-length", bytes.len().to_string());
    stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
    stream.write_all(&bytes[..1000]).await.unwrap();
    // A second writer takes the session from the first, which is still open; or it comes first and loses it to the other.
    let mut next = docker.patch_at(&upload, 0, bytes.clone()).await;
    drop(stream);
    while next.status != 202 {
        next.expect(416);
        // What was durable when the session changed hands counts: a client asks where to go on. Nothing yet is 0-0 as well.
        let status = docker.get(&upload).await.expect(204);
        let last = status.header("range").unwrap().strip_prefix("0-").unwrap().parse::<usize>().unwrap();
        let at = if last == 0 { 0 } else { last + 1 };
        next = docker.patch_at(&upload, at, bytes[at..].to_vec()).await;
    }
    docker.put(&with_query(&location(&next), &format!("digest={}", digest(&bytes))), "").await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{}", digest(&bytes))).await.expect(200).body, bytes);
}

#[tokio::test]
async fn two_patches_at_once_never_mix_their_bytes() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let (one, two) = (vec![1; 700_000], vec![2; 700_000]);
    let upload = docker.start_upload("app").await;
    let (a, b) = tokio::join!(docker.patch_at(&upload, 0, one.clone()), docker.patch_at(&upload, 0, two.clone()));
    let winners: Vec<&Vec<u8>> = [(&a, &one), (&b, &two)]
        .into_iter()
        .filter(|(answer, _)| answer.status == 202)
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(winners.len(), 1, "{} and {}", a.status, b.status);
    docker.put(&with_query(&upload, &format!("digest={}", digest(winners[0]))), "").await.expect(201);
}

#[tokio::test]
async fn invented_upload_ids_are_unknown() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    app.administrator().repository("other").await;
    let elsewhere = docker.start_upload("other").await.replace("/other/", "/app/");
    for upload in [
        "/v2/app/blobs/uploads/00000000-0000-0000-0000-000000000000".to_owned(),
        "/v2/app/blobs/uploads/f47ac10b-58cc-8372-a567-0e02b2c3d479".to_owned(),
        elsewhere,
    ] {
        let put = with_query(&upload, &format!("digest={}", digest(b"x")));
        for answer in [
            docker.get(&upload).await,
            docker.patch(&upload, "x").await,
            docker.put(&put, "x").await,
            docker.delete(&upload).await,
        ] {
            assert_eq!(answer.expect(404).code(), "BLOB_UPLOAD_UNKNOWN", "{upload}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_for_its_operation_is_refused() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    let call = |size: usize| {
        let body = format!("{{\"repositoryNames\": [\"app\"], \"padding\": \"{}\"}}", "x".repeat(size));
        Call::new("POST", "/")
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
            .body(body)
    };
    let answer = caller.send("ecr", call(29 * MIB)).await;
    assert!((400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    // A length that is only claimed is refused before the bytes come.
    let mut claimed = caller.sign("ecr", call(10));
    claimed = claimed.header("content-length", (1usize << 40).to_string());
    let answer =
        http::raw(app.address, claimed.head(app.address).as_bytes(), false).await.expect("an answer without the body");
    assert!((400..500).contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn a_request_head_has_its_limit() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    docker.send(docker.call("GET", "/v2/").header("x-long", "x".repeat(30_000))).await.expect(200);
    let long = docker.call("GET", "/v2/").header("x-long", "x".repeat(100_000)).head(app.address);
    if let Some(answer) = http::raw(app.address, long.as_bytes(), false).await {
        assert_eq!(answer.status, 431, "{answer:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_get_an_answer_that_says_so() {
    let app = TestApp::start().await;
    // containerd speaks TLS first, and falls back only if the answer begins with HTTP/.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random";
    let answer = http::raw(app.address, hello, false).await.expect("an answer to a TLS hello");
    assert_eq!(answer.status, 400);
    let app_is_well = app.administrator().docker().await;
    app_is_well.get("/v2/").await.expect(200);
}

#[tokio::test]
async fn invalid_utf_8_is_refused_wherever_it_comes() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    for target in [
        "/v2/app/tags/list?last=%ff",
        "/v2/app/referrers/%ff",
        "/v2/%ff/tags/list",
        "/v2/app/blobs/uploads/?mount=%ff&from=app",
    ] {
        let method = if target.contains("uploads") { "POST" } else { "GET" };
        let answer = docker.call(method, target).send(app.address).await;
        assert!((200..500).contains(&answer.status), "{target}: {answer:?}");
    }
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
        .body(&b"{\"repositoryNames\": [\"\xff\"]}"[..]);
    let answer = caller.send("ecr", call).await.expect(400);
    assert_eq!(answer.json()["__type"], "SerializationException");
}

#[tokio::test]
async fn a_list_of_more_elements_than_a_call_may_have_is_refused_however_many_come() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/app";
    for (operation, list, element, before, error) in [
        ("BatchGetImage", "imageIds", "{}", r#""repositoryName":"app""#, "InvalidParameter"),
        ("BatchDeleteImage", "imageIds", "{}", r#""repositoryName":"app""#, "InvalidParameter"),
        ("DescribeImages", "imageIds", "{}", r#""repositoryName":"app""#, "InvalidParameter"),
        ("BatchCheckLayerAvailability", "layerDigests", "\"\"", r#""repositoryName":"app""#, "InvalidParameter"),
        ("DescribeRepositories", "repositoryNames", "\"\"", r#""maxResults":1"#, "InvalidParameter"),
        ("GetAuthorizationToken", "registryIds", "\"\"", r#""x":1"#, "InvalidParameter"),
        ("UntagResource", "tagKeys", "\"\"", &format!(r#""resourceArn":"{arn}""#), "InvalidParameter"),
        ("TagResource", "tags", "{}", &format!(r#""resourceArn":"{arn}""#), "TooManyTags"),
        ("CreateRepository", "tags", "{}", r#""repositoryName":"new1""#, "TooManyTags"),
    ] {
        let body = format!("{{{before},\"{list}\":[{}]}}", vec![element; MIB].join(","));
        let message = caller.ecr_text(operation, body).await.error(error);
        assert!(error == "TooManyTags" || message.contains(list), "{operation}: {message}");
    }
}
