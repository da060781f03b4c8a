//! Several tags in one PUT of a manifest by its digest (OCI distribution-spec "Pushing Manifests").

use serde_json::{Value, json};
use testkit::{Answer, Image, TestApp};

async fn app(mutability: &str, filters: Option<&[&str]>) -> TestApp {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    let mut input = json!({"repositoryName": "app", "imageTagMutability": mutability});
    if let Some(filters) = filters {
        let filters: Vec<Value> =
            filters.iter().map(|filter| json!({"filterType": "WILDCARD", "filter": filter})).collect();
        input["imageTagMutabilityExclusionFilters"] = json!(filters);
    }
    app.ecr("PutImageTagMutability", input).await.ok();
    app
}

/// The path's end for a digest and its tags.
fn reference(image: &Image, tags: &[&str]) -> String {
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    format!("{}?{}", image.digest(), query.join("&"))
}

fn tag_lines(answer: &Answer) -> Vec<&str> {
    answer.headers.iter().filter(|(name, _)| name == "oci-tag").map(|(_, value)| value.as_str()).collect()
}

fn stored_tags(answer: &Answer) -> Vec<&str> {
    tag_lines(answer).into_iter().flat_map(|line| line.split(", ")).collect()
}

async fn listed(app: &TestApp) -> Value {
    app.administrator().docker().await.get("/v2/app/tags/list").await.expect(200).json()["tags"].clone()
}

#[tokio::test]
async fn one_put_stores_every_tag_and_says_which() {
    let app = app("MUTABLE", None).await;
    let docker = app.administrator().docker().await;
    let (image, other) = (Image::new(1), Image::new(2));
    docker.push("app", "latest", &other).await;
    docker.push_blobs("app", &image).await;
    let answer = docker.put_manifest("app", &reference(&image, &["1.2.3", "1.2", "latest", "1.2"]), &image).await;
    let answer = answer.expect(201);
    assert_eq!(stored_tags(&answer), ["1.2.3", "1.2", "latest"]);
    assert_eq!(answer.header("docker-content-digest"), Some(image.digest().as_str()));
    assert_eq!(listed(&app).await, json!(["1.2", "1.2.3", "latest"]));
    for tag in ["1.2.3", "1.2", "latest"] {
        docker.pull("app", tag, &image).await;
    }
    // The moved tag's image stays, untagged; the counts of tags are right, so that each image goes with its last tag.
    docker.pull("app", &other.digest(), &other).await;
    let again = docker.put_manifest("app", &reference(&image, &["1.2", "new"]), &image).await.expect(201);
    assert_eq!(stored_tags(&again), ["1.2", "new"], "one that stands there already is stored as well");
    for (tag, left) in [("1.2.3", 200), ("1.2", 200), ("new", 200), ("latest", 404)] {
        docker.delete(&format!("/v2/app/manifests/{tag}")).await.expect(202);
        docker.head(&format!("/v2/app/manifests/{}", image.digest())).await.expect(left);
    }
}

#[tokio::test]
async fn a_put_by_digest_alone_stores_no_tag_and_says_none() {
    let app = app("MUTABLE", None).await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let answer = docker.put_manifest("app", &image.digest(), &image).await.expect(201);
    assert!(stored_tags(&answer).is_empty());
    assert_eq!(listed(&app).await, json!([]));
}

#[tokio::test]
async fn a_tag_that_may_not_move_refuses_the_whole_push_and_is_named() {
    let app = app("IMMUTABLE_WITH_EXCLUSION", Some(&["dev-*"])).await;
    let docker = app.administrator().docker().await;
    let (image, other) = (Image::new(1), Image::new(2));
    for tag in ["v1", "dev-1"] {
        docker.push("app", tag, &image).await;
    }
    docker.push_blobs("app", &other).await;
    let refused = docker.put_manifest("app", &reference(&other, &["dev-1", "v2", "v1"]), &other).await.expect(400);
    assert_eq!(refused.code(), "TAG_INVALID");
    assert!(refused.message().contains("'v1'") && refused.message().contains("immutable"), "{}", refused.message());
    assert_eq!(listed(&app).await, json!(["dev-1", "v1"]), "all or nothing");
    docker.pull("app", "dev-1", &image).await;
    docker.head(&format!("/v2/app/manifests/{}", other.digest())).await.expect(404);
    // The same digest is no move.
    let again = docker.put_manifest("app", &reference(&image, &["v1", "v3", "dev-1"]), &image).await.expect(201);
    assert_eq!(stored_tags(&again), ["v1", "v3", "dev-1"]);
}

