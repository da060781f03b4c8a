//! The OCI distribution-spec's four workflows, case by case as its conformance suite goes through them: pull, push, content
//! discovery, content management. `kinds` goes through all four with each kind of content.

mod kinds;

use super::content::{Content, EMPTY, EXAMPLE, INDEX, MANIFEST};
use oci::Algorithm;
use serde_json::{Value, json};
use testkit::{Answer, Docker, Image, TestApp, chance, digest, location, with_query};

async fn app() -> TestApp {
    let app = TestApp::start().await;
    for name in ["conformance/one", "conformance/two"] {
        app.administrator().repository(name).await;
    }
    app
}

const ONE: &str = "/v2/conformance/one";
const TWO: &str = "/v2/conformance/two";

async fn listed(docker: &Docker<'_>, query: &str) -> (Value, Option<String>) {
    let answer = docker.get(&format!("{ONE}/tags/list{query}")).await.expect(200);
    assert_eq!(answer.json()["name"], "conformance/one");
    (answer.json()["tags"].clone(), answer.header("link").map(str::to_owned))
}

fn holds(answer: &Answer, digest: &str, length: usize) {
    assert_eq!(answer.header("docker-content-digest"), Some(digest));
    assert_eq!(answer.header("content-length"), Some(length.to_string().as_str()));
}

#[tokio::test]
async fn pull() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    docker.get("/v2/").await.expect(200);
    let image = Image::new(1);
    docker.push("conformance/one", "tagtest0", &image).await;

    let (missing, layer) = (digest(b"missing"), digest(image.layer()));
    docker.head(&format!("{ONE}/blobs/{missing}")).await.expect(404);
    holds(&docker.head(&format!("{ONE}/blobs/{layer}")).await.expect(200), &layer, image.layer().len());
    assert_eq!(docker.get(&format!("{ONE}/blobs/{missing}")).await.expect(404).code(), "BLOB_UNKNOWN");
    let got = docker.get(&format!("{ONE}/blobs/{layer}")).await.expect(200);
    holds(&got, &layer, image.layer().len());
    assert_eq!(got.body, *image.layer());

    for reference in [".INVALID_MANIFEST_NAME", "sha256:baddigeststring"] {
        let status = docker.head(&format!("{ONE}/manifests/{reference}")).await.status;
        assert!(status == 404 || status == 400, "{reference}: {status}");
    }
    for reference in ["missing".to_owned(), missing] {
        docker.head(&format!("{ONE}/manifests/{reference}")).await.expect(404);
        let refused = docker.get(&format!("{ONE}/manifests/{reference}")).await.expect(404);
        assert_eq!(refused.code(), "MANIFEST_UNKNOWN");
    }
    for reference in ["tagtest0".to_owned(), image.digest()] {
        let path = format!("{ONE}/manifests/{reference}");
        holds(&docker.head(&path).await.expect(200), &image.digest(), image.manifest.len());
        let got = docker.get(&path).await.expect(200);
        holds(&got, &image.digest(), image.manifest.len());
        assert_eq!(got.header("content-type"), Some(image.media_type));
        assert_eq!(got.body, image.manifest);
    }
}

#[tokio::test]
async fn pull_of_a_range() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 4000);
    let path = format!("{ONE}/blobs/{}", docker.push_blob("conformance/one", &bytes).await);
    for (range, first, end) in
        [("0-", 0, 4000), ("500-1499", 500, 1500), ("500-", 500, 4000), ("-500", 3500, 4000), ("2000-5000", 2000, 4000)]
    {
        let call = docker.call("GET", path.clone()).header("range", format!("bytes={range}"));
        let part = docker.send(call).await.expect(206);
        assert_eq!(part.header("content-range"), Some(format!("bytes {first}-{}/4000", end - 1).as_str()), "{range}");
        assert_eq!(part.header("content-length"), Some((end - first).to_string().as_str()), "{range}");
        assert_eq!(part.body, bytes[first..end], "{range}");
    }
    for range in ["500-0", "5000-10000"] {
        let call = docker.call("GET", path.clone()).header("range", format!("bytes={range}"));
        assert_eq!(docker.send(call).await.expect(416).header("content-range"), Some("bytes */4000"), "{range}");
    }
}

