use testkit::http::Call;
use testkit::{Image, TestApp, digest};

#[tokio::test]
async fn names_with_slashes_and_words_of_the_api_are_names() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    for name in [
        "a/b/c",
        "blobs/uploads",
        "manifests/v1",
        "app/manifests",
        "tags/list",
        "referrers/x1",
        "uploads/blobs/manifests",
    ] {
        app.administrator().repository(name).await;
        docker.push(name, "v1", &image).await;
        docker.pull(name, "v1", &image).await;
        assert_eq!(docker.get(&format!("/v2/{name}/tags/list")).await.expect(200).json()["name"], name);
    }
}

#[tokio::test]
async fn tricks_in_paths_reach_nothing() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    let d = digest(image.layer());
    for target in [
        "/v2/app/../app/manifests/v1",
        "/v2/./app/manifests/v1",
        "/v2//app/manifests/v1",
        "/v2/app//manifests/v1",
        "/v2/app/manifests//v1",
        "/v2/app/manifests/v1/",
        "/v2/app%2Fmanifests%2Fv1",
        "/v2/app/manifests%2Fv1",
        "/v2/app/manifests/..%2Fv1",
        "/v2/app/manifests/v1%00",
        "/v2/%61pp/manifests/v1",
        "/v2/app/manifests/%ff",
        "/v2/APP/manifests/v1",
        "/v2/app/manifests/",
        "/v2/app/manifests",
        "/v2/app",
        "/v2/app/nothing/v1",
        "/v2/app/blobs/../manifests/v1",
        "/v2/app/manifests/-starts-with-a-dash",
        "/v2/manifests/v1",
        "/v2/../v2/app/manifests/v1",
        "/V2/app/manifests/v1",
        "/v2app",
        "/v2/app/blobs/",
        "/v2/app/blobs/uploads/not-a-uuid",
        "/../etc/passwd",
        "/layers/../../etc/passwd",
    ] {
        let answer = docker.call("GET", target).send(app.address).await;
        assert!((400..500).contains(&answer.status), "{target}: {answer:?}");
        assert!(answer.body != image.manifest, "{target}");
    }
    let upper = d.to_uppercase().replace("SHA256", "sha256");
    for bad in [upper.as_str(), "sha256:", "sha256", "sha1:00", &d[..d.len() - 1], &format!("{d}0")] {
        let answer = docker.get(&format!("/v2/app/blobs/{bad}")).await;
        assert!(answer.status == 400 || answer.status == 404, "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn bad_names_are_named_invalid() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    for name in ["App", "a..b", "-a", "a-", "a___b", "A", "-"] {
        let answer = docker.post(&format!("/v2/{name}/blobs/uploads/"), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "NAME_INVALID"), "{name}");
        let answer = docker.get(&format!("/v2/{name}/manifests/v1")).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "NAME_INVALID"), "{name}");
    }
}

