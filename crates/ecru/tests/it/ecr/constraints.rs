//! botocore's model as the judge: each documented constraint of a finished operation, broken one at a time, is refused.

use super::FINISHED;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::model::{Broken, Kind};
use testkit::{AwsCaller, Image, Model, Outcome, TestApp, digest};

/// Valid inputs of an operation, which together hold every member that its model has. The world is [`world`]'s.
fn inputs(operation: &str, upload_id: &str) -> Vec<Value> {
    let image = Image::new(1);
    let app = || json!({"registryId": "000000000000", "repositoryName": "app"});
    let on_app = |more: Value| vec![with(app(), more)];
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/app";
    let filters = json!([{"filterType": "WILDCARD", "filter": "v*"}]);
    match operation {
        "BatchCheckLayerAvailability" => on_app(json!({"layerDigests": [digest(b"x")]})),
        "BatchDeleteImage" => on_app(json!({"imageIds": [{"imageTag": "gone", "imageDigest": digest(b"gone")}]})),
        "BatchGetImage" => on_app(
            json!({"imageIds": [{"imageTag": "v1", "imageDigest": image.digest()}], "acceptedMediaTypes": [image.media_type]}),
        ),
        "CompleteLayerUpload" => on_app(json!({"uploadId": upload_id, "layerDigests": [digest(b"bytes")]})),
        "CreateRepository" => vec![
            json!({
                "registryId": "000000000000", "repositoryName": "new1", "tags": [{"Key": "k", "Value": "v"}],
                "imageTagMutability": "MUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": filters,
                "imageScanningConfiguration": {"scanOnPush": true}, "encryptionConfiguration": {"encryptionType": "AES256"},
            }),
            // KMS is refused after the constraints were looked at.
            json!({"repositoryName": "new2", "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "alias/mine"}}),
        ],
        "DeleteRepository" => vec![json!({"registryId": "000000000000", "repositoryName": "spare", "force": true})],
        "DeleteRegistryPolicy" | "GetRegistryPolicy" => vec![json!({})],
        "DeleteRepositoryPolicy" => vec![json!({"registryId": "000000000000", "repositoryName": "shared"})],
        "DescribeImages" => vec![
            with(app(), json!({"imageIds": [{"imageTag": "v1", "imageDigest": image.digest()}]})),
            with(app(), json!({"maxResults": 5, "filter": {"tagStatus": "ANY", "imageStatus": "ANY"}})),
        ],
        "DescribeRegistry" => vec![json!({})],
        "DescribeRepositories" => {
            vec![
                json!({"registryId": "000000000000", "repositoryNames": ["app"]}),
                json!({"registryId": "000000000000", "maxResults": 5}),
            ]
        }
        "GetAccountSetting" => vec![json!({"name": "BLOB_MOUNTING"})],
        "GetAuthorizationToken" => vec![json!({"registryIds": ["000000000000"]})],
        "GetDownloadUrlForLayer" => on_app(json!({"layerDigest": digest(image.layer())})),
        "GetRepositoryPolicy" => vec![app()],
        "InitiateLayerUpload" => vec![app()],
        "ListImageReferrers" => on_app(json!({
            "subjectId": {"imageDigest": image.digest()}, "maxResults": 5,
            "filter": {"artifactTypes": ["application/x"], "artifactStatus": "ANY"},
        })),
        "ListImages" => on_app(json!({"maxResults": 5, "filter": {"tagStatus": "ANY", "imageStatus": "ANY"}})),
        "ListTagsForResource" => vec![json!({"resourceArn": arn})],
        "PutAccountSetting" => vec![json!({"name": "BLOB_MOUNTING", "value": "ENABLED"})],
        "PutImage" => on_app(json!({
            "imageManifest": image.text(), "imageManifestMediaType": image.media_type, "imageTag": "v2", "imageDigest": image.digest(),
        })),
        "PutImageScanningConfiguration" => on_app(json!({"imageScanningConfiguration": {"scanOnPush": true}})),
        "PutImageTagMutability" => on_app(
            json!({"imageTagMutability": "MUTABLE_WITH_EXCLUSION", "imageTagMutabilityExclusionFilters": filters}),
        ),
        "PutRegistryPolicy" => vec![json!({"policyText": POLICY.replace("@", r#""Resource": "*", "#)})],
        "SetRepositoryPolicy" => on_app(json!({"policyText": POLICY.replace('@', ""), "force": true})),
        "TagResource" => vec![json!({"resourceArn": arn, "tags": [{"Key": "k", "Value": "v"}]})],
        "UntagResource" => vec![json!({"resourceArn": arn, "tagKeys": ["k"]})],
        "UploadLayerPart" => {
            on_app(json!({"uploadId": upload_id, "partFirstByte": 5, "partLastByte": 7, "layerPartBlob": "YWJj"}))
        }
        other => panic!("no input for {other}"),
    }
}

/// A policy; `@` is where a registry's names resources.
const POLICY: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", @"Principal": "*", "Action": "ecr:ListImages"}]}"#;

/// The repositories `app`, with an image and a policy, `shared`, with a policy, and `spare`.
async fn world(caller: &AwsCaller<'_>) {
    let text = POLICY.replace('@', "");
    for name in ["app", "shared"] {
        caller.repository(name).await;
        caller.ecr("SetRepositoryPolicy", json!({"repositoryName": name, "policyText": text})).await.ok();
    }
    caller.repository("spare").await;
    caller.docker().await.push("app", "v1", &Image::new(1)).await;
}

/// An upload that holds the bytes `bytes`.
async fn upload(caller: &AwsCaller<'_>) -> String {
    let id = caller.ecr("InitiateLayerUpload", json!({"repositoryName": "app"})).await.ok()["uploadId"].clone();
    let at = json!({"repositoryName": "app", "uploadId": id, "partFirstByte": 0, "partLastByte": 4});
    caller.ecr("UploadLayerPart", with(at, json!({"layerPartBlob": "Ynl0ZXM="}))).await.ok();
    id.as_str().unwrap().to_owned()
}

fn with(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    base
}

/// nextToken has no documented constraint but its type, and is tested with the listings.
fn outside(path: &str) -> bool {
    path == "nextToken"
}

/// Says what is wrong with the answer to a broken input; `None` when it refuses it and names the member.
fn complaint(broken: &Broken, outcome: &Outcome) -> Option<String> {
    if outcome.is_ok() {
        // A batch names a bad id among its failures.
        let codes = match broken.member.as_str() {
            "imageTag" => ["InvalidImageTag", "InvalidImageTag"],
            "imageDigest" => ["InvalidImageDigest", "InvalidImageDigest"],
            "layerDigests" => ["InvalidLayerDigest", "MissingLayerDigest"],
            _ => return Some("was accepted".to_owned()),
        };
        let code = outcome.body["failures"][0]["failureCode"].as_str().unwrap_or_default();
        return (!codes.contains(&code)).then(|| format!("was accepted: {}", outcome.body));
    }
    if broken.kind == Kind::WrongType {
        return (outcome.body["__type"] != "SerializationException")
            .then(|| format!("is no SerializationException: {}", outcome.body));
    }
    let name = outcome.body["__type"].as_str().unwrap_or_default();
    let message = outcome.body["message"].as_str().unwrap_or_default();
    if !name.starts_with("Invalid") && name != "ValidationException" {
        return Some(format!("is refused as {name}: {message}"));
    }
    let names_it = message.to_lowercase().contains(&broken.member.to_lowercase());
    (!names_it).then(|| format!("is refused without its name: {message}"))
}

#[tokio::test]
async fn every_documented_constraint_broken_alone_is_refused_and_the_member_named() {
    let app = TestApp::start().await;
    let caller = app.administrator();
    world(&caller).await;
    let model = Model::load("ecr");
    let mut complaints = Vec::new();
    for operation in FINISHED {
        let mut covered = BTreeSet::new();
        let upload_id = upload(&caller).await;
        // One of the operations deletes it.
        caller.ecr("PutRegistryPolicy", inputs("PutRegistryPolicy", "").remove(0)).await.ok();
        for valid in inputs(operation, &upload_id) {
            for broken in model.breaks(operation, &valid) {
                covered.insert((broken.path.clone(), broken.kind));
                let outcome = caller.ecr(operation, broken.input.clone()).await;
                if let Some(complaint) = complaint(&broken, &outcome) {
                    complaints.push(format!("{operation} {} {:?} {complaint}", broken.path, broken.kind));
                }
            }
            // Refusals changed nothing: the same input unbroken is still good (KMS is refused by itself).
            let outcome = caller.ecr(operation, valid.clone()).await;
            if !outcome.is_ok() && outcome.body["__type"] != "KmsException" {
                complaints.push(format!("{operation} refuses a valid input: {valid} {}", outcome.body));
            }
        }
        let missing: Vec<_> =
            model.constraints(operation).into_iter().filter(|c| !covered.contains(c) && !outside(&c.0)).collect();
        assert!(missing.is_empty(), "{operation}: the inputs above leave out {missing:?}");
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
