use std::time::Duration;
use testkit::http::Call;
use testkit::{Image, TestApp, chance, digest, location};

#[tokio::test]
async fn a_blob_is_read_whole_and_in_ranges_whether_it_is_small_or_large() {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    let docker = app.administrator().docker().await;
    for (seed, size) in [(1, 1000), (2, 600_000)] {
        let bytes = chance::bytes(seed, size);
        let d = docker.push_blob("app", &bytes).await;
        let path = format!("/v2/app/blobs/{d}");
        for head in [true, false] {
            let answer = if head { docker.head(&path).await } else { docker.get(&path).await }.expect(200);
            assert_eq!(answer.header("content-length"), Some(size.to_string().as_str()));
            assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
            assert_eq!(answer.header("docker-content-digest"), Some(d.as_str()));
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
            assert_eq!(answer.body, if head { &[][..] } else { &bytes[..] });
        }
        let last = size - 1;
        for (range, first, end) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=10-".to_owned(), 10, size),
            ("bytes=-7".to_owned(), size - 7, size),
            (format!("bytes=-{}", size * 2), 0, size),
            (format!("bytes=5-{}", size * 2), 5, size),
            (format!("bytes={last}-{last}"), last, size),
        ] {
            let answer = docker.send(docker.call("GET", path.clone()).header("range", range.clone())).await.expect(206);
            assert_eq!(
                answer.header("content-range"),
                Some(format!("bytes {first}-{}/{size}", end - 1).as_str()),
                "{range}"
            );
            assert_eq!(answer.body, bytes[first..end], "{range}");
        }
        for range in [format!("bytes={size}-"), "bytes=-0".to_owned(), "bytes=5-2".to_owned()] {
            let answer = docker.send(docker.call("GET", path.clone()).header("range", range.clone())).await.expect(416);
            assert_eq!(answer.header("content-range"), Some(format!("bytes */{size}").as_str()), "{range}");
        }
        for ignored in ["lines=0-5", "bytes=x-", "nonsense"] {
            let answer = docker.send(docker.call("GET", path.clone()).header("range", ignored)).await.expect(200);
            assert_eq!(answer.body, bytes, "{ignored}");
        }
    }
}

#[tokio::test]
async fn a_blob_that_is_not_here_is_unknown() {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    app.administrator().repository("other").await;
    let docker = app.administrator().docker().await;
    let elsewhere = docker.push_blob("other", b"elsewhere").await;
    for d in [digest(b"gone"), elsewhere] {
        docker.head(&format!("/v2/app/blobs/{d}")).await.expect(404);
        assert_eq!(docker.get(&format!("/v2/app/blobs/{d}")).await.expect(404).code(), "BLOB_UNKNOWN");
    }
    assert_eq!(docker.get(&format!("/v2/gone/blobs/{}", digest(b"x"))).await.expect(404).code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn deleting_a_blob_takes_it_from_this_repository_and_not_from_under_an_image() {
    let app = TestApp::start().await;
    let image = Image::new(1);
    let docker = app.administrator().with_repository("app").await.docker().await;
    app.administrator().repository("other").await;
    docker.push("app", "v1", &image).await;
    let used = format!("blobs/{}", digest(image.layer()));
    docker.push_blob("other", image.layer()).await;
    assert_eq!(docker.delete(&format!("/v2/app/{used}")).await.expect(405).code(), "UNSUPPORTED");
    docker.delete(&format!("/v2/other/{used}")).await.expect(202);
    docker.head(&format!("/v2/other/{used}")).await.expect(404);
    docker.delete(&format!("/v2/other/{used}")).await.expect(404);
    docker.pull("app", "v1", &image).await;
}

#[tokio::test]
async fn where_it_is_set_so_a_blob_is_a_redirect_to_a_url_that_needs_no_credentials() {
    let app = TestApp::builder().redirect_layers().start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::builder(1).layers(&[600, 100_000]).build();
    docker.push("app", "v1", &image).await;
    for blob in &image.blobs {
        let answer = docker.get(&format!("/v2/app/blobs/{}", digest(blob))).await.expect(307);
        assert!(location(&answer).starts_with("/layers/"), "{answer:?}");
        assert_eq!(Call::new("GET", location(&answer)).send(app.address).await.expect(200).body, *blob);
        docker.head(&format!("/v2/app/blobs/{}", digest(blob))).await.expect(200);
    }
    docker.get(&format!("/v2/app/blobs/{}", digest(b"gone"))).await.expect(404);
}

/// DESIGN "Deletion": a client must not build on a layer that is collected before its push can end.
#[tokio::test]
async fn a_layer_whose_grace_ends_within_a_push_is_missing_until_it_is_pushed_or_mounted_again() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    caller.repository("other").await;
    let docker = caller.docker().await;
    let bytes = b"no image has this";
    let d = docker.push_blob("app", bytes).await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    app.clock.advance(Duration::from_secs(47 * 3600));
    let docker = caller.docker().await;
    docker.head(&format!("/v2/app/blobs/{d}")).await.expect(200);
    app.clock.advance(Duration::from_secs(2 * 3600));
    let shown = async |d: &str| {
        let input = serde_json::json!({"repositoryName": "app", "layerDigests": [d]});
        let answer = caller.ecr("BatchCheckLayerAvailability", input).await.ok();
        let head = docker.head(&format!("/v2/app/blobs/{d}")).await.status;
        (head, answer["layers"][0]["layerAvailability"].as_str().unwrap().to_owned())
    };
    assert_eq!(shown(&d).await, (404, "UNAVAILABLE".to_owned()));
    assert_eq!(shown(&digest(image.layer())).await, (200, "AVAILABLE".to_owned()), "an image stands on this one");
    docker.push_blob("app", bytes).await;
    assert_eq!(shown(&d).await, (200, "AVAILABLE".to_owned()));
    app.clock.advance(Duration::from_secs(47 * 3600));
    caller.docker().await.post(&format!("/v2/other/blobs/uploads/?mount={d}&from=app"), "").await.expect(201);
}

#[tokio::test]
async fn a_range_of_a_layer_that_the_client_has_is_304_and_several_ranges_are_400() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let d = docker.push_blob("app", &[7; 1000]).await;
    let get = |range: &str| docker.call("GET", format!("/v2/app/blobs/{d}")).header("range", range);
    for range in ["bytes=0-9", "bytes=2000-", "bytes=0-1,5-6"] {
        let answer = docker.send(get(range).header("if-none-match", format!("\"{d}\""))).await.expect(304);
        assert_eq!(answer.header("etag"), Some(format!("\"{d}\"").as_str()));
        docker.send(get("bytes=0-9").header("if-none-match", "\"other\"")).await.expect(206);
    }
    assert_eq!(docker.send(get("bytes=0-1,5-6")).await.expect(400).code(), "UNSUPPORTED");
}

