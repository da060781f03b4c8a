//! What HTTP itself asks of the door: old clients, clients that wait for `100 Continue`, answers without a body.

use testkit::http::{Call, raw};
use testkit::{Docker, Image, TestApp, chance, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// All that the server sends until it closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the server closes in order");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_client_of_http_1_0_reads_whole_answers_that_are_not_chunked() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::builder(1).layers(&[600, 300_000]).build();
    docker.push("app", "v1", &image).await;
    for (path, length) in [
        ("manifests/v1".to_owned(), image.manifest.len()),
        (format!("blobs/{}", digest(&image.blobs[1])), 600),
        (format!("blobs/{}", digest(&image.blobs[2])), 300_000),
    ] {
        let head = docker.call("GET", format!("/v2/app/{path}")).head(app.address).replace("HTTP/1.1", "HTTP/1.0");
        let answer = raw(app.address, head.as_bytes(), false).await.unwrap().expect(200);
        assert_eq!(answer.header("transfer-encoding"), None, "{path}");
        assert_eq!(answer.header("content-length"), Some(length.to_string().as_str()), "{path}");
        assert_eq!(answer.body.len(), length, "{path}");
    }
}

#[tokio::test]
async fn a_head_has_the_head_of_a_get_and_no_body_also_when_it_is_refused() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    let nobody = Docker::new(&app, None);
    let upload = docker.start_upload("app").await;
    for (client, target, status) in [
        (&docker, "/v2/".to_owned(), 200),
        (&docker, "/v2/app/manifests/v1".to_owned(), 200),
        (&docker, format!("/v2/app/blobs/{}", digest(image.layer())), 200),
        (&docker, "/v2/app/tags/list".to_owned(), 200),
        (&docker, format!("/v2/app/referrers/{}", image.digest()), 200),
        (&docker, upload, 204),
        (&docker, "/v2/app/manifests/gone".to_owned(), 404),
        (&docker, format!("/v2/app/blobs/{}", digest(b"gone")), 404),
        (&docker, "/v2/gone/tags/list".to_owned(), 404),
        (&docker, "/v2/APP/tags/list".to_owned(), 400),
        (&docker, "/v2/app/blobs/uploads/".to_owned(), 405),
        (&nobody, "/v2/".to_owned(), 401),
    ] {
        let get = client.get(&target).await.expect(status);
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(client.call("HEAD", target.clone()).head(app.address).as_bytes()).await.unwrap();
        let whole = rest(stream).await.to_ascii_lowercase();
        assert!(whole.starts_with(&format!("http/1.1 {status} ")) && whole.ends_with("\r\n\r\n"), "{target}: {whole}");
        assert_eq!(whole.matches("\r\n\r\n").count(), 1, "{target}: a body follows: {whole}");
        for name in ["content-length", "content-type", "docker-content-digest", "etag"] {
            if let Some(value) = get.header(name) {
                assert!(
                    whole.contains(&format!("{name}: {}\r\n", value.to_ascii_lowercase())),
                    "{target}: {name}: {whole}"
                );
            }
        }
    }
}

#[tokio::test]
async fn who_is_refused_while_it_waits_for_100_continue_reads_the_whole_refusal_and_can_go_on() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let bytes = chance::bytes(1, 1_000_000);
    let target = format!("/v2/gone/blobs/uploads/?digest={}", digest(&bytes));
    let call = docker
        .call("POST", target)
        .header("content-length", bytes.len().to_string())
        .header("expect", "100-continue")
        .header("connection", "keep-alive");
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found: "), "{answer}");
    assert!(answer.contains("NAME_UNKNOWN") && !answer.contains("100 Continue"), "{answer}");
    // Whether the client sends the body all the same can't be known, so the connection ends, and says so.
    assert!(answer.to_ascii_lowercase().contains("connection: close\r\n"), "{answer}");
    docker.post(&format!("/v2/app/blobs/uploads/?digest={}", digest(&bytes)), bytes).await.expect(201);
}

#[tokio::test]
async fn who_does_not_wait_and_is_refused_reads_the_refusal_and_keeps_its_connection() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let body = vec![7; 100_000];
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    for _ in 0..2 {
        let call = docker.call("POST", format!("/v2/gone/blobs/uploads/?digest={}", digest(&body)));
        let call = call.header("connection", "keep-alive").header("content-length", body.len().to_string());
        stream.write_all(call.head(app.address).as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") {
            answer.push(stream.read_u8().await.expect("the connection ended"));
        }
        assert!(String::from_utf8_lossy(&answer).contains("NAME_UNKNOWN"));
    }
}

#[tokio::test]
async fn every_refusal_has_the_envelope_of_the_specification() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    docker.push("app", "v1", &Image::new(1)).await;
    let d = digest(b"x");
    for (method, target, status, code) in [
        ("GET", "/v2/app".to_owned(), 404, "UNSUPPORTED"),
        ("GET", "/v2/app/tags/list/".to_owned(), 404, "UNSUPPORTED"),
        ("GET", "/v2/app/manifests/v1/".to_owned(), 404, "UNSUPPORTED"),
        ("GET", "/v2/APP/tags/list".to_owned(), 400, "NAME_INVALID"),
        ("GET", "/v2/gone/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("GET", "/v2/app/tags/list?n=x".to_owned(), 400, "PAGINATION_NUMBER_INVALID"),
        ("GET", "/v2/app/manifests/-x".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/app/manifests/-x".to_owned(), 400, "TAG_INVALID"),
        ("GET", "/v2/app/manifests/gone".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/app/manifests/v1".to_owned(), 400, "MANIFEST_INVALID"),
        ("GET", "/v2/app/manifests/sha256:1".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/app/manifests/sha256:1".to_owned(), 400, "DIGEST_INVALID"),
        ("GET", format!("/v2/app/blobs/{d}"), 404, "BLOB_UNKNOWN"),
        ("DELETE", format!("/v2/app/blobs/{d}"), 404, "BLOB_UNKNOWN"),
        ("PATCH", "/v2/app/blobs/uploads/gone".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("POST", "/v2/app/manifests/v1".to_owned(), 405, "UNSUPPORTED"),
    ] {
        let refused = docker.send(docker.call(method, target.clone())).await.expect(status);
        assert_eq!(refused.code(), code, "{method} {target}");
        let body = refused.json();
        let errors = body["errors"].as_array().unwrap();
        assert!(errors.len() == 1 && errors[0]["message"].is_string(), "{method} {target}: {body}");
    }
    Call::new("GET", "/v2/").send(app.address).await.expect(401);
}

#[tokio::test]
async fn a_client_that_has_nothing_more_to_say_still_reads_its_whole_answer() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    // More than the sockets of both sides hold.
    let layer = chance::bytes(1, 16 * 1024 * 1024);
    let d = docker.push_blob("app", &layer).await;
    let get = docker.call("GET", format!("/v2/app/blobs/{d}")).head(app.address);
    let answer = raw(app.address, get.as_bytes(), true).await.expect("an answer").expect(200);
    assert!(answer.body == layer);
}
