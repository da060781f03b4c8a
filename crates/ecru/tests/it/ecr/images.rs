use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Image, TestApp, digest};

/// An app with the repository `app`, in which the image's blobs lie already.
async fn with_blobs(images: &[&Image]) -> TestApp {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    let docker = app.administrator().docker().await;
    for image in images {
        docker.push_blobs("app", image).await;
    }
    drop(docker);
    app
}

fn put(image: &Image, tag: Option<&str>) -> Value {
    let mut input = json!({"repositoryName": "app", "imageManifest": image.text()});
    if let Some(tag) = tag {
        input["imageTag"] = json!(tag);
    }
    input
}

async fn listed(app: &TestApp, filter: Value) -> Value {
    app.ecr("ListImages", json!({"repositoryName": "app", "filter": filter})).await.ok()["imageIds"].clone()
}

#[tokio::test]
async fn an_image_is_put_and_got_byte_for_byte() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    let answer = app.ecr("PutImage", put(&image, Some("v1"))).await.ok();
    let expected = json!({
        "registryId": "000000000000",
        "repositoryName": "app",
        "imageId": {"imageDigest": image.digest(), "imageTag": "v1"},
        "imageManifest": image.text(),
        "imageManifestMediaType": image.media_type,
    });
    assert_eq!(answer["image"], expected);
    let got = app.ecr("BatchGetImage", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]})).await.ok();
    assert_eq!(got, json!({"images": [expected], "failures": []}));
}

#[tokio::test]
async fn a_manifest_that_is_not_canonical_json_keeps_its_bytes_and_its_digest() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    let spaced = format!("\n {} \n", image.text().replace("\":", "\" :\t"));
    let answer =
        app.ecr("PutImage", json!({"repositoryName": "app", "imageManifest": spaced, "imageTag": "v1"})).await.ok();
    assert_eq!(answer["image"]["imageId"]["imageDigest"], digest(spaced.as_bytes()));
    let docker = app.administrator().docker().await;
    assert_eq!(docker.get("/v2/app/manifests/v1").await.expect(200).body, spaced.as_bytes());
}

#[tokio::test]
async fn a_repeated_put_says_that_the_image_exists() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    app.ecr("PutImage", put(&image, Some("v1"))).await.ok();
    let message = app.ecr("PutImage", put(&image, Some("v1"))).await.error("ImageAlreadyExists");
    let d = image.digest();
    assert_eq!(
        message,
        format!(
            "Image with digest '{d}' and tag 'v1' already exists in the repository with name 'app' in registry with id '000000000000'"
        )
    );
    let message = app.ecr("PutImage", put(&image, None)).await.error("ImageAlreadyExists");
    assert!(message.contains(&format!("Image with digest '{d}' and tag 'null' already exists")), "{message}");
    app.ecr("PutImage", put(&image, Some("v2"))).await.ok();
    assert_eq!(
        listed(&app, json!({})).await,
        json!([{"imageDigest": d, "imageTag": "v1"}, {"imageDigest": d, "imageTag": "v2"}])
    );
}

#[tokio::test]
async fn a_tag_moves_and_the_old_image_stays_untagged() {
    let (old, new) = (Image::new(1), Image::new(2));
    let app = with_blobs(&[&old, &new]).await;
    app.ecr("PutImage", put(&old, Some("v1"))).await.ok();
    app.clock.advance(Duration::from_secs(60));
    app.ecr("PutImage", put(&new, Some("v1"))).await.ok();
    assert_eq!(
        listed(&app, json!({"tagStatus": "TAGGED"})).await,
        json!([{"imageDigest": new.digest(), "imageTag": "v1"}])
    );
    assert_eq!(listed(&app, json!({"tagStatus": "UNTAGGED"})).await, json!([{"imageDigest": old.digest()}]));
    let details = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
    let details = details["imageDetails"].as_array().unwrap();
    assert_eq!(details.len(), 2);
    assert!(details[0].get("imageTags").is_none(), "{}", details[0]);
    assert_eq!(details[1]["imageTags"], json!(["v1"]));
}

