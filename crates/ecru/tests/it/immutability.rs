//! Tags that may not move: the four modes of `ECR.md` C, and the push window of R.

use serde_json::json;
use std::time::Duration;
use testkit::{Docker, Image, TestApp};

const CONTAINERD: &str = "docker/26.1.5 containerd-client/1.7.24";

async fn app(mode: &str, filters: &[&str]) -> TestApp {
    let app = TestApp::start().await;
    let mut input = json!({"repositoryName": "app", "imageTagMutability": mode});
    if !filters.is_empty() {
        input["imageTagMutabilityExclusionFilters"] =
            filters.iter().map(|f| json!({"filterType": "WILDCARD", "filter": f})).collect();
    }
    app.ecr("CreateRepository", input).await.ok();
    app
}

/// The digest that a tag holds.
async fn held(docker: &Docker<'_>, tag: &str) -> String {
    docker
        .head(&format!("/v2/app/manifests/{tag}"))
        .await
        .expect(200)
        .header("docker-content-digest")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn each_mode_lets_the_tags_move_that_it_says() {
    let cases: &[(&str, &[&str], &str, bool)] = &[
        ("MUTABLE", &[], "v1", true),
        ("IMMUTABLE", &[], "v1", false),
        ("IMMUTABLE_WITH_EXCLUSION", &["dev-*", "latest"], "dev-1", true),
        ("IMMUTABLE_WITH_EXCLUSION", &["dev-*", "latest"], "dev-", true),
        ("IMMUTABLE_WITH_EXCLUSION", &["dev-*", "latest"], "latest", true),
        ("IMMUTABLE_WITH_EXCLUSION", &["dev-*", "latest"], "latest1", false),
        ("IMMUTABLE_WITH_EXCLUSION", &["dev-*", "latest"], "mydev-1", false),
        ("IMMUTABLE_WITH_EXCLUSION", &["*a*"], "xay", true),
        ("MUTABLE_WITH_EXCLUSION", &["v*"], "v1", false),
        ("MUTABLE_WITH_EXCLUSION", &["v*"], "w1", true),
        ("MUTABLE_WITH_EXCLUSION", &["release"], "release", false),
    ];
    for (mode, filters, tag, moves) in cases {
        let app = app(mode, filters).await;
        let docker = app.administrator().docker().await;
        let (one, two, three) = (Image::new(1), Image::new(2), Image::new(3));
        docker.push("app", tag, &one).await;
        docker.push_blobs("app", &two).await;
        docker.push_blobs("app", &three).await;
        let answer = docker.put_manifest("app", tag, &two).await;
        let put = json!({"repositoryName": "app", "imageManifest": three.text(), "imageTag": tag});
        let outcome = app.ecr("PutImage", put).await;
        if *moves {
            answer.expect(201);
            outcome.ok();
            assert_eq!(held(&docker, tag).await, three.digest());
        } else {
            let text = format!(
                "The image tag '{tag}' already exists in the 'app' repository and cannot be overwritten because the tag is immutable."
            );
            let answer = answer.expect(400);
            assert_eq!(answer.code(), "TAG_INVALID");
            assert!(
                answer.message().starts_with(&text) && answer.message().contains(&one.digest()),
                "{}",
                answer.message()
            );
            assert_eq!(outcome.error("ImageTagAlreadyExists"), text);
            assert_eq!(held(&docker, tag).await, one.digest());
        }
    }
}

#[tokio::test]
async fn the_same_image_again_is_no_move_on_the_docker_door_and_an_error_on_the_api() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    docker.push("app", "v1", &image).await;
    app.clock.advance(Duration::from_secs(3600));
    docker.push("app", "v1", &image).await;
    let put = json!({"repositoryName": "app", "imageManifest": image.text(), "imageTag": "v1"});
    let refused = app.ecr("PutImage", put).await;
    assert!(
        ["ImageAlreadyExistsException", "ImageTagAlreadyExistsException"]
            .contains(&refused.body["__type"].as_str().unwrap())
    );
}

#[tokio::test]
async fn immutability_blocks_no_delete_no_new_tag_and_no_push_by_digest() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await;
    let (one, two) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &one).await;
    docker.put_manifest("app", "v2", &one).await.expect(201);
    docker.push("app", &two.digest(), &two).await;
    docker.put_manifest("app", "v1", &two).await.expect(400);
    docker.delete("/v2/app/manifests/v1").await.expect(202);
    docker.put_manifest("app", "v1", &two).await.expect(201);
    docker.pull("app", "v1", &two).await;
}

#[tokio::test]
async fn a_change_of_mode_holds_at_once() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await;
    let (one, two) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &one).await;
    docker.push_blobs("app", &two).await;
    docker.put_manifest("app", "v1", &two).await.expect(400);
    app.ecr("PutImageTagMutability", json!({"repositoryName": "app", "imageTagMutability": "MUTABLE"})).await.ok();
    docker.put_manifest("app", "v1", &two).await.expect(201);
}

struct Push {
    image: Image,
    attestation: Image,
    index: Image,
}

