//! Docker tokens of sessions: how long they live, what they are worth, and what ends them (`ECR.md` G.6).

use super::support::{allow, assumed, role, set_policy, trust, user};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{Image, TestApp};

const OWNER: &str = "000000000000";

/// What a push and a pull by docker need.
const PUSH_AND_PULL: [&str; 7] = [
    "ecr:GetAuthorizationToken",
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
];

#[tokio::test]
async fn a_token_outlives_its_session_but_not_its_own_half_day() {
    let app = TestApp::start().await;
    let admin = app.administrator().with_repository("app").await;
    let actions = [PUSH_AND_PULL.as_slice(), &["ecr:UploadLayerPart"]].concat();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&actions)).await;
    let session = assumed(&admin, &role, json!({"DurationSeconds": 900})).await;
    let docker = session.docker().await;
    let image = Image::new(1);
    docker.push("app", "v1", &image).await;
    app.clock.advance(Duration::from_secs(900));
    session.ecr("GetAuthorizationToken", json!({})).await.error("ExpiredToken");
    docker.pull("app", "v1", &image).await;
    app.clock.advance(Duration::from_secs(12 * 3600 - 900 - 1));
    docker.pull("app", "v1", &image).await;
    app.clock.advance(Duration::from_secs(1));
    let expired = docker.get("/v2/app/manifests/v1").await.expect(403);
    assert!(expired.message().starts_with("Your authorization token has expired."), "{}", expired.message());
}

#[tokio::test]
async fn a_token_is_worth_no_more_than_its_session() {
    let app = TestApp::start().await;
    let admin = app.administrator().with_repository("app").await;
    let image = Image::new(1);
    admin.docker().await.push("app", "v1", &image).await;
    let tagged = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ecr:*", "Resource": "*",
            "Condition": {"StringEquals": {"aws:PrincipalTag/team": "a", "aws:SourceIdentity": "ann"}}},
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
    ]});
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), tagged).await;
    let worthy = json!({"Tags": [{"Key": "team", "Value": "a"}], "SourceIdentity": "ann"});
    let with = |more: Value| {
        let mut input = worthy.clone();
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let pull = allow(&PUSH_AND_PULL[..4]).to_string();
    for (input, may_pull, may_push) in [
        (with(json!({})), true, true),
        (with(json!({"Tags": [{"Key": "team", "Value": "b"}]})), false, false),
        (json!({"Tags": [{"Key": "team", "Value": "a"}]}), false, false),
        (with(json!({"Policy": pull})), true, false),
        (with(json!({"Policy": allow(&["ecr:GetAuthorizationToken"]).to_string()})), false, false),
    ] {
        let docker = assumed(&admin, &role, input.clone()).await.docker().await;
        docker.get("/v2/").await.expect(200);
        let expected = |allowed: bool, status| if allowed { status } else { 403 };
        docker.get("/v2/app/manifests/v1").await.expect(expected(may_pull, 200));
        docker.put_manifest("app", "v2", &image).await.expect(expected(may_push, 201));
        let refused = docker.get("/v2/app/manifests/v1").await;
        if !may_pull {
            let message = refused.message();
            assert!(
                message.contains(&format!("arn:aws:sts::{OWNER}:assumed-role/app/ci is not authorized")),
                "{message}"
            );
        }
        if may_push {
            docker.delete("/v2/app/manifests/v2").await.expect(202);
        }
    }
}

#[tokio::test]
async fn a_denial_by_the_time_of_issue_stops_the_tokens_before_it_and_no_later_ones() {
    let app = TestApp::start().await;
    let admin = app.administrator().with_repository("app").await;
    let image = Image::new(1);
    admin.docker().await.push("app", "v1", &image).await;
    let role_arn = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let before = assumed(&admin, &role_arn, json!({})).await;
    let docker = before.docker().await;
    docker.pull("app", "v1", &image).await;
    // What "revoke sessions" of AWS's console puts on the role.
    app.clock.advance(Duration::from_secs(10));
    let now = jiff::Timestamp::from_microsecond(app.now().0).unwrap().to_string();
    let revoke = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"DateLessThan": {"aws:TokenIssueTime": now}}},
    ]});
    let id = before.session("GetCallerIdentity", json!({})).await.ok();
    let id = id["UserId"].as_str().unwrap().split(':').next().unwrap().to_owned();
    set_policy(&admin, &id, revoke).await;
    app.clock.advance(Duration::from_secs(1));
    let refused = docker.get("/v2/app/manifests/v1").await.expect(403);
    assert!(refused.message().contains("with an explicit deny in an identity-based policy"), "{}", refused.message());
    before.ecr("DescribeRepositories", json!({})).await.error("AccessDenied");
    // A new session of the role has its rights again.
    let after = assumed(&admin, &role_arn, json!({})).await;
    after.docker().await.pull("app", "v1", &image).await;
    after.ecr("DescribeRepositories", json!({})).await.ok();
}

#[tokio::test]
async fn a_token_ends_with_the_key_that_began_its_session() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let ann = user(&admin, "ann", allow(&["sts:*", "ecr:*"])).await;
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let federated = json!({"Name": "bob", "Policy": allow(&["ecr:*"]).to_string()});
    let bob = ann.session("GetFederationToken", federated).await.ok();
    let bob = ann.with_credentials(&bob["Credentials"]).docker().await;
    let dockers = [ann.docker().await, assumed(&ann, &role, json!({})).await.docker().await, bob];
    let key = |status: &str| json!({"UserName": "ann", "AccessKeyId": ann.access_key_id, "Status": status});
    for (status, answer) in [("Active", 200), ("Inactive", 401), ("Active", 200)] {
        admin.iam("UpdateAccessKey", key(status)).await.ok();
        for docker in &dockers {
            docker.get("/v2/").await.expect(answer);
        }
    }
}
