//! Every operation of every service and every endpoint, as nobody and as a stranger, who is another account's administrator.
//! The operations come from the tables of the doors, so that none can be forgotten.
use aws::AccountId;
use call::{Protocol, Service};
use ecru::doors::operations;
use registry::RegistryId;
use serde_json::{Value, json};
use testkit::http::{Answer, Call};
use testkit::{AwsCaller, Docker, Image, TestApp, digest};

const OWNER: &str = "000000000000";
const STRANGER: &str = "111122223333";

/// What needs a signature and no permission. This list may only shrink.
const FREE: &[&str] = &["GetCallerIdentity"];

/// What the `ecru` door has that is about a registry, and is judged there.
const OF_REGISTRY: &[&str] = &["ListPushLog"];

/// A valid input of each operation on the owner's registry; `None` where no input can name another's registry.
fn input(operation: &str) -> Option<Value> {
    let arn = format!("arn:aws:ecr:us-east-1:{OWNER}:repository/app");
    let image = Image::new(1);
    let upload = "00000000-0000-8000-8000-000000000000";
    let own = match operation {
        "DescribeRegistry" | "GetAccountSetting" | "PutAccountSetting" | "GetAuthorizationToken" => return None,
        "GetCallerIdentity" => return None,
        // The server belongs to the default account: whoever calls, these are about it.
        "ListPushLog" => json!({}),
        "ListJobs" | "ServerStatus" => return Some(json!({})),
        "RetryJobs" => return Some(json!({"kind": "upload_expire"})),
        "ListTagsForResource" => return Some(json!({"resourceArn": arn})),
        "TagResource" => return Some(json!({"resourceArn": arn, "tags": [{"Key": "k", "Value": "v"}]})),
        "UntagResource" => return Some(json!({"resourceArn": arn, "tagKeys": ["k"]})),
        "BatchCheckLayerAvailability" => json!({"layerDigests": [digest(image.layer())]}),
        "BatchDeleteImage" | "BatchGetImage" => json!({"imageIds": [{"imageTag": "v1"}]}),
        "CompleteLayerUpload" => json!({"uploadId": upload, "layerDigests": [digest(b"x")]}),
        "GetDownloadUrlForLayer" => json!({"layerDigest": digest(image.layer())}),
        "ListImageReferrers" => json!({"subjectId": {"imageDigest": image.digest()}}),
        "PutImage" => json!({"imageManifest": image.text(), "imageTag": "stolen"}),
        "PutImageScanningConfiguration" => json!({"imageScanningConfiguration": {"scanOnPush": true}}),
        "PutImageTagMutability" => json!({"imageTagMutability": "IMMUTABLE"}),
        "UploadLayerPart" => {
            json!({"uploadId": upload, "partFirstByte": 0, "partLastByte": 0, "layerPartBlob": "YQ=="})
        }
        "DescribeRepositories" => return Some(json!({"registryId": OWNER})),
        "CreateRepository" | "DeleteRepository" | "DescribeImages" | "InitiateLayerUpload" | "ListImages" => json!({}),
        other => panic!("no input for {other}: a new operation needs one here"),
    };
    let mut whole = json!({"registryId": OWNER, "repositoryName": "app"});
    whole.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    Some(whole)
}

async fn world(app: &TestApp) -> Image {
    let image = Image::new(1);
    app.administrator().with_repository("app").await.docker().await.push("app", "v1", &image).await;
    image
}

/// What the owner sees of its registry, to show that nobody changed it.
async fn shown(owner: &AwsCaller<'_>) -> Value {
    let mut all = Vec::new();
    for (operation, input) in [
        ("DescribeRepositories", json!({})),
        ("ListImages", json!({"repositoryName": "app"})),
        ("ListTagsForResource", json!({"resourceArn": format!("arn:aws:ecr:us-east-1:{OWNER}:repository/app")})),
    ] {
        all.push(owner.ecr(operation, input).await.ok());
    }
    json!(all)
}

/// The call of an operation, in its service's protocol.
fn call(service: &Service, operation: &str, input: &Value) -> Call {
    let call = Call::new("POST", "/");
    match service.protocol {
        Protocol::Json { target, version } => call
            .header("content-type", version.content_type())
            .header("x-amz-target", format!("{target}.{operation}"))
            .body(input.to_string()),
        Protocol::Query { version, .. } => call
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(format!("Action={operation}&Version={version}")),
    }
}