/// The ways in which a layer may come; the first four are what any client does.
const WAYS: [&str; 6] = ["post", "post and put", "stream", "chunks", "chunks and a last one", "announced"];

/// Pushes a layer in one way, whose closing request may well be refused.
async fn push_layer(docker: &Docker<'_>, way: &str, bytes: &[u8], digest: &str) -> Answer {
    let close = |upload: &str| with_query(upload, &format!("digest={digest}"));
    let third = bytes.len() / 3 + 1;
    match way {
        "post" => return docker.post(&format!("{ONE}/blobs/uploads/?digest={digest}"), bytes.to_vec()).await,
        "post and put" => {
            let upload = docker.start_upload("conformance/one").await;
            return docker.put(&close(&upload), bytes.to_vec()).await;
        }
        "announced" => {
            let (algorithm, _) = digest.split_once(':').unwrap();
            let target = format!("{ONE}/blobs/uploads/?digest-algorithm={algorithm}");
            let upload = location(&docker.post(&target, "").await.expect(202));
            let patched = docker.patch(&upload, bytes.to_vec()).await.expect(202);
            return docker.put(&close(&location(&patched)), "").await;
        }
        "stream" => {
            let upload = docker.start_upload("conformance/one").await;
            let patched = docker.patch(&upload, bytes.to_vec()).await.expect(202);
            return docker.put(&close(&location(&patched)), "").await;
        }
        _ => {}
    }
    let mut upload = docker.start_upload("conformance/one").await;
    for (at, chunk) in bytes.chunks(third).enumerate() {
        let (first, last) = (at * third, at * third + chunk.len() - 1);
        if way == "chunks and a last one" && last + 1 == bytes.len() {
            let call = docker.call("PUT", close(&upload)).header("content-range", format!("{first}-{last}"));
            return docker.send(call.body(chunk.to_vec())).await;
        }
        let patched = docker.patch_at(&upload, first, chunk.to_vec()).await.expect(202);
        assert_eq!(patched.header("range"), Some(format!("0-{last}").as_str()));
        upload = location(&patched);
    }
    docker.put(&close(&upload), "").await
}

#[tokio::test]
async fn push_of_layers_in_every_way_and_with_either_hash() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, way) in (0..).zip(WAYS) {
        for (more, algorithm) in [(0, Algorithm::Sha256), (1, Algorithm::Sha512)] {
            for size in [0, 2, 512, 40_000] {
                if size == 0 && way.starts_with("chunks") {
                    continue;
                }
                let bytes = if size == 2 { b"{}".to_vec() } else { chance::bytes(seed * 2 + more, size) };
                let d = oci::Digest::of(algorithm, &bytes).to_string();
                let pushed = push_layer(&docker, way, &bytes, &d).await.expect(201);
                assert_eq!(pushed.header("docker-content-digest"), Some(d.as_str()), "{way}");
                assert_eq!(location(&pushed), format!("{ONE}/blobs/{d}"), "{way}");
                let got = docker.get(&location(&pushed)).await.expect(200);
                holds(&got, &d, bytes.len());
                assert_eq!(got.body, bytes, "{way} {size}");
                holds(&docker.head(&location(&pushed)).await.expect(200), &d, bytes.len());
                docker.delete(&location(&pushed)).await.expect(202);
            }
            let bytes = chance::bytes(100 + seed * 2 + more, 40_000);
            let other = oci::Digest::of(algorithm, b"other").to_string();
            let refused = push_layer(&docker, way, &bytes, &other).await.expect(400);
            assert_eq!(refused.code(), "DIGEST_INVALID", "{way}");
            docker.head(&format!("{ONE}/blobs/{other}")).await.expect(404);
        }
    }
}