#[tokio::test]
async fn preconditions_are_looked_at_before_ranges_and_content_on_every_door_that_has_layers() {
    let app = TestApp::builder().redirect_layers().start().await;
    let plain = TestApp::start().await;
    let bytes = chance::bytes(1, 100_000);
    let d = digest(&bytes);
    let (etag, path) = (format!("\"{d}\""), format!("/v2/app/blobs/{d}"));
    for app in [&app, &plain] {
        app.administrator().with_repository("app").await.docker().await.push_blob("app", &bytes).await;
    }
    let (redirecting, docker) = (app.administrator().docker().await, plain.administrator().docker().await);
    let signed = location(&redirecting.get(&path).await.expect(307));
    let cases = [
        (vec![("if-none-match", etag.as_str())], 304, 304),
        (vec![("if-none-match", "*"), ("range", "bytes=0-9")], 304, 304),
        (vec![("if-none-match", "\"other\"")], 200, 200),
        (vec![("if-none-match", "\"other\""), ("range", "bytes=0-9")], 206, 200),
        (vec![("if-match", etag.as_str()), ("range", "bytes=0-9")], 206, 200),
        (vec![("if-match", "\"other\"")], 412, 412),
        (vec![("if-range", "\"other\""), ("range", "bytes=0-9")], 200, 200),
        (vec![("range", "bytes=0-1,5-6")], 400, 200),
        (vec![("range", "bytes=200000-")], 416, 200),
    ];
    for (headers, get, head) in cases {
        let with = |call: Call| headers.iter().fold(call, |call, (name, value)| call.header(name, *value));
        for (method, status) in [("GET", get), ("HEAD", head)] {
            let from_blob = docker.send(with(docker.call(method, path.clone()))).await.expect(status);
            let from_url = with(Call::new(method, signed.clone())).send(app.address).await.expect(status);
            for answer in [&from_blob, &from_url] {
                let expected: &[u8] = match (method, status) {
                    ("GET", 200) => &bytes,
                    ("GET", 206) => &bytes[..10],
                    _ => b"",
                };
                assert!(status > 300 || answer.body == expected, "{method} {headers:?}");
                if status < 400 {
                    assert_eq!(answer.header("etag"), Some(etag.as_str()), "{method} {headers:?}");
                }
                let range = match status {
                    206 => Some("bytes 0-9/100000"),
                    416 => Some("bytes */100000"),
                    _ => None,
                };
                assert_eq!(answer.header("content-range"), range, "{method} {headers:?}");
            }
            if status == 304 {
                assert_eq!(from_blob.header("docker-content-digest"), Some(d.as_str()));
                assert_eq!(from_blob.header("content-length"), None);
            }
        }
    }
    // Who has the layer is not sent to fetch it.
    let known = redirecting.call("GET", path).header("if-none-match", etag);
    redirecting.send(known).await.expect(304);
    let gone = docker.call("GET", format!("/v2/app/blobs/{}", digest(b"gone"))).header("if-none-match", "*");
    docker.send(gone).await.expect(404);
}

#[tokio::test]
async fn the_empty_layer_is_a_layer_however_it_comes() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    let d = digest(b"");
    for way in ["post", "put", "patch"] {
        app.administrator().repository(way).await;
        match way {
            "post" => drop(docker.post(&format!("/v2/{way}/blobs/uploads/?digest={d}"), "").await.expect(201)),
            "put" => {
                let upload = docker.start_upload(way).await;
                docker.put(&format!("{upload}?digest={d}"), "").await.expect(201);
            }
            _ => {
                let patched = docker.patch(&docker.start_upload(way).await, "").await.expect(202);
                assert_eq!(patched.header("range"), Some("0-0"));
                docker.put(&format!("{}?digest={d}", location(&patched)), "").await.expect(201);
            }
        }
        let path = format!("/v2/{way}/blobs/{d}");
        for answer in [docker.get(&path).await, docker.head(&path).await] {
            let answer = answer.expect(200);
            assert_eq!((answer.header("content-length"), answer.body.len()), (Some("0"), 0), "{way}");
            assert_eq!(answer.header("docker-content-digest"), Some(d.as_str()));
        }
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            let none = docker.send(docker.call("GET", path.clone()).header("range", range)).await.expect(416);
            assert_eq!(none.header("content-range"), Some("bytes */0"), "{range}");
        }
        let deleted = docker.delete(&path).await.expect(202);
        assert_eq!(deleted.header("docker-content-digest"), Some(d.as_str()));
    }
    let wrong = docker.post(&format!("/v2/post/blobs/uploads/?digest={}", digest(b"x")), "").await;
    assert_eq!(wrong.expect(400).code(), "DIGEST_INVALID");
}