#[tokio::test]
async fn an_image_whose_layers_are_missing_is_refused_and_names_them() {
    let image = Image::builder(1).layers(&[100, 200]).build();
    let app = with_blobs(&[]).await;
    let docker = app.administrator().docker().await;
    docker.push_blob("app", &image.blobs[1]).await;
    let message = app.ecr("PutImage", put(&image, Some("v1"))).await.error("LayersNotFound");
    for missing in [&image.blobs[0], &image.blobs[2]] {
        assert!(message.contains(&digest(missing)), "{message}");
    }
    assert!(!message.contains(&digest(&image.blobs[1])), "{message}");
    assert_eq!(listed(&app, json!({})).await, json!([]));
}

#[tokio::test]
async fn a_layer_of_another_repository_is_missing_here() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    app.administrator().repository("other").await;
    let mut input = put(&image, Some("v1"));
    input["repositoryName"] = json!("other");
    app.ecr("PutImage", input).await.error("LayersNotFound");
}

#[tokio::test]
async fn a_foreign_layer_with_urls_need_not_be_there() {
    let base = Image::new(1);
    let mut manifest: Value = serde_json::from_slice(&base.manifest).unwrap();
    let foreign = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": digest(b"elsewhere"), "size": 9, "urls": ["https://example.com/layer"],
    });
    manifest["layers"].as_array_mut().unwrap().push(foreign);
    let app = with_blobs(&[&base]).await;
    let input = json!({"repositoryName": "app", "imageManifest": manifest.to_string(), "imageTag": "v1"});
    app.ecr("PutImage", input).await.ok();
}

#[tokio::test]
async fn an_index_needs_its_children_and_protects_them() {
    let (amd, arm) = (Image::new(1), Image::builder(2).platform("linux", "arm64").build());
    let index = Image::index(&[&amd, &arm]);
    let app = with_blobs(&[&amd, &arm]).await;
    app.ecr("PutImage", put(&amd, None)).await.ok();
    let message = app.ecr("PutImage", put(&index, Some("v1"))).await.error("ReferencedImagesNotFound");
    let d = arm.digest();
    assert_eq!(
        message,
        format!(
            "Images with digests '[{d}]' required for pushing image into repository with name 'app' in the registry with id '000000000000' do not exist"
        )
    );
    app.ecr("PutImage", put(&arm, Some("arm"))).await.ok();
    app.ecr("PutImage", put(&index, Some("v1"))).await.ok();
    for id in [json!({"imageDigest": d}), json!({"imageTag": "arm"})] {
        let answer = app.ecr("BatchDeleteImage", json!({"repositoryName": "app", "imageIds": [id]})).await.ok();
        assert_eq!(answer["imageIds"], json!([]));
        assert_eq!(answer["failures"][0]["failureCode"], "ImageReferencedByManifestList");
        let reason = format!("Requested image referenced by manifest list: [{}]", index.digest());
        assert_eq!(answer["failures"][0]["failureReason"], reason);
    }
    let all = json!([{"imageDigest": amd.digest()}, {"imageDigest": index.digest()}, {"imageDigest": d}]);
    let answer = app.ecr("BatchDeleteImage", json!({"repositoryName": "app", "imageIds": all})).await.ok();
    assert_eq!(answer["failures"], json!([]), "the index goes first, then its children");
    assert_eq!(listed(&app, json!({})).await, json!([]));
}