#[tokio::test]
async fn push_of_chunks_out_of_order() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let bytes = chance::bytes(1, 3000);
    let opened = docker.post(&format!("{ONE}/blobs/uploads/"), "").await.expect(202);
    assert!(opened.header("oci-chunk-min-length").is_none(), "any size will do");
    let upload = location(&opened);
    let ahead = docker.patch_at(&upload, 1000, bytes[1000..2000].to_vec()).await.expect(416);
    assert_eq!((ahead.header("range"), location(&ahead)), (Some("0-0"), upload.clone()));
    let upload = location(&docker.patch_at(&upload, 0, bytes[..1000].to_vec()).await.expect(202));
    for at in [0, 2000] {
        let refused = docker.patch_at(&upload, at, bytes[at..at + 1000].to_vec()).await.expect(416);
        assert_eq!(refused.header("range"), Some("0-999"));
        let status = docker.get(&upload).await.expect(204);
        assert_eq!((status.header("range"), location(&status)), (Some("0-999"), upload.clone()));
        assert_eq!((status.header("content-length"), status.body.len()), (None, 0));
    }
    let upload = location(&docker.patch_at(&upload, 1000, bytes[1000..2000].to_vec()).await.expect(202));
    let close = |at: usize, end: usize| {
        let target = with_query(&upload, &format!("digest={}", digest(&bytes)));
        let call = docker.call("PUT", target).header("content-range", format!("{at}-{}", end - 1));
        docker.send(call.body(bytes[at..end].to_vec()))
    };
    assert_eq!(close(0, 1000).await.expect(416).header("range"), Some("0-1999"));
    let pushed = close(2000, 3000).await.expect(201);
    assert_eq!(docker.get(&location(&pushed)).await.expect(200).body, bytes);
}

#[tokio::test]
async fn push_of_a_layer_that_another_repository_has() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (seed, algorithm) in [(1, Algorithm::Sha256), (2, Algorithm::Sha512)] {
        let bytes = chance::bytes(seed, 512);
        let d = oci::Digest::of(algorithm, &bytes).to_string();
        push_layer(&docker, "stream", &bytes, &d).await.expect(201);
        for query in [format!("mount={d}"), format!("mount={d}&from=conformance/none")] {
            let opened = docker.post(&format!("{TWO}/blobs/uploads/?{query}"), "").await.expect(202);
            docker.get(&location(&opened)).await.expect(204);
        }
        let mounted =
            docker.post(&format!("{TWO}/blobs/uploads/?mount={d}&from=conformance/one"), "").await.expect(201);
        assert_eq!(location(&mounted), format!("{TWO}/blobs/{d}"));
        assert_eq!(mounted.header("docker-content-digest"), Some(d.as_str()));
        assert_eq!(docker.get(&location(&mounted)).await.expect(200).body, bytes);
        let missing = oci::Digest::of(algorithm, b"missing");
        let target = format!("{TWO}/blobs/uploads/?mount={missing}&from=conformance/one");
        let upload = location(&docker.post(&target, "").await.expect(202));
        docker.put(&with_query(&upload, &format!("digest={missing}")), "missing").await.expect(201);
    }
}

#[tokio::test]
async fn push_that_is_given_up() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let upload = docker.start_upload("conformance/one").await;
    let cancelled = docker.delete(&upload).await.expect(204);
    assert_eq!((cancelled.header("content-length"), cancelled.body.len()), (None, 0));
    assert_eq!(docker.get(&upload).await.expect(404).code(), "BLOB_UPLOAD_UNKNOWN");
    let closed = docker.put(&with_query(&upload, &format!("digest={}", digest(b"x"))), "x").await;
    assert_eq!(closed.expect(404).code(), "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn push_of_manifests_that_are_none() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push_blobs("conformance/one", &image).await;
    let put = |reference: &str, body: Vec<u8>| {
        let call = docker.call("PUT", format!("{ONE}/manifests/{reference}")).header("content-type", image.media_type);
        docker.send(call.body(body))
    };
    let padded = [&image.manifest[..], b"  "].concat();
    assert_eq!(put(&image.digest(), padded).await.expect(400).code(), "DIGEST_INVALID");
    assert_eq!(put("sha256:baddigeststring", image.manifest.to_vec()).await.expect(400).code(), "DIGEST_INVALID");
    assert_eq!(put("tag", b"blablabla".to_vec()).await.expect(400).code(), "MANIFEST_INVALID");
    assert_eq!(put("tag", Vec::new()).await.expect(400).code(), "MANIFEST_INVALID");
    assert_eq!(listed(&docker, "").await.0, json!([]));
}

