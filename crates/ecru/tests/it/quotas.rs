//! The quotas of `ECR.md` M, made small.

use base64::Engine as _;
use kernel::limits::Limits;
use serde_json::json;
use testkit::{Image, TestApp, chance, digest, location, with_query};

async fn app(limits: Limits) -> TestApp {
    TestApp::builder().limits(limits).start().await
}

#[tokio::test]
async fn a_registry_has_so_many_repositories_and_each_registry_its_own() {
    let app = app(Limits { repositories_per_registry: 2, ..Limits::default() }).await;
    for name in ["a1", "b1"] {
        app.administrator().repository(name).await;
    }
    app.ecr("CreateRepository", json!({"repositoryName": "c1"})).await.error("LimitExceeded");
    app.account("000000000000", "eu-west-1").repository("c1").await;
    app.ecr("DeleteRepository", json!({"repositoryName": "a1"})).await.ok();
    app.administrator().repository("c1").await;
}

#[tokio::test]
async fn a_repository_has_so_many_images_and_an_image_so_many_tags() {
    let app = app(Limits { images_per_repository: 2, tags_per_image: 2, ..Limits::default() }).await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let images: Vec<Image> = (1..4).map(Image::new).collect();
    for image in &images {
        docker.push_blobs("app", image).await;
    }
    docker.put_manifest("app", "a1", &images[0]).await.expect(201);
    docker.put_manifest("app", "b1", &images[1]).await.expect(201);
    for (image, tag) in [(&images[2], "c1"), (&images[0], "three")] {
        if tag == "three" {
            docker.put_manifest("app", "two", image).await.expect(201);
        }
        let answer = docker.put_manifest("app", tag, image).await;
        assert!((400..500).contains(&answer.status), "{tag}: {answer:?}");
        let put = json!({"repositoryName": "app", "imageManifest": image.text(), "imageTag": tag});
        app.ecr("PutImage", put).await.error("LimitExceeded");
        docker.head(&format!("/v2/app/manifests/{tag}")).await.expect(404);
    }
    docker.delete("/v2/app/manifests/b1").await.expect(202);
    docker.put_manifest("app", "c1", &images[2]).await.expect(201);
}

#[tokio::test]
async fn a_layer_has_so_many_bytes_by_every_way_in() {
    let app = app(Limits { layer_bytes: 100_000, ..Limits::default() }).await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    for (size, good) in [(100_000, true), (100_001, false)] {
        let bytes = chance::bytes(size as u64, size);
        let d = digest(&bytes);
        let whole = docker.post(&format!("/v2/app/blobs/uploads/?digest={d}"), bytes.clone()).await;
        let patched = docker.patch(&docker.start_upload("app").await, bytes.clone()).await;
        let upload = docker.start_upload("app").await;
        let put = docker.put(&with_query(&upload, &format!("digest={d}")), bytes.clone()).await;
        if good {
            whole.expect(201);
            put.expect(201);
            docker.put(&with_query(&location(&patched.expect(202)), &format!("digest={d}")), "").await.expect(201);
            continue;
        }
        for (way, answer) in [("POST", whole), ("PATCH", patched), ("PUT", put)] {
            assert!((400..500).contains(&answer.status), "{way}: {answer:?}");
        }
        docker.head(&format!("/v2/app/blobs/{d}")).await.expect(404);
        let id = caller.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok()["uploadId"].clone();
        let at = json!({
            "repositoryName": "app", "uploadId": id, "partFirstByte": 0, "partLastByte": size - 1,
            "layerPartBlob": base64::prelude::BASE64_STANDARD.encode(&bytes),
        });
        caller.ecr("UploadLayerPart", at).await.error("LimitExceeded");
    }
}

#[tokio::test]
async fn an_upload_has_so_many_parts() {
    let app = app(Limits { layer_parts: 3, ..Limits::default() }).await;
    let caller = app.administrator().with_repository("app").await;
    let id = caller.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok()["uploadId"].clone();
    for n in 0..4 {
        let part = json!({
            "repositoryName": "app", "uploadId": id, "partFirstByte": n, "partLastByte": n, "layerPartBlob": "YQ==",
        });
        let outcome = caller.ecr("UploadLayerPart", part).await;
        match n {
            3 => drop(outcome.error("LimitExceeded")),
            _ => drop(outcome.ok()),
        }
    }
}
