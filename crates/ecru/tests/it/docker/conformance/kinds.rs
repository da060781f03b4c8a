//! Every kind of content that the suite knows, through all four workflows.

use super::*;

/// Descriptors in an order of their own: what was pushed within one moment is listed in any.
fn by_digest(descriptors: &Value) -> Vec<Value> {
    let mut all = descriptors.as_array().unwrap().clone();
    all.sort_by_key(|one| one["digest"].as_str().unwrap().to_owned());
    all
}

/// Pushes content, finds it in every way, and removes it, as the suite does with each kind.
async fn goes_through(what: &str, content: &Content) {
    let app = app().await;
    let docker = app.administrator().docker().await;
    for (blob, way) in content.blobs.iter().zip(WAYS.iter().cycle()) {
        push_layer(&docker, way, &blob.bytes, &blob.digest).await.expect(201);
    }
    for manifest in &content.manifests {
        let put = |reference: String| {
            let target = format!("{ONE}/manifests/{reference}");
            let call = docker.call("PUT", target).header("content-type", manifest.media_type);
            docker.send(call.body(manifest.bytes.clone()))
        };
        let query: Vec<String> = manifest.tags.iter().map(|tag| format!("tag={tag}")).collect();
        let pushed = put(format!("{}?{}", manifest.digest, query.join("&"))).await.expect(201);
        assert_eq!(pushed.header("docker-content-digest"), Some(manifest.digest.as_str()), "{what}");
        assert_eq!(pushed.header("oci-subject"), manifest.subject.as_deref(), "{what}");
        let stored: Vec<&str> = pushed.header("oci-tag").into_iter().flat_map(|tags| tags.split(", ")).collect();
        assert_eq!(stored, manifest.tags, "{what}: {:?}", pushed.headers);
        assert_eq!(docker.get(&location(&pushed)).await.expect(200).body, manifest.bytes, "{what}");
        // A tag in the path means sha256, and says the same of a manifest that has it.
        if manifest.digest.starts_with("sha256:") {
            for tag in &manifest.tags {
                let again = put(tag.clone()).await.expect(201);
                assert_eq!(again.header("docker-content-digest"), Some(manifest.digest.as_str()), "{what}");
                assert_eq!(again.header("oci-subject"), manifest.subject.as_deref(), "{what}");
            }
        }
        for reference in manifest.tags.iter().chain([&manifest.digest]) {
            let path = format!("{ONE}/manifests/{reference}");
            for answer in [docker.head(&path).await.expect(200), docker.get(&path).await.expect(200)] {
                holds(&answer, &manifest.digest, manifest.bytes.len());
                assert_eq!(answer.header("content-type"), Some(manifest.media_type), "{what}");
                assert!(answer.body.is_empty() || answer.body == manifest.bytes, "{what}");
            }
        }
    }
    let mut tags: Vec<&String> = content.manifests.iter().flat_map(|manifest| &manifest.tags).collect();
    tags.sort();
    assert_eq!(listed(&docker, "").await.0, json!(tags), "{what}");
    for (subject, expected) in &content.referrers {
        let path = format!("{ONE}/referrers/{subject}");
        let all = docker.get(&path).await.expect(200);
        assert_eq!(all.header("content-type"), Some(INDEX), "{what}");
        assert_eq!(by_digest(&all.json()["manifests"]), by_digest(&json!(expected)), "{what}");
        for wanted in expected.iter().filter_map(|referrer| referrer["artifactType"].as_str()) {
            let filtered = docker.get(&format!("{path}?artifactType={wanted}")).await.expect(200);
            let of_type: Vec<&Value> = expected.iter().filter(|one| one["artifactType"] == wanted).collect();
            assert_eq!(by_digest(&filtered.json()["manifests"]), by_digest(&json!(of_type)), "{what}");
            assert_eq!(filtered.header("oci-filters-applied"), Some("artifactType"), "{what}");
        }
    }
    for manifest in content.manifests.iter().rev() {
        for tag in &manifest.tags {
            docker.delete(&format!("{ONE}/manifests/{tag}")).await.expect(202);
            docker.head(&format!("{ONE}/manifests/{tag}")).await.expect(404);
        }
        let path = format!("{ONE}/manifests/{}", manifest.digest);
        // It went with its last tag (ECR.md A.3 BatchDeleteImage).
        docker.delete(&path).await.expect(if manifest.tags.is_empty() { 202 } else { 404 });
        docker.head(&path).await.expect(404);
    }
    for blob in &content.blobs {
        docker.delete(&format!("{ONE}/blobs/{}", blob.digest)).await.expect(202);
        docker.head(&format!("{ONE}/blobs/{}", blob.digest)).await.expect(404);
    }
}