#[tokio::test]
async fn content_discovery_of_tags() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    assert_eq!(listed(&docker, "").await, (json!([]), None));
    let image = Image::new(1);
    docker.push_blobs("conformance/one", &image).await;
    for tag in ["test3", "test1", "Test2", "test0"] {
        docker.put_manifest("conformance/one", tag, &image).await.expect(201);
    }
    let all = ["Test2", "test0", "test1", "test3"];
    let next = |last: &str, n: u32| Some(format!("<{ONE}/tags/list?last={last}&n={n}>; rel=\"next\""));
    for (query, expected, link) in [
        ("", &all[..], None),
        ("?n=0", &[], None),
        ("?n=0&last=test0", &[], None),
        ("?n=2", &all[..2], next("test0", 2)),
        ("?n=2&last=test0", &all[2..], None),
        ("?n=3", &all[..3], next("test1", 3)),
        ("?n=4", &all, None),
        ("?n=1000", &all, None),
        ("?last=test0", &all[2..], None),
        ("?last=test00", &all[2..], None),
        ("?last=%74est0", &all[2..], None),
        ("?last=", &all, None),
        ("?last=zzz", &[], None),
        ("?n=1&last=Test1", &all[..1], next("Test2", 1)),
    ] {
        assert_eq!(listed(&docker, query).await, (json!(expected), link), "{query}");
    }
    docker.delete(&format!("{ONE}/manifests/test0")).await.expect(202);
    assert_eq!(listed(&docker, "").await.0, json!(["Test2", "test1", "test3"]));
    assert_eq!(docker.get("/v2/conformance/none/tags/list").await.expect(404).code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn content_management() {
    let app = app().await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push("conformance/one", "one", &image).await;
    docker.put_manifest("conformance/one", "two", &image).await.expect(201);
    let (manifest, layer) = (format!("{ONE}/manifests/{}", image.digest()), digest(image.layer()));
    for layer in [digest(image.config()), layer.clone()] {
        let used = docker.delete(&format!("{ONE}/blobs/{layer}")).await.expect(405);
        assert_eq!(used.code(), "UNSUPPORTED");
    }
    let untagged = docker.delete(&format!("{ONE}/manifests/one")).await.expect(202);
    assert_eq!(untagged.header("docker-content-digest"), Some(image.digest().as_str()));
    for path in [format!("{ONE}/manifests/one"), format!("{ONE}/manifests/never")] {
        docker.get(&path).await.expect(404);
        assert_eq!(docker.delete(&path).await.expect(404).code(), "MANIFEST_UNKNOWN");
    }
    assert_eq!(listed(&docker, "").await.0, json!(["two"]));
    docker.get(&manifest).await.expect(200);
    let deleted = docker.delete(&manifest).await.expect(202);
    assert_eq!(deleted.header("docker-content-digest"), Some(image.digest().as_str()));
    for path in [manifest, format!("{ONE}/manifests/two")] {
        docker.get(&path).await.expect(404);
        assert_eq!(docker.delete(&path).await.expect(404).code(), "MANIFEST_UNKNOWN");
    }
    assert_eq!(listed(&docker, "").await.0, json!([]));
    for blob in [digest(image.config()), layer] {
        let path = format!("{ONE}/blobs/{blob}");
        docker.delete(&path).await.expect(202);
        docker.get(&path).await.expect(404);
        assert_eq!(docker.delete(&path).await.expect(404).code(), "BLOB_UNKNOWN");
    }
    for path in ["manifests/one", &format!("manifests/{}", digest(b"x")), &format!("blobs/{}", digest(b"x"))] {
        let missing = docker.delete(&format!("/v2/conformance/none/{path}")).await.expect(404);
        assert_eq!(missing.code(), "NAME_UNKNOWN", "{path}");
    }
}