#[tokio::test]
async fn a_manifest_that_cannot_be_taken_is_invalid_json_syntax() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    let mut no_type: Value = serde_json::from_slice(&image.manifest).unwrap();
    no_type.as_object_mut().unwrap().remove("mediaType");
    let mut schema_1 = no_type.clone();
    schema_1["schemaVersion"] = json!(1);
    let mut artifact = no_type.clone();
    artifact["mediaType"] = json!("application/vnd.oci.artifact.manifest.v1+json");
    for manifest in ["{", "[]", "\"text\"", &no_type.to_string(), &schema_1.to_string(), &artifact.to_string()] {
        let message = app
            .ecr("PutImage", json!({"repositoryName": "app", "imageManifest": manifest}))
            .await
            .error("InvalidParameter");
        assert!(
            message.contains("anifest") && message.contains("failed to satisfy constraint: 'Invalid JSON syntax'"),
            "{message}"
        );
    }
    // AWS's text first, then the cause.
    for (manifest, given, cause) in [
        (image.text(), "application/vnd.oci.image.index.v1+json", ": the manifest says "),
        (
            image.text(),
            "application/vnd.oci.image.index.v1+json",
            ", the request says application/vnd.oci.image.index.v1+json",
        ),
        ("{".to_owned(), image.media_type, ": the manifest is not JSON: EOF"),
        (schema_1.to_string(), image.media_type, ": the manifest's schemaVersion: the value is not 2"),
    ] {
        let input = json!({"repositoryName": "app", "imageManifest": manifest, "imageManifestMediaType": given});
        let message = app.ecr("PutImage", input).await.error("InvalidParameter");
        let aws =
            "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax': the manifest";
        assert!(message.starts_with(aws) && message.contains(cause), "{message}");
    }
    let given = json!({"repositoryName": "app", "imageManifest": no_type.to_string(), "imageManifestMediaType": image.media_type});
    assert_eq!(app.ecr("PutImage", given).await.ok()["image"]["imageManifestMediaType"], image.media_type);
}

#[tokio::test]
async fn a_digest_that_does_not_match_is_refused() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    let mut input = put(&image, Some("v1"));
    input["imageDigest"] = json!(digest(b"other"));
    app.ecr("PutImage", input.clone()).await.error("ImageDigestDoesNotMatch");
    input["imageDigest"] = json!(image.digest());
    app.ecr("PutImage", input).await.ok();
}

#[tokio::test]
async fn a_batch_of_ids_tells_each_failure_apart() {
    let (one, two) = (Image::new(1), Image::new(2));
    let app = with_blobs(&[&one, &two]).await;
    app.ecr("PutImage", put(&one, Some("v1"))).await.ok();
    app.ecr("PutImage", put(&two, Some("v2"))).await.ok();
    let unknown = digest(b"unknown");
    let cases = [
        (json!({"imageTag": "gone"}), "ImageNotFound"),
        (json!({"imageDigest": unknown}), "ImageNotFound"),
        (json!({}), "MissingDigestAndTag"),
        (json!({"imageDigest": "not a digest"}), "InvalidImageDigest"),
        (json!({"imageDigest": two.digest(), "imageTag": "v1"}), "ImageTagDoesNotMatchDigest"),
    ];
    for operation in ["BatchGetImage", "BatchDeleteImage"] {
        for (id, code) in &cases {
            let answer = app.ecr(operation, json!({"repositoryName": "app", "imageIds": [id]})).await.ok();
            assert_eq!(answer["failures"][0]["failureCode"], *code, "{operation} {id}");
            assert_eq!(answer["failures"][0]["imageId"], *id, "{operation}");
            assert!(answer["failures"][0]["failureReason"].as_str().unwrap().len() > 5);
        }
    }
    let ids: Vec<&Value> = cases.iter().map(|(id, _)| id).collect();
    let mut ids = json!(ids);
    ids.as_array_mut().unwrap().push(json!({"imageTag": "v1", "imageDigest": one.digest()}));
    let answer = app.ecr("BatchGetImage", json!({"repositoryName": "app", "imageIds": ids})).await.ok();
    assert_eq!(answer["failures"].as_array().unwrap().len(), cases.len());
    assert_eq!(answer["images"].as_array().unwrap().len(), 1);
    app.ecr("BatchGetImage", json!({"repositoryName": "gone", "imageIds": [{"imageTag": "v1"}]}))
        .await
        .error("RepositoryNotFound");
}