/// What docker's classic store pushes to `localhost:5050/a` asks for. It retries NAME_INVALID for 50 s, and NAME_UNKNOWN not at all.
#[tokio::test]
async fn a_name_that_is_wrong_in_its_length_alone_is_unknown() {
    let app = TestApp::start().await;
    let docker = app.administrator().docker().await;
    let (layer, long) = (digest(b"x"), "a".repeat(257));
    for name in ["a", "0", long.as_str()] {
        for (method, path) in [
            ("HEAD", format!("blobs/{layer}")),
            ("POST", "blobs/uploads/".to_owned()),
            ("PUT", "manifests/v1".to_owned()),
            ("GET", "manifests/v1".to_owned()),
            ("GET", "tags/list".to_owned()),
        ] {
            let answer = docker.send(docker.call(method, format!("/v2/{name}/{path}"))).await.expect(404);
            if method != "HEAD" {
                assert_eq!(answer.code(), "NAME_UNKNOWN", "{method} {path}");
                let message = answer.message();
                assert!(message.starts_with("Invalid parameter at 'repositoryName' failed to satisfy"), "{message}");
                assert!(message.contains("2 to 256"), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_manifest_by_what_is_neither_tag_nor_digest_is_unknown_and_a_push_to_it_invalid() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    let too_long = "t".repeat(129);
    for bad in [".INVALID_MANIFEST_NAME", "-a", "a%20b", "", "sha256:totallywrong", "md5:00", "blake3:ab", &too_long] {
        let path = format!("/v2/app/manifests/{bad}");
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = docker.send(docker.call(method, path.clone())).await.expect(404);
            if method != "HEAD" {
                assert_eq!(answer.code(), "MANIFEST_UNKNOWN", "{method} {bad}");
                let message = answer.message();
                assert!(message.starts_with("Requested image not found: ") && message.contains("neither a tag nor"));
            }
        }
        let put = docker.put_manifest("app", bad, &image).await.expect(400);
        assert_eq!(put.code(), if bad.contains(':') { "DIGEST_INVALID" } else { "TAG_INVALID" }, "{bad}");
        let elsewhere = docker.get(&format!("/v2/gone/manifests/{bad}")).await.expect(404);
        assert_eq!(elsewhere.code(), "NAME_UNKNOWN", "{bad}");
    }
    // Rights come first, as everywhere.
    let stranger =
        app.account("111122223333", "us-east-1").docker().await.at("000000000000.dkr.ecr.us-east-1.localhost");
    for method in ["GET", "DELETE"] {
        stranger.send(stranger.call(method, "/v2/app/manifests/.x")).await.expect(403);
    }
    docker.pull("app", "v1", &image).await;
}

#[tokio::test]
async fn tags_at_the_edges_of_the_grammar() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let longest = "t".repeat(128);
    for good in ["a", "_", "0", "A.b-c_d", longest.as_str()] {
        docker.put_manifest("app", good, &image).await.expect(201);
        docker.head(&format!("/v2/app/manifests/{good}")).await.expect(200);
    }
    let too_long = "t".repeat(129);
    for bad in [".a", "-a", "a%20b", "a+b", too_long.as_str()] {
        let answer = docker.put_manifest("app", bad, &image).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn a_method_that_an_endpoint_does_not_have_is_refused_with_those_that_it_has() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let (manifest, blob) = (format!("/v2/app/manifests/{}", digest(b"x")), format!("/v2/app/blobs/{}", digest(b"x")));
    let upload = docker.start_upload("app").await;
    for (target, allowed) in [
        ("/v2/", "GET, HEAD"),
        ("/v2", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/app/tags/list", "GET, HEAD"),
        (&format!("/v2/app/referrers/{}", digest(b"x")), "GET, HEAD"),
        ("/v2/app/manifests/v1", "GET, HEAD, PUT, DELETE"),
        (&manifest, "GET, HEAD, PUT, DELETE"),
        (&blob, "GET, HEAD, DELETE"),
        ("/v2/app/blobs/uploads/", "POST"),
        (&upload, "GET, HEAD, PATCH, PUT, DELETE"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            if allowed.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = docker.send(docker.call(method, target)).await.expect(405);
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
            assert!(method == "HEAD" || answer.code() == "UNSUPPORTED", "{method} {target}");
        }
    }
    Call::new("GET", "/no/such/page").send(app.address).await.expect(404);
}

#[tokio::test]
async fn a_digest_may_be_written_with_its_colon_encoded() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    for colon in ["%3A", "%3a"] {
        let encoded = |d: String| d.replace(':', colon);
        let manifest = docker.get(&format!("/v2/app/manifests/{}", encoded(image.digest()))).await.expect(200);
        assert_eq!(manifest.body, image.manifest);
        docker.get(&format!("/v2/app/blobs/{}", encoded(digest(image.layer())))).await.expect(200);
        docker.get(&format!("/v2/app/referrers/{}", encoded(image.digest()))).await.expect(200);
        let upload = format!("{}?digest={}", docker.start_upload("app").await, encoded(digest(b"x")));
        docker.put(&upload, "x").await.expect(201);
    }
}
