//! Every operation of every service and every endpoint, as nobody, as a stranger, who is another account's administrator, as a user of
//! the owner's account without policies, and as a user that is allowed what the operation needs, or everything but that.
//! The operations come from the tables of the doors, so that none can be forgotten.

mod endpoints;
pub mod users;

use aws::AccountId;
use call::{Entry, Protocol, Service};
use ecru::doors::operations;
use kernel::RegistryId;
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::http::{Answer, Call};
use testkit::{AwsCaller, Image, TestApp, digest, query_form};

const OWNER: &str = "000000000000";
const STRANGER: &str = "111122223333";
/// An account that the default account's administrator created.
const MEMBER: &str = "444455556666";

/// An operation, by the signing name of its service: several services have a PutImage or a TagResource.
type Operation = (&'static str, &'static str);

/// What needs a signature and no permission. This list may only shrink, so its length is written down.
const FREE: [Operation; 2] = [("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")];

/// What the `ecru` door has that is about a registry, and is judged there.
const OF_REGISTRY: [Operation; 6] = [
    ("ecru", "ListDeletedImages"),
    ("ecru", "ListPushLog"),
    ("ecru", "PurgeImage"),
    ("ecru", "PutRepositoryProtection"),
    ("ecru", "RestoreImage"),
    ("ecru", "RestoreRepository"),
];

fn key(service: &Service, entry: &Entry) -> Operation {
    (service.signing_name, entry.name)
}

/// The policy that the stranger tries to set.
const OPEN_TO_ALL: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}}"#;
/// The policy that is set. A stranger must not notice that there is one.
const OWNERS_ALONE: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
    "Principal": {"AWS": "000000000000"}, "Action": "ecr:*"}}"#;

/// A valid input of each operation on the owner's registry; `None` where no input can name another's registry.
fn input(operation: Operation) -> Option<Value> {
    let arn = format!("arn:aws:ecr:us-east-1:{OWNER}:repository/app");
    let image = Image::new(1);
    let upload = "00000000-0000-8000-8000-000000000000";
    let own = match operation {
        ("ecr", "DescribeRegistry" | "GetAccountSetting" | "PutAccountSetting" | "GetAuthorizationToken") => {
            return None;
        }
        ("ecr", "PutRegistryPolicy" | "GetRegistryPolicy" | "DeleteRegistryPolicy") => return None,
        ("sts", "AssumeRole") => {
            let arn = format!("arn:aws:iam::{OWNER}:role/app");
            return Some(json!({"RoleArn": arn, "RoleSessionName": "stranger"}));
        }
        ("sts", _) => return None,
        // Beside the ARNs of managed policies, nothing of IAM names another account.
        ("iam", operation) => return policy_of_owner(operation),
        // The server belongs to the default account: whoever calls, these are about it.
        ("ecru", "ListDeletedImages" | "ListPushLog" | "RestoreRepository") => json!({}),
        ("ecru", "PurgeImage" | "RestoreImage") => json!({"imageDigest": image.digest()}),
        ("ecru", "PutRepositoryProtection") => json!({"protected": true}),
        ("ecru", "CollectUnused" | "DescribeUnused") => return Some(json!({})),
        ("ecru", "ListJobs" | "ServerStatus") => return Some(json!({})),
        ("ecru", "CreateAccount" | "ListAccounts") => return Some(json!({})),
        ("ecru", "DeleteAccount" | "ListControlPolicies") => return Some(json!({"accountId": MEMBER})),
        ("ecru", "DeleteControlPolicy") => return Some(json!({"accountId": MEMBER, "policyName": "limits"})),
        ("ecru", "PutControlPolicy") => {
            let document = r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
            return Some(json!({"accountId": MEMBER, "policyName": "limits", "policyDocument": document}));
        }
        ("ecru", "RetryJobs") => return Some(json!({"kind": "upload_expire"})),
        ("ecr", "ListTagsForResource") => return Some(json!({"resourceArn": arn})),
        ("ecr", "TagResource") => return Some(json!({"resourceArn": arn, "tags": [{"Key": "k", "Value": "v"}]})),
        ("ecr", "UntagResource") => return Some(json!({"resourceArn": arn, "tagKeys": ["k"]})),
        ("ecr", "BatchCheckLayerAvailability") => json!({"layerDigests": [digest(image.layer())]}),
        ("ecr", "BatchDeleteImage" | "BatchGetImage") => json!({"imageIds": [{"imageTag": "v1"}]}),
        ("ecr", "CompleteLayerUpload") => json!({"uploadId": upload, "layerDigests": [digest(b"x")]}),
        ("ecr", "GetDownloadUrlForLayer") => json!({"layerDigest": digest(image.layer())}),
        ("ecr", "ListImageReferrers") => json!({"subjectId": {"imageDigest": image.digest()}}),
        ("ecr", "PutImage") => json!({"imageManifest": image.text(), "imageTag": "stolen"}),
        ("ecr", "PutImageScanningConfiguration") => json!({"imageScanningConfiguration": {"scanOnPush": true}}),
        ("ecr", "PutImageTagMutability") => json!({"imageTagMutability": "IMMUTABLE"}),
        ("ecr", "SetRepositoryPolicy") => json!({"policyText": OPEN_TO_ALL}),
        ("ecr", "GetRepositoryPolicy" | "DeleteRepositoryPolicy") => json!({}),
        ("ecr", "UploadLayerPart") => {
            json!({"uploadId": upload, "partFirstByte": 0, "partLastByte": 0, "layerPartBlob": "YQ=="})
        }
        ("ecr", "DescribeRepositories") => return Some(json!({"registryId": OWNER})),
        ("ecr", "CreateRepository") => json!({"tags": [{"Key": "k", "Value": "v"}]}),
        ("ecr", "DeleteRepository" | "DescribeImages" | "InitiateLayerUpload" | "ListImages") => {
            json!({})
        }
        other => panic!("no input for {other:?}: a new operation needs one here"),
    };
    let mut whole = json!({"registryId": OWNER, "repositoryName": "app"});
    whole.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    Some(whole)
}