#[tokio::test]
async fn images_and_indexes_of_every_shape() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let content = || Content::new(algorithm);
        let mut one = content();
        one.image(&["image"], json!({}));
        goes_through("an image", &one).await;

        let mut plain = content();
        let layer = plain.blob("application/vnd.oci.image.layer.v1.tar", b"not compressed");
        plain.image(&["plain"], json!({"layers": [layer]}));
        goes_through("an image that is not compressed", &plain).await;

        let mut index = content();
        let children = [index.image(&["amd64"], json!({})), index.image(&[], json!({}))];
        index.index(&["index", "other"], &children, json!({}));
        goes_through("an index", &index).await;

        let mut nested = content();
        let images = [nested.image(&[], json!({})), nested.image(&[], json!({}))];
        let inner = [nested.index(&[], &images[..1], json!({})), nested.index(&["inner"], &images[1..], json!({}))];
        nested.index(&["index-of-index"], &inner, json!({}));
        goes_through("an index of indexes", &nested).await;

        let mut empty = content();
        empty.index(&["empty"], &[], json!({}));
        goes_through("an index of nothing", &empty).await;

        let mut layerless = content();
        layerless.image(&["no-layers"], json!({"layers": []}));
        goes_through("an image without layers", &layerless).await;

        let mut data = content();
        let mut config = data.blob(EMPTY, b"{}");
        config["data"] = json!("e30=");
        data.image(&["data"], json!({"config": config}));
        goes_through("content within a descriptor", &data).await;

        let mut custom = content();
        let child = custom.image(&[], json!({"org.example.unknown": {"a": [1, null, 2.5e3]}}));
        custom.index(&["custom"], &[child], json!({"org.example.unknown": "x"}));
        goes_through("unknown members", &custom).await;
    }
    let mut large = Content::new(Algorithm::Sha256);
    let annotations: serde_json::Map<String, Value> =
        (0..390).map(|n| (format!("large-annotation-{n}"), json!("A".repeat(10_000)))).collect();
    large.image(&["large"], json!({"annotations": annotations}));
    goes_through("a large manifest", &large).await;
}

#[tokio::test]
async fn layers_that_are_kept_elsewhere() {
    for media_type in [
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        let mut content = Content::new(Algorithm::Sha256);
        let here = content.blob("application/vnd.oci.image.layer.v1.tar+gzip", b"here");
        let elsewhere = json!({
            "mediaType": media_type, "digest": digest(b"elsewhere"), "size": 123_456,
            "urls": [format!("https://store.example.com/{}", digest(b"elsewhere"))],
        });
        content.image(&["foreign"], json!({"layers": [elsewhere, here]}));
        goes_through(media_type, &content).await;
    }
    // One that says no address must be here, as any other layer.
    let app = app().await;
    let docker = app.administrator().docker().await;
    let mut content = Content::new(Algorithm::Sha256);
    let nowhere = json!({
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": digest(b"nowhere"), "size": 1,
    });
    content.image(&[], json!({"layers": [nowhere]}));
    for blob in &content.blobs {
        docker.push_blob("conformance/one", &blob.bytes).await;
    }
    let call = docker.call("PUT", format!("{ONE}/manifests/nowhere")).header("content-type", MANIFEST);
    let refused = docker.send(call.body(content.manifests[0].bytes.clone())).await.expect(404);
    assert_eq!(refused.code(), "MANIFEST_BLOB_UNKNOWN");
}

#[tokio::test]
async fn artifacts_and_what_refers_to_them() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let content = || Content::new(algorithm);
        let mut artifact = content();
        let empty = artifact.blob(EMPTY, b"{}");
        let payload = artifact.blob(EXAMPLE, b"payload");
        let kind = json!({"artifactType": EXAMPLE, "config": empty, "layers": [payload]});
        artifact.image(&["artifact"], kind.clone());
        goes_through("an artifact", &artifact).await;

        let mut without = content();
        let empty = without.blob(EMPTY, b"{}");
        without.image(&["without"], json!({"artifactType": EXAMPLE, "config": empty, "layers": [empty]}));
        goes_through("an artifact without a layer of its own", &without).await;

        let mut index = content();
        let child = index.image(&[], json!({}));
        index.index(&["artifact-index"], &[child], json!({"artifactType": EXAMPLE}));
        goes_through("an artifact index", &index).await;

        let mut referrers = content();
        let subject = referrers.image(&["image"], json!({}));
        let empty = referrers.blob(EMPTY, b"{}");
        referrers.image(&[], json!({"subject": subject}));
        let noted = json!({"org.example.note": "hello"});
        let sbom = json!({"artifactType": EXAMPLE, "config": empty, "layers": [empty], "subject": subject});
        referrers.image(&["sbom"], json_with(&sbom, json!({"annotations": noted})));
        referrers.image(&["other"], json_with(&sbom, json!({"artifactType": "application/vnd.example.other"})));
        referrers.index(&[], &[], json!({"subject": subject}));
        referrers.index(&[], &[], json!({"subject": subject, "artifactType": EXAMPLE, "annotations": noted}));
        goes_through("referrers of an image", &referrers).await;

        let mut of_index = content();
        let subject = of_index.index(&["index"], &[], json!({}));
        of_index.index(&["tagged"], &[], json!({"subject": subject, "artifactType": EXAMPLE}));
        goes_through("a referrer of an index", &of_index).await;

        let mut missing = content();
        let unknown =
            json!({"mediaType": INDEX, "digest": oci::Digest::of(algorithm, b"gone").to_string(), "size": 123});
        missing.image(&["tagged"], json!({"artifactType": EXAMPLE, "subject": unknown}));
        goes_through("a referrer of nothing", &missing).await;
    }
}

fn json_with(base: &Value, more: Value) -> Value {
    let mut whole = base.clone();
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    whole
}
