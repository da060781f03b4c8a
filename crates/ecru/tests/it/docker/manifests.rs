use serde_json::{Value, json};
use testkit::{Image, TestApp, digest, location};

const EVERY_ACCEPT: &[&str] = &[
    "",
    "*/*",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json, */*",
    "application/x-nothing",
];

#[tokio::test]
async fn images_of_both_worlds_are_pushed_and_pulled_by_tag_and_digest() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let (oci, dock) = (Image::new(1), Image::builder(2).docker().layers(&[10, 20_000, 300_000]).build());
    let (index, list) = (Image::index(&[&oci, &dock]), Image::docker_list(&[&dock]));
    for (tag, image) in [("oci", &oci), ("docker", &dock), ("index", &index), ("list", &list)] {
        docker.push("app", tag, image).await;
        docker.pull("app", tag, image).await;
        docker.pull("app", &image.digest(), image).await;
    }
}

#[tokio::test]
async fn a_put_answers_with_location_and_digest_and_a_head_with_the_whole_head() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let d = image.digest();
    for reference in ["v1", d.as_str(), "v1"] {
        let answer = docker.put_manifest("app", reference, &image).await.expect(201);
        assert_eq!(location(&answer), format!("/v2/app/manifests/{d}"));
        assert_eq!(answer.header("docker-content-digest"), Some(d.as_str()));
    }
    for accept in EVERY_ACCEPT {
        for reference in ["v1", d.as_str()] {
            let call = docker.call("HEAD", format!("/v2/app/manifests/{reference}")).header("accept", *accept);
            let answer = docker.send(call).await.expect(200);
            assert_eq!(answer.header("content-type"), Some(image.media_type));
            assert_eq!(answer.header("content-length"), Some(image.manifest.len().to_string().as_str()));
            assert_eq!(answer.header("docker-content-digest"), Some(d.as_str()));
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_named_by_its_code() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    let answer = docker.put_manifest("app", "v1", &image).await.expect(404);
    assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
    assert!(answer.message().contains(&digest(image.layer())), "{}", answer.message());
    let index = Image::index(&[&image]);
    let answer = docker.put_manifest("app", "v1", &index).await.expect(404);
    assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
    assert!(answer.message().contains(&image.digest()), "{}", answer.message());
    for reference in ["v1", &image.digest()] {
        let answer = docker.get(&format!("/v2/app/manifests/{reference}")).await.expect(404);
        assert_eq!(answer.code(), "MANIFEST_UNKNOWN");
        assert!(answer.message().starts_with("Requested image not found"), "{}", answer.message());
        docker.head(&format!("/v2/app/manifests/{reference}")).await.expect(404);
        docker.delete(&format!("/v2/app/manifests/{reference}")).await.expect(404);
    }
    let answer = docker.put_manifest("gone", "v1", &image).await.expect(404);
    let message = "The repository with name 'gone' does not exist in the registry with id '000000000000'";
    assert_eq!(answer.code(), "NAME_UNKNOWN");
    assert!(answer.message().starts_with(message), "{}", answer.message());
    assert_eq!(docker.get("/v2/gone/manifests/v1").await.expect(404).code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn a_manifest_pushed_by_a_digest_that_is_not_its_own_is_refused() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    assert_eq!(docker.put_manifest("app", &digest(b"other"), &image).await.expect(400).code(), "DIGEST_INVALID");
    docker.head(&format!("/v2/app/manifests/{}", image.digest())).await.expect(404);
}

fn changed(image: &Image, change: impl Fn(&mut Value)) -> String {
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    change(&mut manifest);
    manifest.to_string()
}

#[tokio::test]
async fn an_invalid_manifest_is_400_and_says_why() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let text = image.text();
    let deep = format!("{}1{}", "{\"a\":".repeat(100), "}".repeat(100));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("cut", text[..text.len() - 1].into()),
        ("with more behind it", format!("{text}{{}}").into()),
        ("a list", b"[]".to_vec()),
        ("duplicate keys", text.replacen('{', "{\"schemaVersion\":2,", 1).into()),
        ("duplicate keys within", text.replacen("\"size\":", "\"size\":1,\"size\":", 1).into()),
        ("deep", text.replacen('{', &format!("{{\"deep\":{deep},"), 1).into()),
        ("invalid UTF-8", [text.replacen('{', "{\"x\":\"", 1).as_bytes(), b"\xff\"}"].concat()),
        ("another schema", changed(&image, |m| m["schemaVersion"] = json!(1)).into()),
        ("no config", changed(&image, |m| drop(m.as_object_mut().unwrap().remove("config"))).into()),
        ("layers that are no list", changed(&image, |m| m["layers"] = json!({})).into()),
        ("a negative size", changed(&image, |m| m["layers"][0]["size"] = json!(-1)).into()),
        ("a bad digest", changed(&image, |m| m["layers"][0]["digest"] = json!("sha256:xyz")).into()),
        (
            "no media type of a layer",
            changed(&image, |m| drop(m["layers"][0].as_object_mut().unwrap().remove("mediaType"))).into(),
        ),
        ("children in an image", changed(&image, |m| m["manifests"] = json!([])).into()),
        (
            "another own type",
            changed(&image, |m| m["mediaType"] = json!("application/vnd.oci.image.index.v1+json")).into(),
        ),
    ];
    for (what, bytes) in cases {
        let call = docker.call("PUT", "/v2/app/manifests/v1").header("content-type", image.media_type).body(bytes);
        let answer = docker.send(call).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "MANIFEST_INVALID"), "{what}: {}", answer.text());
        assert!(answer.message().len() > 20, "{what}: {}", answer.message());
    }
    docker.head("/v2/app/manifests/v1").await.expect(404);
}

/// As Go's encoders write a list without elements; the OCI conformance suite pushes such an image and such an index.
#[tokio::test]
async fn an_image_without_layers_and_an_index_without_images_may_say_so_by_null_or_not_at_all() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    for (base, list) in [
        (Image::builder(1).layers(&[]).build(), "layers"),
        (Image::builder(2).layers(&[]).docker().build(), "layers"),
        (Image::index(&[]), "manifests"),
        (Image::docker_list(&[]), "manifests"),
    ] {
        docker.push_blobs("app", &base).await;
        for (tag, empty) in [("absent", None), ("null", Some(json!(null))), ("empty", Some(json!([])))] {
            let manifest = changed(&base, |m| match &empty {
                None => drop(m.as_object_mut().unwrap().remove(list)),
                Some(empty) => m[list] = empty.clone(),
            });
            let mut image = base.clone();
            image.manifest = manifest.clone().into();
            docker.push("app", tag, &image).await;
            docker.pull("app", tag, &image).await;
            docker.delete(&format!("/v2/app/manifests/{}", image.digest())).await.expect(202);
            let put = app.ecr("PutImage", json!({"repositoryName": "app", "imageManifest": manifest, "imageTag": tag}));
            assert_eq!(put.await.ok()["image"]["imageManifest"], json!(manifest), "{} {tag}", base.media_type);
        }
    }
}

#[tokio::test]
async fn the_content_type_stands_in_for_a_missing_media_type() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let bare = changed(&image, |m| drop(m.as_object_mut().unwrap().remove("mediaType")));
    let put = |content_type: Option<&str>| {
        let call = docker.call("PUT", "/v2/app/manifests/v1").body(bare.clone());
        docker.send(match content_type {
            Some(content_type) => call.header("content-type", content_type),
            None => call,
        })
    };
    assert_eq!(put(None).await.expect(400).code(), "MANIFEST_INVALID");
    put(Some(image.media_type)).await.expect(201);
    assert_eq!(docker.get("/v2/app/manifests/v1").await.expect(200).header("content-type"), Some(image.media_type));
}

#[tokio::test]
async fn deleting_a_tag_takes_the_image_with_the_last_and_a_digest_takes_every_tag() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    let by_digest = format!("/v2/app/manifests/{}", image.digest());
    docker.push("app", "v1", &image).await;
    docker.put_manifest("app", "v2", &image).await.expect(201);
    docker.delete("/v2/app/manifests/v1").await.expect(202);
    docker.head(&by_digest).await.expect(200);
    docker.head("/v2/app/manifests/v1").await.expect(404);
    docker.delete("/v2/app/manifests/v2").await.expect(202);
    docker.head(&by_digest).await.expect(404);
    docker.push("app", "v1", &image).await;
    docker.put_manifest("app", "v2", &image).await.expect(201);
    docker.delete(&by_digest).await.expect(202);
    docker.head("/v2/app/manifests/v2").await.expect(404);
    docker.push("app", "v1", &image).await;
    docker.pull("app", "v1", &image).await;
}

#[tokio::test]
async fn a_child_of_an_index_is_not_deleted_before_it() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let child = Image::new(1);
    let index = Image::index(&[&child]);
    docker.push("app", &child.digest(), &child).await;
    docker.push("app", "v1", &index).await;
    let answer = docker.delete(&format!("/v2/app/manifests/{}", child.digest())).await.expect(405);
    let message = format!("Requested image referenced by manifest list: [{}]", index.digest());
    assert_eq!(answer.code(), "UNSUPPORTED");
    assert!(answer.message().starts_with(&message), "{}", answer.message());
    docker.delete("/v2/app/manifests/v1").await.expect(202);
    docker.delete(&format!("/v2/app/manifests/{}", child.digest())).await.expect(202);
}

/// A manifest of that many bytes, whose blobs are those of the image.
fn sized(image: &Image, size: usize) -> Vec<u8> {
    let bare = changed(image, |m| m["annotations"] = json!({"padding": ""})).len();
    changed(image, |m| m["annotations"] = json!({"padding": "x".repeat(size - bare)})).into_bytes()
}

#[tokio::test]
async fn a_manifest_has_four_mebibytes_at_most_whether_its_length_is_declared_or_not() {
    const MOST: usize = 4 * 1024 * 1024;
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    for (tag, body, status) in [("most", sized(&image, MOST), 201), ("more", sized(&image, MOST + 1), 413)] {
        let put = docker.call("PUT", format!("/v2/app/manifests/{tag}")).header("content-type", image.media_type);
        let answer = docker.send(put.clone().body(body.clone())).await.expect(status);
        if status == 413 {
            assert_eq!(answer.code(), "SIZE_INVALID");
        }
        let mut chunked = format!("{:x}\r\n", body.len()).into_bytes();
        chunked.extend_from_slice(&body);
        chunked.extend_from_slice(b"\r\n0\r\n\r\n");
        docker.send(put.header("transfer-encoding", "chunked").body(chunked)).await.expect(status);
        if status == 201 {
            assert_eq!(docker.get("/v2/app/manifests/most").await.expect(200).body, body);
        }
    }
    docker.head("/v2/app/manifests/more").await.expect(404);
}

#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte_whatever_is_in_it() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let value: Value = serde_json::from_slice(&image.manifest).unwrap();
    let (config, layers) = (value["config"].to_string(), value["layers"].to_string());
    let odd = format!(
        "\r\n\t{{ \"layers\" :{layers}\n, \"org.example\":{{\"n\":1.50e+3,\"u\":\"\\u00e9é\\/\"}},\"config\":{config},\
         \"annotations\":null, \"mediaType\":\"{}\",\"schemaVersion\":2 }}\n\n",
        image.media_type
    );
    for (text, content_type) in [
        (odd.clone(), image.media_type.to_owned()),
        (format!(" {odd}"), format!("{}; charset=utf-8", image.media_type)),
        (format!("  {odd}"), image.media_type.to_uppercase()),
        (format!("   {odd}"), String::new()),
    ] {
        let call = docker.call("PUT", "/v2/app/manifests/odd").header("content-type", content_type.clone());
        let put = docker.send(call.body(text.clone())).await.expect(201);
        assert_eq!(put.header("docker-content-digest"), Some(digest(text.as_bytes()).as_str()), "{content_type}");
        let got = docker.get("/v2/app/manifests/odd").await.expect(200);
        assert_eq!((got.header("content-type"), got.text()), (Some(image.media_type), text), "{content_type}");
    }
}

#[tokio::test]
async fn a_manifest_of_another_type_than_its_head_says_or_of_a_retired_one_is_refused() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let schema_1 = json!({
        "schemaVersion": 1, "name": "app", "tag": "v1", "architecture": "amd64", "fsLayers": [], "history": [],
    });
    let retired = "application/vnd.docker.distribution.manifest.v1";
    let artifact = "application/vnd.oci.artifact.manifest.v1+json";
    for (content_type, body) in [
        ("application/vnd.oci.image.index.v1+json".to_owned(), image.text()),
        ("application/vnd.docker.distribution.manifest.v2+json".to_owned(), image.text()),
        ("application/json".to_owned(), image.text()),
        (format!("{retired}+json"), schema_1.to_string()),
        (format!("{retired}+prettyjws"), schema_1.to_string()),
        (String::new(), schema_1.to_string()),
        (artifact.to_owned(), json!({"mediaType": artifact, "blobs": []}).to_string()),
    ] {
        let call = docker.call("PUT", "/v2/app/manifests/v1").header("content-type", content_type.clone());
        let refused = docker.send(call.body(body)).await.expect(400);
        assert_eq!(refused.code(), "MANIFEST_INVALID", "{content_type}");
    }
    docker.head("/v2/app/manifests/v1").await.expect(404);
}

/// podman and skopeo try schema 1 after any refusal, and show the last refusal alone.
#[tokio::test]
async fn a_fallback_to_schema_1_is_refused_for_the_immutable_tag_that_is_there() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    let immutable = json!({ "repositoryName": "fixed", "imageTagMutability": "IMMUTABLE" });
    caller.ecr("CreateRepository", immutable).await.ok();
    let caller = caller.with_repository("moving").await;
    let docker = caller.docker().await;
    let image = Image::new(1);
    for repository in ["fixed", "moving"] {
        docker.push(repository, "v1", &image).await;
    }
    let schema_1 = json!({ "schemaVersion": 1, "name": "app", "tag": "v1", "fsLayers": [], "history": [] }).to_string();
    for (path, code) in [
        ("fixed/manifests/v1", "TAG_INVALID"),
        ("fixed/manifests/v2", "MANIFEST_INVALID"),
        ("moving/manifests/v1", "MANIFEST_INVALID"),
    ] {
        for media_type in ["v1+json", "v1+prettyjws"] {
            let media_type = format!("application/vnd.docker.distribution.manifest.{media_type}");
            let call = docker.call("PUT", format!("/v2/{path}")).header("content-type", media_type);
            let refused = docker.send(call.body(schema_1.clone())).await.expect(400);
            assert_eq!(refused.code(), code, "{path}");
            assert_eq!(refused.text().contains(&image.digest()), code == "TAG_INVALID", "{}", refused.text());
        }
    }
    // A manifest that is broken in another way has its own reason.
    let broken = docker.call("PUT", "/v2/fixed/manifests/v1").header("content-type", "application/json");
    assert_eq!(docker.send(broken.body("{}")).await.expect(400).code(), "MANIFEST_INVALID");
}

#[tokio::test]
async fn a_manifest_that_the_client_has_is_304_by_tag_and_by_digest() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let (image, other) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &image).await;
    let etag = format!("\"{}\"", image.digest());
    for reference in ["v1".to_owned(), image.digest()] {
        for method in ["GET", "HEAD"] {
            let ask = |name: &str, value: &str| {
                docker.send(docker.call(method, format!("/v2/app/manifests/{reference}")).header(name, value))
            };
            let known = ask("if-none-match", &etag).await.expect(304);
            assert_eq!(known.header("etag"), Some(etag.as_str()));
            assert_eq!(known.header("docker-content-digest"), Some(image.digest().as_str()));
            assert_eq!((known.header("content-length"), known.body.len()), (None, 0));
            ask("if-none-match", "\"sha256:0\"").await.expect(200);
            ask("if-match", &etag).await.expect(200);
            ask("if-match", "\"sha256:0\"").await.expect(412);
        }
    }
    docker.push("app", "v1", &other).await;
    let moved = docker.send(docker.call("GET", "/v2/app/manifests/v1").header("if-none-match", etag)).await;
    assert_eq!(moved.expect(200).body, other.manifest);
}

#[tokio::test]
async fn a_tag_holds_a_sha512_manifest_when_the_push_says_so() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let d = oci::Digest::of(oci::Algorithm::Sha512, &image.manifest).to_string();
    for reference in [format!("v1?digest={d}"), format!("{d}?tag=v2")] {
        let put = docker.put_manifest("app", &reference, &image).await.expect(201);
        assert_eq!(put.header("docker-content-digest"), Some(d.as_str()), "{reference}");
    }
    for reference in ["v1", "v2", &d] {
        let got = docker.get(&format!("/v2/app/manifests/{reference}")).await.expect(200);
        assert_eq!(got.header("docker-content-digest"), Some(d.as_str()), "{reference}");
        assert_eq!(got.header("etag"), Some(format!("\"{d}\"").as_str()));
        assert_eq!(got.body, image.manifest);
    }
    let listed = caller.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!(listed["imageDetails"][0]["imageDigest"], d);
    assert_eq!(listed["imageDetails"][0]["imageTags"], json!(["v1", "v2"]));
    // The same bytes under their other digest are an image of their own.
    docker.get(&format!("/v2/app/manifests/{}", image.digest())).await.expect(404);
    docker.put_manifest("app", "v3", &image).await.expect(201);
    docker.pull("app", &image.digest(), &image).await;
    for bad in ["sha512:00", "nonsense", ""] {
        let refused = docker.put_manifest("app", &format!("v4?digest={bad}"), &image).await.expect(400);
        assert_eq!(refused.code(), "DIGEST_INVALID", "{bad}");
    }
    let wrong = docker.put_manifest("app", &format!("v4?digest={}", digest(b"other")), &image).await.expect(400);
    assert_eq!(wrong.code(), "DIGEST_INVALID");
}