/// The input of an operation of IAM on a managed policy of the owner.
fn policy_of_owner(operation: &str) -> Option<Value> {
    let case = crate::iam::policy_cases::case(operation)?.valid.remove(0);
    let whole: Value = serde_json::from_str(&case.to_string().replace("ACCT", OWNER)).unwrap();
    // Attaching is about the holder, and holders are named without an account.
    whole.get("PolicyArn").filter(|arn| arn.as_str().unwrap().contains(OWNER))?;
    Some(whole)
}

async fn world(app: &TestApp) -> Image {
    let image = Image::new(1);
    let owner = app.administrator().with_repository("app").await;
    owner.docker().await.push("app", "v1", &image).await;
    owner.ecr("SetRepositoryPolicy", json!({"repositoryName": "app", "policyText": OWNERS_ALONE})).await.ok();
    image
}

/// What the owner sees of its registry, to show that nobody changed it.
async fn shown(owner: &AwsCaller<'_>) -> Value {
    let mut all = Vec::new();
    for (operation, input) in [
        ("DescribeRepositories", json!({})),
        ("ListImages", json!({"repositoryName": "app"})),
        ("GetRepositoryPolicy", json!({"repositoryName": "app"})),
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
            .body(query_form(&format!("Action={operation}&Version={version}"), input)),
    }
}

/// An input with a list of structures, as an operation of a query service reads it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    duration_seconds: u32,
    tags: Vec<Tag>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: Option<String>,
}

#[test]
fn the_walk_speaks_the_query_protocol() {
    let input =
        json!({"RoleArn": "a:b/c", "DurationSeconds": 900, "Tags": [{"Key": "k", "Value": "v&w"}, {"Key": "l"}]});
    let body = query_form("Action=AssumeRole&Version=2011-06-15", &input);
    let read: AssumeRole = aws::query::QueryForm::read("", body.as_bytes()).unwrap().input().unwrap();
    let tag = |key: &str, value: Option<&str>| Tag { key: key.to_owned(), value: value.map(str::to_owned) };
    assert_eq!((read.role_arn.as_str(), read.duration_seconds), ("a:b/c", 900));
    assert_eq!(read.tags, [tag("k", Some("v&w")), tag("l", None)]);
}

