//! botocore's model as the judge: each documented constraint of an operation, broken one at a time, is refused.

use super::support::{allow, role, trust};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::model::Kind;
use testkit::{Model, TestApp};

/// Whether a constraint is not tested by the model's breaks: the pattern of ARNs allows their snowman, and the query protocol has no
/// empty list.
fn outside(path: &str, kind: Kind) -> bool {
    (kind == Kind::Pattern && path.to_lowercase().ends_with("arn"))
        || (path, kind) == ("ProvidedContexts", Kind::TooShort)
}

/// Inputs of an operation that are valid but for what no session can have: an MFA device and a trusted context.
fn valid(operation: &str) -> Value {
    let arn = "arn:aws:iam::000000000000:policy/narrow";
    let tags = json!([{"Key": "team", "Value": "a"}]);
    match operation {
        "AssumeRole" => json!({
            "RoleArn": "arn:aws:iam::000000000000:role/app", "RoleSessionName": "ci", "PolicyArns": [{"arn": arn}],
            "Policy": "{}", "DurationSeconds": 900, "Tags": tags, "TransitiveTagKeys": ["team"], "ExternalId": "id",
            "SerialNumber": "arn:aws:iam::1", "TokenCode": "123456", "SourceIdentity": "ann",
            "ProvidedContexts": [{"ProviderArn": arn, "ContextAssertion": "abcd"}], "MinimumSessionTokenSize": 1,
        }),
        "GetSessionToken" => json!({
            "DurationSeconds": 900, "SerialNumber": "arn:aws:iam::1", "TokenCode": "123456",
            "MinimumSessionTokenSize": 1,
        }),
        "GetFederationToken" => json!({
            "Name": "ann", "Policy": "{}", "PolicyArns": [{"arn": arn}], "DurationSeconds": 900, "Tags": tags,
            "MinimumSessionTokenSize": 1,
        }),
        "GetAccessKeyInfo" => json!({"AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"}),
        other => panic!("no input for {other}"),
    }
}

#[tokio::test]
async fn every_documented_constraint_broken_alone_is_refused_and_the_member_named() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    role(&admin, "app", trust("000000000000", &["sts:*"]), allow(&["ecr:*"])).await;
    let model = Model::load("sts");
    let mut complaints = Vec::new();
    for operation in ["AssumeRole", "GetSessionToken", "GetFederationToken", "GetAccessKeyInfo"] {
        let valid = valid(operation);
        let mut covered = BTreeSet::new();
        for broken in model.breaks(operation, &valid) {
            covered.insert((broken.path.clone(), broken.kind));
            if outside(&broken.path, broken.kind) {
                continue;
            }
            let outcome = admin.session(operation, broken.input.clone()).await;
            let message = outcome.body["message"].as_str().unwrap_or_default().to_lowercase();
            let is_named = message.contains(&broken.member.to_lowercase());
            if outcome.body["__type"] != "ValidationError" || !is_named {
                complaints.push(format!("{operation} {} {:?}: {}", broken.path, broken.kind, outcome.body));
            }
        }
        let all: BTreeSet<(String, Kind)> = model.constraints(operation).into_iter().collect();
        assert_eq!(covered, all, "{operation}");
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn limits_that_the_model_does_not_state_are_aws_all_the_same() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust("000000000000", &["sts:*"]), allow(&["ecr:*"])).await;
    let policy =
        |length: usize| format!("{}{}", allow(&["ecr:*"]), " ".repeat(length - allow(&["ecr:*"]).to_string().len()));
    let arns = |count: usize| vec![json!({"arn": "arn:aws:iam::000000000000:policy/none"}); count];
    let tag = |key: &str| json!({"Key": key, "Value": "v"});
    for (input, message) in [
        (
            json!({"Policy": policy(2049)}),
            "'policy' failed to satisfy constraint: Member must have length less than or equal to 2048",
        ),
        (
            json!({"PolicyArns": arns(11)}),
            "'policyArns' failed to satisfy constraint: Member must have length less than or equal to 10",
        ),
        (
            json!({"PolicyArns": arns(10)}),
            "The managed session policy arn:aws:iam::000000000000:policy/none does not exist.",
        ),
        (json!({"Tags": [tag("a"), tag("A")]}), "Duplicate tag keys found."),
        (json!({"Tags": [tag("aws:a")]}), "The prefix aws: of tag keys is reserved."),
        (json!({"SourceIdentity": "aws:ann"}), "failed to satisfy constraint"),
        (
            json!({"RoleArn": "arn:aws:iam::000000000000:role/\u{1}"}),
            "'roleArn' failed to satisfy constraint: must satisfy regular",
        ),
        (
            json!({"TransitiveTagKeys": ["a"]}),
            "The specified transitive tag key must be included in the requested tags.",
        ),
        (json!({"RoleArn": "arn:aws:iam::000000000000:user/app"}), "arn:aws:iam::000000000000:user/app is invalid"),
    ] {
        let mut whole = json!({"RoleArn": role, "RoleSessionName": "ci"});
        whole.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
        let found = admin.session("AssumeRole", whole).await.error("ValidationError");
        assert!(found.contains(message), "{input}: {found}");
    }
    // At the limit.
    let whole = json!({"RoleArn": role, "RoleSessionName": "ci", "Policy": policy(2048)});
    let output = admin.session("AssumeRole", whole).await.ok();
    assert_eq!(output["PackedPolicySize"], 13);
    let tags: Vec<_> = (0..50).map(|n| json!({"Key": format!("k{n}"), "Value": "v".repeat(256)})).collect();
    for (length, fits) in [(50, true), (128, false)] {
        let mut tags = tags.clone();
        tags.iter_mut().for_each(|tag| {
            let key = tag["Key"].as_str().unwrap();
            tag["Key"] = json!(format!("{key}{}", "k".repeat(length - key.len())));
        });
        let outcome =
            admin.session("AssumeRole", json!({"RoleArn": role, "RoleSessionName": "ci", "Tags": tags})).await;
        assert_eq!(outcome.is_ok(), fits, "{}", outcome.body);
        if !fits {
            let message = outcome.error("PackedPolicyTooLarge");
            assert_eq!(message, "Packed policy consumes 118% of allotted space, please use smaller policy.");
        }
    }
    let text = json!({"RoleArn": role, "RoleSessionName": "ci", "Policy": "{\"Statement\": 1}"});
    let message = admin.session("AssumeRole", text).await.error("MalformedPolicyDocument");
    assert!(!message.is_empty());
}