#[tokio::test]
async fn deleting_by_tag_takes_the_tag_and_the_image_with_its_last() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    let d = image.digest();
    for tag in ["a1", "b1", "c1", "d1"] {
        app.ecr("PutImage", put(&image, Some(tag))).await.ok();
    }
    let delete = async |ids: Value| {
        app.ecr("BatchDeleteImage", json!({"repositoryName": "app", "imageIds": ids})).await.ok()["imageIds"].clone()
    };
    assert_eq!(delete(json!([{"imageTag": "a1"}])).await, json!([{"imageDigest": d, "imageTag": "a1"}]));
    assert_eq!(
        delete(json!([{"imageTag": "b1", "imageDigest": d}])).await,
        json!([{"imageDigest": d, "imageTag": "b1"}])
    );
    assert_eq!(
        listed(&app, json!({})).await,
        json!([{"imageDigest": d, "imageTag": "c1"}, {"imageDigest": d, "imageTag": "d1"}])
    );
    let gone = delete(json!([{"imageDigest": d}])).await;
    assert_eq!(gone, json!([{"imageDigest": d, "imageTag": "c1"}, {"imageDigest": d, "imageTag": "d1"}]));
    assert_eq!(listed(&app, json!({})).await, json!([]));

    app.ecr("PutImage", put(&image, Some("last"))).await.ok();
    assert_eq!(delete(json!([{"imageTag": "last"}])).await, json!([{"imageDigest": d, "imageTag": "last"}]));
    assert_eq!(listed(&app, json!({})).await, json!([]), "with its last tag the image goes");

    app.ecr("PutImage", put(&image, None)).await.ok();
    assert_eq!(delete(json!([{"imageDigest": d}])).await, json!([{"imageDigest": d}]));
}

#[tokio::test]
async fn images_are_described_with_all_that_is_known_of_them() {
    let image = Image::builder(1).layers(&[100, 200]).build();
    let app = with_blobs(&[&image]).await;
    app.ecr("PutImage", put(&image, Some("v2"))).await.ok();
    app.ecr("PutImage", put(&image, Some("v1"))).await.ok();
    let details = app
        .ecr("DescribeImages", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}, {"imageTag": "v2"}]}))
        .await
        .ok();
    let size = image.blobs.iter().map(|blob| blob.len()).sum::<usize>();
    let expected = json!([{
        "registryId": "000000000000",
        "repositoryName": "app",
        "imageDigest": image.digest(),
        "imageTags": ["v1", "v2"],
        "imageSizeInBytes": size,
        "imagePushedAt": 1_795_255_200.0,
        "imageManifestMediaType": image.media_type,
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
        "imageStatus": "ACTIVE",
    }]);
    assert_eq!(details["imageDetails"], expected);
    let message = app
        .ecr("DescribeImages", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}, {"imageTag": "gone"}]}))
        .await;
    assert_eq!(
        message.error("ImageNotFound"),
        "The image with imageId {imageDigest:'null', imageTag:'gone'} does not exist within the repository with name 'app' \
         in the registry with id '000000000000'"
    );
}

#[tokio::test]
async fn a_pull_is_recorded_and_a_look_is_not() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    app.ecr("PutImage", put(&image, Some("v1"))).await.ok();
    let docker = app.administrator().docker().await;
    let pulled = async || {
        let details = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
        details["imageDetails"][0].get("lastRecordedPullTime").and_then(Value::as_f64)
    };
    docker.head("/v2/app/manifests/v1").await.expect(200);
    assert_eq!(pulled().await, None);
    app.clock.advance(Duration::from_secs(5));
    docker.get("/v2/app/manifests/v1").await.expect(200);
    assert_eq!(pulled().await, Some(1_795_255_205.0));
}

