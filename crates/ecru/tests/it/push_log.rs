//! The push log: every push and every refusal of a known caller has its line, from both doors.

use serde_json::{Value, json};
use std::time::Duration;
use testkit::http::{Answer, Call};
use testkit::{AwsCaller, Image, TestApp, digest};

const CONTAINERD: &str = "docker/26.1.5 containerd-client/1.7.24";
const OWNER: &str = "000000000000";
const STRANGER: &str = "111122223333";

async fn list_push_log(caller: &AwsCaller<'_>, input: Value) -> Answer {
    let call = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Ecru_V20261121.ListPushLog")
        .body(input.to_string());
    caller.send("ecru", call).await
}

/// The lines of the default administrator's repository `app`.
async fn lines(app: &TestApp) -> Vec<Value> {
    let answer = list_push_log(&app.administrator(), json!({"repositoryName": "app"})).await.expect(200).json();
    answer["lines"].as_array().unwrap().clone()
}

/// Lines in short: outcome, tag, and of a refusal what was tried, its status and its code.
fn short(lines: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    lines
        .iter()
        .map(|line| {
            let mut words = vec![text(&line["outcome"]), text(&line["imageTag"])];
            let refusal = &line["refusal"];
            if refusal.is_object() {
                words.extend([
                    text(&refusal["action"]),
                    refusal["statusCode"].to_string(),
                    text(&refusal["errorCode"]),
                ]);
            }
            words.join(" ")
        })
        .collect()
}

async fn immutable(app: &TestApp) {
    app.ecr("CreateRepository", json!({"repositoryName": "app", "imageTagMutability": "IMMUTABLE"})).await.ok();
}

#[tokio::test]
async fn a_push_and_a_refusal_have_their_lines_newest_first() {
    let app = TestApp::start().await;
    immutable(&app).await;
    let docker = app.administrator().docker().await.agent("podman/5.8");
    let (one, two) = (Image::new(1), Image::new(2));
    docker.push("app", "v1", &one).await;
    docker.push_blobs("app", &two).await;
    app.clock.advance(Duration::from_secs(60));
    let refused = docker.put_manifest("app", "v1", &two).await.expect(400);
    let lines = lines(&app).await;
    assert_eq!(short(&lines), ["REFUSED v1 PUT manifest 400 TAG_INVALID", "PUSHED v1"]);
    let refusal = &lines[0];
    assert_eq!(refusal["refusal"]["message"], refused.message(), "the log says what the client was told");
    assert_eq!((&refusal["refusal"]["times"], &refusal["refusal"]["firstAt"]), (&json!(1), &refusal["at"]));
    assert_eq!(refusal["requestId"].as_str(), refused.header("x-request-id"));
    for line in &lines {
        assert_eq!(line["principalArn"], format!("arn:aws:iam::{OWNER}:root"));
        assert_eq!((&line["sourceAddress"], &line["userAgent"]), (&json!("127.0.0.1"), &json!("podman/5.8")));
    }
    assert_eq!(lines[1]["imageDigest"], one.digest());
    assert!(lines[1].get("refusal").is_none() && lines[1]["requestId"].is_string());
    let span = refusal["at"].as_f64().unwrap() - lines[1]["at"].as_f64().unwrap();
    assert_eq!(span, 60.0);
}

