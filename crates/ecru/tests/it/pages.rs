//! How long a page is when nobody says so (`ECR.md` A.10, B.7).
use serde_json::{Value, json};
use testkit::{Image, TestApp};

fn count(list: &Value) -> usize {
    list.as_array().unwrap().len()
}

#[tokio::test]
async fn a_hundred_repositories_are_a_page() {
    let app = TestApp::start().await;
    for n in 0..101 {
        app.administrator().repository(&format!("r{n:03}")).await;
    }
    let page = app.ecr("DescribeRepositories", json!({})).await.ok();
    assert_eq!((count(&page["repositories"]), page["nextToken"].is_string()), (100, true));
    let whole = app.ecr("DescribeRepositories", json!({"maxResults": 1000})).await.ok();
    assert_eq!((count(&whole["repositories"]), whole.get("nextToken")), (101, None));
    let docker = app.administrator().docker().await;
    let catalog = docker.get("/v2/_catalog").await.expect(200);
    assert_eq!((count(&catalog.json()["repositories"]), catalog.header("link").is_some()), (100, true));
}

#[tokio::test]
async fn a_hundred_tags_are_a_page_on_both_doors() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    for n in 0..101 {
        docker.put_manifest("app", &format!("t{n:03}"), &image).await.expect(201);
    }
    let page = app.ecr("ListImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!((count(&page["imageIds"]), page["nextToken"].is_string()), (100, true));
    let tags = docker.get("/v2/app/tags/list").await.expect(200);
    assert_eq!((count(&tags.json()["tags"]), tags.header("link").is_some()), (100, true));
    let detail = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!(count(&detail["imageDetails"][0]["imageTags"]), 101);
}

#[tokio::test]
async fn a_hundred_images_and_twenty_referrers_are_a_page() {
    let app = TestApp::start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let subject = Image::new(1);
    docker.push("app", "subject", &subject).await;
    for n in 0..100 {
        // The same blobs each time, so that only the manifest is new.
        let referrer = Image::builder(2).member("annotations", json!({"n": n.to_string()})).subject(&subject).build();
        if n == 0 {
            docker.push_blobs("app", &referrer).await;
        }
        docker.put_manifest("app", &referrer.digest(), &referrer).await.expect(201);
    }
    let page = app.ecr("DescribeImages", json!({"repositoryName": "app"})).await.ok();
    assert_eq!((count(&page["imageDetails"]), page["nextToken"].is_string()), (100, true));
    let subject = json!({"repositoryName": "app", "subjectId": {"imageDigest": subject.digest()}});
    let page = app.ecr("ListImageReferrers", subject).await.ok();
    assert_eq!((count(&page["referrers"]), page["nextToken"].is_string()), (20, true));
}
