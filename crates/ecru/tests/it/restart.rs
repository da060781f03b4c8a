//! What a process that starts again finds.

use serde_json::json;
use testkit::{Image, TestApp, chance, digest, location, with_query};

#[tokio::test]
async fn images_tokens_and_page_tokens_outlive_the_process() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    caller.repository("b-other").await;
    let image = Image::builder(1).layers(&[100, 300_000]).build();
    let password = caller.password().await;
    testkit::Docker::new(&app, Some(password.clone())).push("app", "v1", &image).await;
    let token = caller.ecr("DescribeRepositories", json!({"maxResults": 1})).await.ok()["nextToken"].clone();
    let app = app.restart().await;
    testkit::Docker::new(&app, Some(password)).pull("app", "v1", &image).await;
    let page = app.ecr("DescribeRepositories", json!({"maxResults": 1, "nextToken": token})).await.ok();
    assert_eq!(page["repositories"][0]["repositoryName"], "b-other");
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart() {
    let app = TestApp::start().await;
    let caller = app.administrator().with_repository("app").await;
    let password = caller.password().await;
    let bytes = chance::bytes(1, 900_000);
    let (upload, empty) = {
        let docker = testkit::Docker::new(&app, Some(password.clone()));
        let answer = docker.patch_at(&docker.start_upload("app").await, 0, bytes[..400_000].to_vec()).await.expect(202);
        (location(&answer), docker.start_upload("app").await)
    };
    let app = app.restart().await;
    let docker = testkit::Docker::new(&app, Some(password));
    assert_eq!(docker.get(&upload).await.expect(204).header("range"), Some("0-399999"));
    let answer = docker.patch_at(&upload, 400_000, bytes[400_000..].to_vec()).await.expect(202);
    docker.put(&with_query(&location(&answer), &format!("digest={}", digest(&bytes))), "").await.expect(201);
    assert_eq!(docker.get(&format!("/v2/app/blobs/{}", digest(&bytes))).await.expect(200).body, bytes);
    docker.put(&with_query(&empty, &format!("digest={}", digest(b"late"))), "late").await.expect(201);
}