#[tokio::test]
async fn every_step_of_a_push_is_logged_where_it_is_refused_on_both_doors() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let docker = owner.docker().await;
    let unknown = "/v2/app/blobs/uploads/00000000-0000-8000-8000-000000000000";
    let image = Image::new(1);
    docker.put_manifest("app", "v1", &image).await.expect(404);
    docker.put("/v2/app/manifests/v2", "{").await.expect(400);
    docker.post("/v2/app/blobs/uploads/?digest=sha256:x", "x").await.expect(400);
    docker.post(&format!("/v2/app/blobs/uploads/?digest={}", digest(b"y")), "x").await.expect(400);
    docker.patch(unknown, "x").await.expect(404);
    docker.put(&format!("{unknown}?digest={}", digest(b"x")), "").await.expect(404);
    // No steps of a push.
    docker.get("/v2/app/manifests/v1").await.expect(404);
    docker.delete("/v2/app/manifests/v1").await.expect(404);
    docker.head(&format!("/v2/app/blobs/{}", digest(b"x"))).await.expect(404);
    docker.get(unknown).await.expect(404);
    docker.post("/v2/absent/blobs/uploads/", "").await.expect(404);

    let upload = "00000000-0000-8000-8000-000000000000";
    for (operation, input) in [
        ("PutImage", json!({"imageManifest": image.text(), "imageTag": "v3"})),
        (
            "UploadLayerPart",
            json!({"uploadId": upload, "partFirstByte": 0, "partLastByte": 0, "layerPartBlob": "YQ=="}),
        ),
        ("CompleteLayerUpload", json!({"uploadId": upload, "layerDigests": [digest(b"x")]})),
        ("PutImage", json!({"imageManifest": image.text(), "imageTag": "not a tag"})),
        ("BatchGetImage", json!({"imageIds": []})),
    ] {
        let mut whole = json!({"repositoryName": "app"});
        whole.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        assert!(!owner.ecr(operation, whole).await.is_ok(), "{operation}");
    }
    owner.ecr("InitiateLayerUpload", json!({"repositoryName": "absent"})).await.error("RepositoryNotFound");

    let mut found = short(&lines(&app).await);
    found.sort();
    assert_eq!(
        found,
        [
            "REFUSED - CompleteLayerUpload 400 UploadNotFoundException",
            "REFUSED - PATCH upload 404 BLOB_UPLOAD_UNKNOWN",
            "REFUSED - POST upload 400 DIGEST_INVALID",
            "REFUSED - POST upload 400 DIGEST_INVALID",
            "REFUSED - PUT upload 404 BLOB_UPLOAD_UNKNOWN",
            "REFUSED - PutImage 400 InvalidParameterException",
            "REFUSED - UploadLayerPart 400 UploadNotFoundException",
            "REFUSED v1 PUT manifest 404 MANIFEST_BLOB_UNKNOWN",
            "REFUSED v2 PUT manifest 400 MANIFEST_INVALID",
            "REFUSED v3 PutImage 400 LayersNotFoundException",
        ]
    );
}

#[tokio::test]
async fn a_part_that_is_parked_beside_an_immutable_tag_has_a_line_that_says_so() {
    let app = TestApp::start().await;
    immutable(&app).await;
    let docker = app.administrator().docker().await.agent(CONTAINERD);
    let image = Image::new(1);
    let attestation = Image::builder(101).no_platform().build();
    let index = Image::index(&[&image, &attestation]);
    docker.push("app", "v1", &image).await;
    docker.push_blobs("app", &attestation).await;
    for part in [&attestation, &index, &attestation] {
        app.clock.advance(Duration::from_secs(1));
        docker.put_manifest("app", "v1", part).await.expect(201);
    }
    let lines = lines(&app).await;
    assert_eq!(short(&lines), ["TAG_KEPT v1", "PUSHED v1", "TAG_KEPT v1", "PUSHED v1"]);
    let digests: Vec<_> = lines.iter().map(|line| (&line["imageDigest"], &line["heldImageDigest"])).collect();
    let [image, attestation, index] = [&image, &attestation, &index].map(|image| json!(image.digest()));
    let nothing = &Value::Null;
    assert_eq!(
        digests,
        [(&attestation, &index), (&index, &image), (&attestation, &image), (&image, nothing)],
        "what was put, and what the tag held"
    );
}