/// The message of an answer that must be AccessDenied, in the protocol of its service.
#[track_caller]
fn denied(service: &Service, operation: &str, answer: Answer) -> String {
    match service.protocol {
        Protocol::Json { .. } => {
            let body = answer.expect(400).json();
            assert_eq!(body["__type"], "AccessDeniedException", "{operation}: {body}");
            body["message"].as_str().unwrap().to_owned()
        }
        Protocol::Query { .. } => {
            let text = answer.expect(403).text();
            assert!(text.contains("<Code>AccessDenied</Code>"), "{operation}: {text}");
            let message = text.split("<Message>").nth(1).and_then(|rest| rest.split("</Message>").next());
            message.unwrap_or_else(|| panic!("{operation}: {text}")).to_owned()
        }
    }
}

#[tokio::test]
async fn nobody_may_do_anything() {
    let app = TestApp::start().await;
    world(&app).await;
    let before = shown(&app.administrator()).await;
    for (service, entry) in operations() {
        let input = input(key(service, entry)).unwrap_or_else(|| json!({}));
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
    let mut free = 0;
    let registry = RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap());
    for (service, entry) in operations() {
        let input = input(key(service, entry)).unwrap_or_else(|| json!({}));
        let body = match service.protocol {
            Protocol::Json { .. } => input.to_string(),
            Protocol::Query { version, .. } => query_form(&format!("Action={}&Version={version}", entry.name), &input),
        };
        let needs = entry.needs(body.into(), &registry).unwrap();
        free += usize::from(needs.is_empty());
        assert_eq!(needs.is_empty(), FREE.contains(&key(service, entry)), "{}: {needs:?}", entry.name);
    }
    assert_eq!(free, FREE.len(), "FREE names an operation that is gone");
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
        let Some(input) = input((prefix, operation)) else { continue };
        let answer = stranger.send(prefix, call(service, operation, &input)).await;
        let existing = denied(service, operation, answer);
        let tail = existing
            .split(&format!(" is not authorized to perform: {prefix}:"))
            .nth(1)
            .unwrap_or_else(|| panic!("{operation}: {existing}"));
        assert!(existing.starts_with(&format!("User: arn:aws:iam::{STRANGER}:root")), "{operation}: {existing}");
        let reason = format!("because no resource-based policy allows the {prefix}:");
        // A denial of AssumeRole has no reason.
        assert_eq!(tail.contains(&reason), operation != "AssumeRole", "{operation}: {existing}");
        let text = input.to_string().replace("\"app\"", "\"gone\"").replace("repository/app", "repository/gone");
        let text = text.replace("role/app", "role/gone");
        let gone = serde_json::from_str(&text).unwrap();
        let missing = denied(service, operation, stranger.send(prefix, call(service, operation, &gone)).await);
        assert_eq!(
            missing.replace("repository/gone", "repository/app").replace("role/gone", "role/app"),
            existing,
            "{operation}: what exists must not show"
        );
    }
    assert_eq!(shown(&owner).await, before);
}

#[tokio::test]
async fn only_the_default_account_may_operate_the_server() {
    let app = TestApp::start().await;
    let about_the_server = |service: &Service, name| {
        service.signing_name == "ecru" && !OF_REGISTRY.contains(&(service.signing_name, name))
    };
    for (service, entry) in operations().filter(|(service, entry)| about_the_server(service, entry.name)) {
        let input = input(key(service, entry)).unwrap();
        // The region that a signature names makes no difference.
        for region in ["us-east-1", "eu-west-1"] {
            let owner = app.account(OWNER, region).send("ecru", call(service, entry.name, &input)).await;
            let answer = owner.json();
            assert_ne!(answer["__type"], "AccessDeniedException", "{}", entry.name);
            let stranger = app.account(STRANGER, region).send("ecru", call(service, entry.name, &input)).await;
            denied(service, entry.name, stranger);
        }
        // Nor does an account that the input names.
        let named = json!({"registryId": STRANGER});
        let stranger = app.account(STRANGER, "us-east-1");
        denied(service, entry.name, stranger.send("ecru", call(service, entry.name, &named)).await);
    }
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