/// The message of an answer that must be AccessDenied.
#[track_caller]
fn denied(operation: &str, answer: Answer) -> String {
    let body = answer.expect(400).json();
    assert_eq!(body["__type"], "AccessDeniedException", "{operation}: {body}");
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nobody_may_do_anything() {
    let app = TestApp::start().await;
    world(&app).await;
    let before = shown(&app.administrator()).await;
    for (service, entry) in operations() {
        let input = input(entry.name).unwrap_or_else(|| json!({}));
        let answer = call(service, entry.name, &input).send(app.address).await;
        match service.protocol {
            Protocol::Json { .. } => {
                let body = answer.expect(400).json();
                assert_eq!(body["__type"], "MissingAuthenticationTokenException", "{}", entry.name);
            }
            Protocol::Query { .. } => {
                let text = answer.expect(403).text();
                assert!(text.contains("<Code>MissingAuthenticationToken</Code>"), "{}: {text}", entry.name);
            }
        }
    }
    assert_eq!(shown(&app.administrator()).await, before);
}

#[test]
fn every_operation_but_the_free_ones_needs_something() {
    let registry = RegistryId { account: AccountId::DEFAULT, region: "us-east-1".parse().unwrap() };
    for (_, entry) in operations() {
        let input = input(entry.name).unwrap_or_else(|| json!({}));
        let needs = entry.needs(input.to_string().into(), &registry).unwrap();
        assert_eq!(needs.is_empty(), FREE.contains(&entry.name), "{}: {needs:?}", entry.name);
    }
}

#[tokio::test]
async fn a_stranger_may_do_nothing_here_whether_it_exists_or_not() {
    let app = TestApp::start().await;
    world(&app).await;
    let owner = app.administrator();
    let stranger = app.account(STRANGER, "us-east-1");
    let before = shown(&owner).await;
    for (service, entry) in operations() {
        let (prefix, operation) = (service.signing_name, entry.name);
        let Some(input) = input(operation) else { continue };
        let answer = stranger.send(prefix, call(service, operation, &input)).await;
        let existing = denied(operation, answer);
        let tail = existing
            .split(&format!(" is not authorized to perform: {prefix}:"))
            .nth(1)
            .unwrap_or_else(|| panic!("{operation}: {existing}"));
        assert!(existing.starts_with(&format!("User: arn:aws:iam::{STRANGER}:root")), "{operation}: {existing}");
        let reason = format!("because no resource-based policy allows the {prefix}:");
        assert!(tail.contains(&reason), "{operation}: {existing}");
        let text = input.to_string().replace("\"app\"", "\"gone\"").replace("repository/app", "repository/gone");
        let gone = serde_json::from_str(&text).unwrap();
        let missing = denied(operation, stranger.send(prefix, call(service, operation, &gone)).await);
        assert_eq!(
            missing.replace("repository/gone", "repository/app"),
            existing,
            "{operation}: what exists must not show"
        );
    }
    assert_eq!(shown(&owner).await, before);
}

#[tokio::test]
async fn only_the_default_account_may_operate_the_server() {
    let app = TestApp::start().await;
    let about_the_server = |service: &Service, name| service.signing_name == "ecru" && !OF_REGISTRY.contains(&name);
    for (service, entry) in operations().filter(|(service, entry)| about_the_server(service, entry.name)) {
        let input = input(entry.name).unwrap();
        // The region that a signature names makes no difference.
        for region in ["us-east-1", "eu-west-1"] {
            let owner = app.account(OWNER, region).send("ecru", call(service, entry.name, &input)).await;
            owner.expect(200);
            let stranger = app.account(STRANGER, region).send("ecru", call(service, entry.name, &input)).await;
            denied(entry.name, stranger);
        }
        // Nor does an account that the input names.
        let named = json!({"registryId": STRANGER});
        let stranger = app.account(STRANGER, "us-east-1");
        denied(entry.name, stranger.send("ecru", call(service, entry.name, &named)).await);
    }
}

/// Every endpoint of the docker door, with its method.
fn endpoints(image: &Image) -> Vec<(&'static str, String, Vec<u8>)> {
    let (layer, manifest) = (digest(image.layer()), image.digest());
    let upload = "00000000-0000-8000-8000-000000000000";
    let text = image.manifest.to_vec();
    vec![
        ("HEAD", "/v2/app/manifests/v1".into(), vec![]),
        ("GET", "/v2/app/manifests/v1".into(), vec![]),
        ("GET", format!("/v2/app/manifests/{manifest}"), vec![]),
        ("PUT", "/v2/app/manifests/stolen".into(), text),
        ("DELETE", "/v2/app/manifests/v1".into(), vec![]),
        ("HEAD", format!("/v2/app/blobs/{layer}"), vec![]),
        ("GET", format!("/v2/app/blobs/{layer}"), vec![]),
        ("DELETE", format!("/v2/app/blobs/{layer}"), vec![]),
        ("POST", "/v2/app/blobs/uploads/".into(), vec![]),
        ("POST", format!("/v2/app/blobs/uploads/?digest={}", digest(b"x")), b"x".to_vec()),
        ("POST", format!("/v2/app/blobs/uploads/?mount={layer}&from=app"), vec![]),
        ("PATCH", format!("/v2/app/blobs/uploads/{upload}"), b"x".to_vec()),
        ("PUT", format!("/v2/app/blobs/uploads/{upload}?digest={}", digest(b"x")), vec![]),
        ("PUT", format!("/v2/app/blobs/uploads/{upload}?digest={}", digest(b"x")), b"x".to_vec()),
        ("GET", format!("/v2/app/blobs/uploads/{upload}"), vec![]),
        ("DELETE", format!("/v2/app/blobs/uploads/{upload}"), vec![]),
        ("GET", "/v2/app/tags/list".into(), vec![]),
        ("GET", "/v2/_catalog".into(), vec![]),
        ("GET", format!("/v2/app/referrers/{manifest}"), vec![]),
    ]
}

#[tokio::test]
async fn every_endpoint_of_the_docker_door_is_closed_to_nobody_and_to_a_stranger() {
    let app = TestApp::start().await;
    let image = world(&app).await;
    let owner = app.administrator();
    let before = shown(&owner).await;
    let host = format!("{OWNER}.dkr.ecr.us-east-1.localhost:{}", app.address.port());
    let stranger = app.account(STRANGER, "us-east-1").docker().await.at(&host);
    stranger.get("/v2/").await.expect(200);
    let nobody = Docker::new(&app, None).at(&host);
    nobody.get("/v2/").await.expect(401);
    for (method, target, body) in endpoints(&image) {
        let call = |docker: &Docker<'_>, target: &str| {
            docker.call(method, target.to_owned()).header("content-type", image.media_type).body(body.clone())
        };
        nobody.send(call(&nobody, &target)).await.expect(401);
        let answer = stranger.send(call(&stranger, &target)).await.expect(403);
        let missing = stranger.send(call(&stranger, &target.replace("/app/", "/gone/"))).await.expect(403);
        if method != "HEAD" {
            assert_eq!(answer.code(), "DENIED", "{method} {target}");
            assert!(
                answer.message().contains("because no resource-based policy allows the ecr:"),
                "{}",
                answer.message()
            );
            assert_eq!(
                missing.message().replace("/gone", "/app"),
                answer.message(),
                "{method} {target}: what exists must not show"
            );
        }
    }
    assert_eq!(shown(&owner).await, before);
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_members_are_looked_at() {
    let app = TestApp::start().await;
    world(&app).await;
    let stranger = app.account(STRANGER, "us-east-1");
    for (operation, input) in [
        ("DescribeRepositories", json!({"registryId": OWNER, "maxResults": 0})),
        ("ListImages", json!({"registryId": OWNER, "repositoryName": "app", "maxResults": 5000})),
        ("PutImage", json!({"registryId": OWNER, "repositoryName": "app", "imageManifest": "{"})),
        (
            "PutImageTagMutability",
            json!({"registryId": OWNER, "repositoryName": "app", "imageTagMutability": "SOMETIMES"}),
        ),
    ] {
        stranger.ecr(operation, input).await.error("AccessDenied");
    }
}
