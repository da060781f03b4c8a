//! Rights that depend on where something is, what it is tagged with, and what a call makes of it.

use super::keys;
use serde_json::{Value, json};
use testkit::{AwsCaller, TestApp};

async fn user_with<'a>(root: &AwsCaller<'a>, name: &str, statements: &Value) -> AwsCaller<'a> {
    let user = keys::user(root, name).await;
    let document = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    root.iam("PutUserPolicy", json!({"UserName": name, "PolicyName": "own", "PolicyDocument": document})).await.ok();
    user
}

#[tokio::test]
async fn a_users_policy_tests_the_tags_of_a_repository_that_has_no_policy() {
    let app = TestApp::start().await;
    let root = app.administrator();
    for (name, env) in [("live", "prod"), ("trial", "dev"), ("mine", "dev")] {
        let tags = json!([{"Key": "env", "Value": env}, {"Key": "team", "Value": "a=b, c"}]);
        root.ecr("CreateRepository", json!({"repositoryName": name, "tags": tags})).await.ok();
    }
    let user = user_with(
        &root,
        "ann",
        &json!([
            {"Effect": "Allow", "Action": "ecr:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "ecr:DeleteRepository", "Resource": "*",
             "Condition": {"StringEquals": {"aws:ResourceTag/env": "prod"}}},
        ]),
    )
    .await;
    let denied = user.ecr("DeleteRepository", json!({"repositoryName": "live"})).await.error("AccessDenied");
    assert!(denied.contains("with an explicit deny in an identity-based policy"), "{denied}");
    user.ecr("DeleteRepository", json!({"repositoryName": "trial"})).await.ok();
    // An allow by a tag, and the end of it at once when the tag changes.
    let user = user_with(
        &root,
        "bob",
        &json!({"Effect": "Allow", "Action": "ecr:ListImages", "Resource": "*",
                "Condition": {"StringEquals": {"ecr:ResourceTag/env": "dev", "aws:ResourceTag/team": "a=b, c"}}}),
    )
    .await;
    user.ecr("ListImages", json!({"repositoryName": "mine"})).await.ok();
    user.ecr("ListImages", json!({"repositoryName": "live"})).await.error("AccessDenied");
    let arn = "arn:aws:ecr:us-east-1:000000000000:repository/mine";
    root.ecr("TagResource", json!({"resourceArn": arn, "tags": [{"Key": "env", "Value": "prod"}]})).await.ok();
    user.ecr("ListImages", json!({"repositoryName": "mine"})).await.error("AccessDenied");
}

#[tokio::test]
async fn who_moves_a_user_or_a_group_needs_the_right_at_both_places() {
    let app = TestApp::start().await;
    let root = app.administrator();
    for (kind, name) in [("User", "UserName"), ("Group", "GroupName")] {
        root.iam(&format!("Create{kind}"), json!({name: "moved", "Path": "/dev/"})).await.ok();
        let resource = format!("arn:aws:iam::000000000000:{}/dev/*", kind.to_lowercase());
        let statement = json!({"Effect": "Allow", "Action": format!("iam:Update{kind}"), "Resource": resource});
        let user = user_with(&root, &format!("mover-of-{kind}"), &statement).await;
        let update = async |input: Value| user.iam(&format!("Update{kind}"), input).await;
        let denied = update(json!({name: "moved", "NewPath": "/admin/"})).await.error("AccessDenied");
        assert!(denied.contains(&format!(":{}/admin/moved", kind.to_lowercase())), "{denied}");
        // Under another name it stays at its path.
        update(json!({name: "moved", format!("New{kind}Name"): "renamed"})).await.ok();
        update(json!({name: "renamed", "NewPath": "/dev/team/"})).await.ok();
        let arn = root.iam(&format!("Get{kind}"), json!({name: "renamed"})).await.ok()[kind]["Arn"].clone();
        assert_eq!(arn, format!("arn:aws:iam::000000000000:{}/dev/team/renamed", kind.to_lowercase()));
    }
}

#[tokio::test]
async fn who_creates_with_tags_needs_the_right_to_tag() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let user = user_with(
        &root,
        "ann",
        &json!([
            {"Effect": "Allow", "Action": "iam:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "iam:TagUser", "Resource": "*"},
        ]),
    )
    .await;
    let tags = json!([{"Key": "team", "Value": "admins"}]);
    user.iam("CreateUser", json!({"UserName": "bob", "Tags": tags})).await.error("AccessDenied");
    user.iam("CreateUser", json!({"UserName": "bob"})).await.ok();
}

#[tokio::test]
async fn a_role_is_passed_to_the_service_that_acts_as_it() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let trust = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": "ec2.amazonaws.com"}}}"#;
    root.iam("CreateRole", json!({"RoleName": "machine", "AssumeRolePolicyDocument": trust})).await.ok();
    root.iam("CreateInstanceProfile", json!({"InstanceProfileName": "machine"})).await.ok();
    let profile = json!({"InstanceProfileName": "machine", "RoleName": "machine"});
    for (name, service, allowed) in [("ann", "ecr.amazonaws.com", false), ("bob", "ec2.amazonaws.com", true)] {
        let pass = json!([
            {"Effect": "Allow", "Action": "iam:AddRoleToInstanceProfile", "Resource": "*"},
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "*",
             "Condition": {"StringEquals": {"iam:PassedToService": service}}},
        ]);
        let answer = user_with(&root, name, &pass).await.iam("AddRoleToInstanceProfile", profile.clone()).await;
        if allowed { drop(answer.ok()) } else { drop(answer.error("AccessDenied")) }
    }
}