#[tokio::test]
async fn pages_hold_what_they_are_asked_for_and_a_token_is_good_for_its_listing_alone() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await.with_repository("other").await;
    let docker = owner.docker().await;
    let image = Image::new(1);
    docker.push_blobs("app", &image).await;
    for number in 0..5 {
        app.clock.advance(Duration::from_secs(1));
        docker.put_manifest("app", &format!("v{number}"), &image).await.expect(201);
        docker.put(&format!("/v2/app/manifests/bad{number}"), "{").await.expect(400);
    }
    let whole = short(&lines(&app).await);
    assert_eq!(whole.len(), 10);
    let (mut found, mut token, mut first) = (Vec::new(), Value::Null, None);
    loop {
        let input = json!({"repositoryName": "app", "maxResults": 3, "nextToken": token});
        let answer = list_push_log(&owner, input).await.expect(200).json();
        found.extend(answer["lines"].as_array().unwrap().clone());
        token = answer["nextToken"].clone();
        first.get_or_insert_with(|| token.clone());
        if token.is_null() {
            break;
        }
    }
    assert_eq!(short(&found), whole);
    let refused = list_push_log(&owner, json!({"repositoryName": "app", "refusedOnly": true})).await.expect(200).json();
    assert_eq!(refused["lines"].as_array().unwrap().len(), 5);
    for input in [
        json!({"repositoryName": "other", "nextToken": first}),
        json!({"repositoryName": "app", "refusedOnly": true, "nextToken": first}),
        json!({"repositoryName": "app", "nextToken": "x"}),
        json!({"repositoryName": "app", "maxResults": 0}),
        json!({"repositoryName": "app", "maxResults": 1001}),
        json!({"repositoryName": "App"}),
        json!({}),
        json!({"repositoryName": "app", "registryId": "1"}),
    ] {
        let answer = list_push_log(&owner, input.clone()).await.expect(400).json();
        assert_eq!(answer["__type"], "InvalidParameterException", "{input}: {answer}");
    }
    let absent = list_push_log(&owner, json!({"repositoryName": "absent"})).await.expect(400).json();
    assert_eq!(absent["__type"], "RepositoryNotFoundException");
    let serialization = list_push_log(&owner, json!({"repositoryName": "app", "refusedOnly": "yes"})).await.expect(400);
    assert_eq!(serialization.json()["__type"], "SerializationException");
}

#[tokio::test]
async fn a_log_is_its_registrys_and_a_stranger_who_was_denied_takes_one_line_of_it() {
    let app = TestApp::start().await;
    let owner = app.administrator().with_repository("app").await;
    let stranger = app.account(STRANGER, "us-east-1").with_repository("app").await;
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let docker = stranger.docker().await.at(&host);
    let image = Image::new(1);
    for number in 0..200 {
        docker.put_manifest("app", &format!("v{number}"), &image).await.expect(403);
    }
    let own = lines(&app).await;
    assert_eq!(short(&own), ["REFUSED v199 PUT manifest 403 DENIED"]);
    assert_eq!(own[0]["refusal"]["times"], 200);
    assert_eq!(own[0]["principalArn"], format!("arn:aws:iam::{STRANGER}:root"));

    // Without a registry a caller asks about its own.
    let theirs = list_push_log(&stranger, json!({"repositoryName": "app"})).await.expect(200).json();
    assert_eq!(theirs["lines"], json!([]));
    let named =
        list_push_log(&stranger, json!({"repositoryName": "app", "registryId": OWNER})).await.expect(400).json();
    assert_eq!(named["__type"], "AccessDeniedException");
    let arn = format!("arn:aws:ecr:us-east-1:{OWNER}:repository/app");
    assert!(named["message"].as_str().unwrap().contains(&format!("ecru:ListPushLog on resource: {arn}")), "{named}");
    let elsewhere = app.account(OWNER, "eu-west-1");
    let other_region = list_push_log(&elsewhere, json!({"repositoryName": "app"})).await.expect(400).json();
    assert_eq!(other_region["__type"], "RepositoryNotFoundException");
    drop(owner);
}

#[tokio::test]
async fn the_log_survives_a_restart_and_ends_with_its_repository() {
    let app = TestApp::start().await;
    app.administrator().repository("app").await;
    app.administrator().docker().await.put("/v2/app/manifests/v1", "{").await.expect(400);
    assert_eq!(lines(&app).await.len(), 1);
    let app = app.restart().await;
    assert_eq!(short(&lines(&app).await), ["REFUSED v1 PUT manifest 400 MANIFEST_INVALID"]);
    app.ecr("DeleteRepository", json!({"repositoryName": "app"})).await.ok();
    app.administrator().repository("app").await;
    assert_eq!(lines(&app).await, Vec::<Value>::new());
}