/// What docker 26.1 with the containerd store pushes to one tag: the image, its attestation, and the index that lists both.
fn containerd_push(seed: u64) -> Push {
    let image = Image::new(seed);
    let attestation = Image::builder(seed + 100).no_platform().build();
    let index = Image::index(&[&image, &attestation]);
    Push { image, attestation, index }
}

/// Pushes to the tag as docker 26.1 does and returns the three answers' statuses.
async fn send(docker: &Docker<'_>, push: &Push) -> [u16; 3] {
    docker.push_blobs("app", &push.image).await;
    docker.push_blobs("app", &push.attestation).await;
    let mut statuses = [0; 3];
    for (status, image) in statuses.iter_mut().zip([&push.image, &push.attestation, &push.index]) {
        let answer = docker.put_manifest("app", "v1", image).await;
        if answer.status == 201 {
            assert_eq!(
                answer.header("docker-content-digest"),
                Some(image.digest().as_str()),
                "the digest of what was put"
            );
        }
        *status = answer.status;
    }
    statuses
}

#[tokio::test]
async fn the_three_puts_of_containerds_store_make_one_push_and_so_do_their_repeats() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await.agent(CONTAINERD);
    let push = containerd_push(1);
    for pause in [0, 1, 10, 86_400] {
        app.clock.advance(Duration::from_secs(pause));
        let docker = app.administrator().docker().await.agent(CONTAINERD);
        assert_eq!(send(&docker, &push).await, [201, 201, 201], "after {pause} s");
        assert_eq!(held(&docker, "v1").await, push.index.digest());
    }
    drop(docker);
}

#[tokio::test]
async fn a_put_that_moves_nothing_says_so_in_a_warning() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await.agent(CONTAINERD);
    let push = containerd_push(1);
    docker.push("app", "v1", &push.image).await;
    docker.push_blobs("app", &push.attestation).await;
    let parked = docker.put_manifest("app", "v1", &push.attestation).await.expect(201);
    assert!(parked.header("warning").is_some_and(|w| w.starts_with("299 ")), "{:?}", parked.headers);
    assert_eq!(held(&docker, "v1").await, push.image.digest());
    docker.pull("app", &push.attestation.digest(), &push.attestation).await;
}

#[tokio::test]
async fn outside_the_window_or_for_another_client_the_tag_stays_where_it_is() {
    let cases: &[(&str, u64, bool)] = &[(CONTAINERD, 4, true), (CONTAINERD, 6, false), ("docker/20.10.24", 0, false)];
    for (agent, pause, taken) in cases {
        let app = app("IMMUTABLE", &[]).await;
        let push = containerd_push(1);
        let docker = app.administrator().docker().await.agent(agent);
        docker.push("app", "v1", &push.image).await;
        docker.push("app", &push.attestation.digest(), &push.attestation).await;
        app.clock.advance(Duration::from_secs(*pause));
        let answer = docker.put_manifest("app", "v1", &push.index).await;
        assert_eq!(answer.status, if *taken { 201 } else { 400 }, "{agent} after {pause} s");
        let expected = if *taken { &push.index } else { &push.image };
        assert_eq!(held(&docker, "v1").await, expected.digest(), "{agent} after {pause} s");
    }
}

#[tokio::test]
async fn each_step_of_a_push_opens_the_window_again_and_the_index_closes_it() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await.agent(CONTAINERD);
    let push = containerd_push(1);
    docker.push_blobs("app", &push.attestation).await;
    docker.push("app", "v1", &push.image).await;
    app.clock.advance(Duration::from_secs(4));
    docker.put_manifest("app", "v1", &push.attestation).await.expect(201);
    app.clock.advance(Duration::from_secs(4));
    docker.put_manifest("app", "v1", &push.index).await.expect(201);
    let other = Image::index(&[&push.image]);
    docker.put_manifest("app", "v1", &other).await.expect(400);
    let outer = Image::index(&[&push.index]);
    docker.put_manifest("app", "v1", &outer).await.expect(400);
    assert_eq!(held(&docker, "v1").await, push.index.digest());
}

#[tokio::test]
async fn another_manifest_of_the_same_platform_is_a_move() {
    let app = app("IMMUTABLE", &[]).await;
    let docker = app.administrator().docker().await.agent(CONTAINERD);
    let (one, two) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &one).await;
    docker.push_blobs("app", &two).await;
    docker.put_manifest("app", "v1", &two).await.expect(400);
    let arm = Image::builder(3).platform("linux", "arm64").build();
    docker.push_blobs("app", &arm).await;
    docker.put_manifest("app", "v1", &arm).await.expect(201);
    assert_eq!(held(&docker, "v1").await, one.digest());
}

#[tokio::test]
async fn a_push_that_was_cut_may_be_tried_again_later() {
    let app = app("IMMUTABLE", &[]).await;
    let push = containerd_push(1);
    let docker = app.administrator().docker().await.agent(CONTAINERD);
    docker.push("app", "v1", &push.image).await;
    app.clock.advance(Duration::from_secs(3600));
    assert_eq!(send(&docker, &push).await, [201, 201, 201]);
    assert_eq!(held(&docker, "v1").await, push.index.digest());
}
