use base64::Engine as _;
use serde_json::json;
use testkit::{Docker, Image, TestApp, chance, digest, location, with_query};

#[tokio::test]
async fn what_docker_pushes_the_api_shows_at_once_and_the_other_way_round() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    let (one, two) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &one).await;
    let got =
        caller.ecr("BatchGetImage", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]})).await.ok();
    assert_eq!(got["images"][0]["imageManifest"], one.text());

    for blob in &two.blobs {
        let id = caller.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok()["uploadId"].clone();
        let part = json!({
            "repositoryName": "app", "uploadId": id, "partFirstByte": 0, "partLastByte": blob.len() - 1,
            "layerPartBlob": base64::prelude::BASE64_STANDARD.encode(blob),
        });
        caller.ecr("UploadLayerPart", part).await.ok();
        caller
            .ecr(
                "CompleteLayerUpload",
                json!({"repositoryName": "app", "uploadId": id, "layerDigests": [digest(blob)]}),
            )
            .await
            .ok();
    }
    caller.ecr("PutImage", json!({"repositoryName": "app", "imageManifest": two.text(), "imageTag": "v2"})).await.ok();
    docker.pull("app", "v2", &two).await;
    assert_eq!(docker.get("/v2/app/tags/list").await.json()["tags"], json!(["v1", "v2"]));

    docker.delete("/v2/app/manifests/v2").await.expect(202);
    let failed =
        caller.ecr("BatchGetImage", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v2"}]})).await.ok();
    assert_eq!(failed["failures"][0]["failureCode"], "ImageNotFound");
    caller.ecr("BatchDeleteImage", json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]})).await.ok();
    docker.get("/v2/app/manifests/v1").await.expect(404);
}

#[tokio::test]
async fn an_upload_begun_by_one_door_is_continued_by_the_other() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let docker = caller.docker().await;
    let part = |id: &str, first: usize, bytes: &[u8]| {
        json!({
            "repositoryName": "app", "uploadId": id, "partFirstByte": first, "partLastByte": first + bytes.len() - 1,
            "layerPartBlob": base64::prelude::BASE64_STANDARD.encode(bytes),
        })
    };
    let bytes = chance::bytes(1, 100_000);
    let d = digest(&bytes);

    let id = caller.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok()["uploadId"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/v2/app/blobs/uploads/{id}");
    docker.patch_at(&path, 0, bytes[..30_000].to_vec()).await.expect(202);
    caller.ecr("UploadLayerPart", part(&id, 30_000, &bytes[30_000..60_000])).await.ok();
    let answer = docker.patch_at(&path, 60_000, bytes[60_000..].to_vec()).await.expect(202);
    assert_eq!(answer.header("range"), Some("0-99999"));
    docker.put(&with_query(&location(&answer), &format!("digest={d}")), "").await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{d}")).await.expect(200).body, bytes);

    let other = chance::bytes(2, 50_000);
    let answer = docker.post("/v2/app/blobs/uploads/", "").await.expect(202);
    let id = answer.header("docker-upload-uuid").unwrap();
    caller.ecr("UploadLayerPart", part(id, 0, &other)).await.ok();
    let complete = json!({"repositoryName": "app", "uploadId": id, "layerDigests": [digest(&other)]});
    caller.ecr("CompleteLayerUpload", complete).await.ok();
    assert_eq!(docker.get(&format!("/v2/app/blobs/{}", digest(&other))).await.expect(200).body, other);
}

#[tokio::test]
async fn two_accounts_and_three_regions_are_pushed_to_through_one_address() {
    let app = TestApp::start().await;
    let mut pushed = Vec::new();
    for account in ["000000000000", "111122223333"] {
        for region in ["us-east-1", "eu-west-1", "ap-southeast-2"] {
            let caller = app.account(account, region).with_repository("app").await;
            let image = Image::new(pushed.len() as u64 + 1);
            caller.docker().await.push("app", "v1", &image).await;
            pushed.push((caller, image));
        }
    }
    for (caller, image) in &pushed {
        let docker = caller.docker().await;
        docker.pull("app", "v1", image).await;
        let host = format!("{}.dkr.ecr.{}.localhost:{}", caller.account(), caller.region, app.address.port());
        docker.at(&host).pull("app", "v1", image).await;
        let listed = caller.ecr("ListImages", json!({"repositoryName": "app"})).await.ok();
        assert_eq!(listed["imageIds"], json!([{"imageDigest": image.digest(), "imageTag": "v1"}]));
    }
    // A layer of one registry is not in another, not even under the same name.
    let (first, second) = (&pushed[0], &pushed[1]);
    let blob = digest(first.1.layer());
    second.0.docker().await.head(&format!("/v2/app/blobs/{blob}")).await.expect(404);
}

#[tokio::test]
async fn an_api_host_names_the_region_and_a_registry_host_the_account() {
    let app = TestApp::start().await;
    let port = app.address.port();
    let caller = app.account("111122223333", "eu-west-1").with_repository("app").await;
    let at_api = testkit::AwsCaller { host: Some(format!("api.ecr.eu-west-1.localhost:{port}")), ..caller.clone() };
    at_api.ecr("DescribeRepositories", json!({"repositoryNames": ["app"]})).await.ok();
    let elsewhere = testkit::AwsCaller { host: Some(format!("api.ecr.us-east-1.localhost:{port}")), ..caller.clone() };
    let refused = elsewhere.ecr("DescribeRepositories", json!({})).await;
    assert!(!refused.is_ok(), "a signature for eu-west-1 at the endpoint of us-east-1");
    let host = format!("111122223333.dkr.ecr.eu-west-1.localhost:{port}");
    let docker: Docker<'_> = caller.docker().await.at(&host);
    assert_eq!(docker.get("/v2/_catalog").await.expect(200).json(), json!({"repositories": ["app"]}));
}

#[tokio::test]
async fn two_clients_that_push_the_same_bytes_at_once_both_succeed() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    caller.repository("other").await;
    let image = Image::builder(1).layers(&[200_000, 500]).build();
    let docker = caller.docker().await;
    tokio::join!(
        docker.push("app", "v1", &image),
        docker.push("app", "v2", &image),
        docker.push("other", "v1", &image),
        docker.push("app", "v1", &image),
    );
    docker.pull("app", "v1", &image).await;
    docker.pull("app", "v2", &image).await;
    docker.pull("other", "v1", &image).await;
}