#[tokio::test]
async fn listings_of_images_are_paged_without_repeats_or_gaps() {
    let images: Vec<Image> = (1..8).map(Image::new).collect();
    let app = with_blobs(&images.iter().collect::<Vec<_>>()).await;
    for (n, image) in images.iter().enumerate() {
        app.clock.advance(Duration::from_secs(1));
        app.ecr("PutImage", put(image, (n % 2 == 0).then_some(format!("v{n}").as_str()))).await.ok();
    }
    for (operation, list, digest_of) in
        [("ListImages", "imageIds", "imageDigest"), ("DescribeImages", "imageDetails", "imageDigest")]
    {
        let mut found = Vec::new();
        let mut input = json!({"repositoryName": "app", "maxResults": 3});
        loop {
            let page = app.ecr(operation, input.clone()).await.ok();
            let items = page[list].as_array().unwrap().clone();
            assert!(items.len() <= 3);
            found.extend(items.iter().map(|item| item[digest_of].as_str().unwrap().to_owned()));
            match page.get("nextToken") {
                Some(token) => input["nextToken"] = token.clone(),
                None => break,
            }
        }
        let mut all: Vec<String> = images.iter().map(Image::digest).collect();
        found.sort();
        all.sort();
        assert_eq!(found, all, "{operation}");
    }
}

#[tokio::test]
async fn filters_of_tag_and_status_choose_images() {
    let (tagged, untagged) = (Image::new(1), Image::new(2));
    let app = with_blobs(&[&tagged, &untagged]).await;
    app.ecr("PutImage", put(&tagged, Some("v1"))).await.ok();
    app.ecr("PutImage", put(&untagged, None)).await.ok();
    for (filter, count) in [
        (json!({}), 2),
        (json!({"tagStatus": "ANY"}), 2),
        (json!({"tagStatus": "TAGGED"}), 1),
        (json!({"tagStatus": "UNTAGGED"}), 1),
        (json!({"imageStatus": "ACTIVE"}), 2),
        (json!({"imageStatus": "ARCHIVED"}), 0),
        (json!({"imageStatus": "ANY", "tagStatus": "TAGGED"}), 1),
    ] {
        for (operation, list) in [("ListImages", "imageIds"), ("DescribeImages", "imageDetails")] {
            let answer = app.ecr(operation, json!({"repositoryName": "app", "filter": filter})).await.ok();
            assert_eq!(answer[list].as_array().unwrap().len(), count, "{operation} {filter}");
        }
    }
}

#[tokio::test]
async fn the_accepted_types_of_a_batch_are_obeyed_by_tag() {
    let image = Image::new(1);
    let app = with_blobs(&[&image]).await;
    app.ecr("PutImage", put(&image, Some("v1"))).await.ok();
    let ask = async |types: Value| {
        let input = json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}], "acceptedMediaTypes": types});
        app.ecr("BatchGetImage", input).await.ok()
    };
    assert_eq!(ask(json!([image.media_type])).await["images"].as_array().unwrap().len(), 1);
    assert_eq!(ask(json!(["application/x-nothing"])).await["failures"][0]["failureCode"], "ImageNotFound");
}