#[tokio::test]
async fn each_tag_has_the_push_window_of_containerds_clients() {
    let app = app("IMMUTABLE", None).await;
    let docker = app.administrator().docker().await.agent("containerd-client/1.7.24");
    let (image, attestation) = (Image::new(1), Image::builder(2).no_platform().build());
    let index = Image::index(&[&image, &attestation]);
    for part in [&image, &attestation] {
        docker.push_blobs("app", part).await;
    }
    let tags = ["v1", "v1.0"];
    let first = docker.put_manifest("app", &reference(&image, &tags), &image).await.expect(201);
    assert_eq!(stored_tags(&first), tags);
    let parked = docker.put_manifest("app", &reference(&attestation, &tags), &attestation).await.expect(201);
    assert!(stored_tags(&parked).is_empty());
    let warnings: Vec<&str> =
        parked.headers.iter().filter(|(name, _)| name == "warning").map(|(_, value)| value.as_str()).collect();
    assert!(
        warnings.len() == 2 && warnings[0].contains("tag v1 ") && warnings[1].contains("tag v1.0 "),
        "{warnings:?}"
    );
    let closed = docker.put_manifest("app", &reference(&index, &tags), &index).await.expect(201);
    assert_eq!(stored_tags(&closed), tags);
    for tag in tags {
        docker.pull("app", tag, &index).await;
    }
}

#[tokio::test]
async fn a_push_takes_a_hundred_tags_and_no_more() {
    let app = app("MUTABLE", None).await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let names: Vec<String> = (0..101).map(|n| format!("{n:0>128}")).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused = docker.put_manifest("app", &reference(&image, &tags), &image).await.expect(414);
    assert!(refused.message().contains("100"), "{}", refused.message());
    assert_eq!(listed(&app).await, json!([]));
    let stored = docker.put_manifest("app", &reference(&image, &tags[..100]), &image).await.expect(201);
    assert_eq!(stored_tags(&stored), &tags[..100]);
}

#[tokio::test]
async fn a_bad_tag_is_named_and_nothing_is_stored() {
    let app = app("MUTABLE", None).await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    for bad in ["-x", "a+b", "", "a:b"] {
        let answer = docker.put_manifest("app", &reference(&image, &["v1", &bad.replace('+', "%2B")]), &image).await;
        assert_eq!(answer.clone().expect(400).code(), "TAG_INVALID", "{bad}");
        assert!(answer.message().contains(&format!("'{bad}'")), "{}", answer.message());
    }
    let answer = docker.put_manifest("app", "v1?tag=v2", &image).await.expect(400);
    assert_eq!(answer.code(), "TAG_INVALID");
    docker.head(&format!("/v2/app/manifests/{}", image.digest())).await.expect(404);
}

#[tokio::test]
async fn every_tag_counts_towards_the_most_tags_of_an_image() {
    let limits = kernel::limits::Limits { tags_per_image: 3, ..Default::default() };
    let app = TestApp::builder().limits(limits).start().await;
    let docker = app.administrator().with_repository("app").await.docker().await;
    let image = Image::new(1);
    docker.push("app", "a", &image).await;
    docker.put_manifest("app", &reference(&image, &["b", "c", "d"]), &image).await.expect(403);
    assert_eq!(listed(&app).await, json!(["a"]));
    docker.put_manifest("app", &reference(&image, &["a", "b", "c"]), &image).await.expect(201);
}

/// Python's `http.client` takes 100 headers and lines of 64 KiB, nginx by default 4 KiB for a line.
#[tokio::test]
async fn a_hundred_tags_are_answered_in_few_lines() {
    let app = app("MUTABLE", None).await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    let long = "t".repeat(125);
    for (prefix, most) in [("v", 1), (long.as_str(), 15)] {
        let tags: Vec<String> = (0..100).rev().map(|i| format!("{prefix}{i:03}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let answer = docker.put_manifest("app", &reference(&image, &tags), &image).await.expect(201);
        assert_eq!(stored_tags(&answer), tags);
        assert_eq!(tag_lines(&answer).len(), most);
        assert!(answer.headers.len() < 30 && tag_lines(&answer).iter().all(|line| line.len() <= 1024));
    }
}