#[tokio::test]
async fn referrers_are_listed_by_subject_and_type() {
    let subject = Image::new(1);
    let signature =
        Image::builder(2).member("artifactType", json!("application/x-signature")).subject(&subject).build();
    let sbom = Image::builder(3)
        .member("artifactType", json!("application/x-sbom"))
        .member("annotations", json!({"tool": "ours"}))
        .subject(&subject)
        .build();
    let app = with_blobs(&[&subject, &signature, &sbom]).await;
    for image in [&subject, &signature, &sbom] {
        app.ecr("PutImage", put(image, None)).await.ok();
        app.clock.advance(Duration::from_secs(1));
    }
    let ask = async |more: Value| {
        let mut input = json!({"repositoryName": "app", "subjectId": {"imageDigest": subject.digest()}});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.ecr("ListImageReferrers", input).await.ok()
    };
    let all = ask(json!({})).await;
    let expected = json!({
        "digest": sbom.digest(), "mediaType": sbom.media_type, "artifactType": "application/x-sbom", "size": sbom.manifest.len(),
        "annotations": {"tool": "ours"}, "artifactStatus": "ACTIVE",
    });
    assert_eq!(all["referrers"].as_array().unwrap().len(), 2);
    assert!(all["referrers"].as_array().unwrap().contains(&expected), "{all}");
    let one = ask(json!({"filter": {"artifactTypes": ["application/x-sbom"]}})).await;
    assert_eq!(one["referrers"], json!([expected]));
    let page = ask(json!({"maxResults": 1})).await;
    let next = ask(json!({"maxResults": 1, "nextToken": page["nextToken"]})).await;
    assert_ne!(page["referrers"][0]["digest"], next["referrers"][0]["digest"]);
    assert!(next.get("nextToken").is_none());
    let details = app
        .ecr("DescribeImages", json!({"repositoryName": "app", "imageIds": [{"imageDigest": sbom.digest()}]}))
        .await
        .ok();
    assert_eq!(details["imageDetails"][0]["subjectManifestDigest"], subject.digest());
    let unknown = json!({"repositoryName": "app", "subjectId": {"imageDigest": digest(b"unknown")}});
    assert_eq!(app.ecr("ListImageReferrers", unknown).await.ok()["referrers"], json!([]));
}

#[tokio::test]
async fn digests_may_be_spelled_in_upper_case_wherever_the_api_takes_one() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let image = Image::new(1);
    caller.docker().await.push("app", "v1", &image).await;
    let (manifest, layer) = (image.digest(), digest(image.layer()));
    let upper = |digest: &str| format!("sha256:{}", digest["sha256:".len()..].to_uppercase());
    let ask = async |operation: &str, input: serde_json::Value| {
        let mut input = input;
        input["repositoryName"] = json!("app");
        caller.ecr(operation, input).await
    };
    let ids = json!({"imageIds": [{"imageDigest": upper(&manifest)}]});
    assert_eq!(ask("BatchGetImage", ids.clone()).await.ok()["images"][0]["imageId"]["imageDigest"], manifest);
    assert_eq!(ask("DescribeImages", ids.clone()).await.ok()["imageDetails"][0]["imageDigest"], manifest);
    let both = json!({"layerDigests": [upper(&layer), layer]});
    let available = ask("BatchCheckLayerAvailability", both).await.ok();
    assert_eq!(available["layers"].as_array().unwrap().len(), 1, "{available}");
    assert_eq!(available["layers"][0]["layerAvailability"], "AVAILABLE");
    assert_eq!(available["layers"][0]["layerDigest"], layer);
    let url = ask("GetDownloadUrlForLayer", json!({"layerDigest": upper(&layer)})).await.ok();
    assert_eq!(url["layerDigest"], layer);
    ask("ListImageReferrers", json!({"subjectId": {"imageDigest": upper(&manifest)}})).await.ok();
    let put = json!({"imageManifest": image.text(), "imageTag": "v2", "imageDigest": upper(&manifest)});
    assert_eq!(ask("PutImage", put).await.ok()["image"]["imageId"]["imageDigest"], manifest);
    let id = ask("InitiateLayerUpload", json!({})).await.ok()["uploadId"].clone();
    let part = json!({"uploadId": id, "partFirstByte": 0, "partLastByte": 0, "layerPartBlob": "YQ=="});
    ask("UploadLayerPart", part).await.ok();
    let complete = json!({"uploadId": id, "layerDigests": [upper(&digest(b"a"))]});
    assert_eq!(ask("CompleteLayerUpload", complete).await.ok()["layerDigest"], digest(b"a"));
    ask("BatchDeleteImage", ids).await.ok();
    ask("DescribeImages", json!({"imageIds": [{"imageDigest": manifest}]})).await.error("ImageNotFound");
}
