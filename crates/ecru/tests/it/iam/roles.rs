//! Roles, their trust policies, and the users and roles that policies name.

use super::keys::user;
use serde_json::{Value, json};
use testkit::{AwsCaller, Image, TestApp};

const ACCOUNT: &str = "000000000000";

/// A trust policy for these principals.
pub fn trust(principal: &Value) -> String {
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

fn aws(name: &str) -> String {
    trust(&json!({"AWS": name}))
}

/// The principal in the trust policy that GetRole shows.
async fn trusted(root: &AwsCaller<'_>, role: &str) -> Value {
    let shown = root.iam("GetRole", json!({"RoleName": role})).await.ok();
    principal(&decoded(&shown["Role"]))
}

fn decoded(role: &Value) -> Value {
    let text = role["AssumeRolePolicyDocument"].as_str().unwrap();
    assert!(!text.contains(['{', '"', ' ']), "{text}");
    serde_json::from_str(&percent_encoding::percent_decode_str(text).decode_utf8().unwrap()).unwrap()
}

fn principal(document: &Value) -> Value {
    document["Statement"][0]["Principal"]["AWS"].clone()
}

#[tokio::test]
async fn a_role_is_created_changed_and_deleted() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let input = json!({
        "RoleName": "ci", "Path": "/team/", "AssumeRolePolicyDocument": aws(ACCOUNT), "Description": "pulls",
        "MaxSessionDuration": 7200, "Tags": [{"Key": "env", "Value": "test"}],
    });
    let made = root.iam("CreateRole", input.clone()).await.ok()["Role"].clone();
    assert_eq!(made["Arn"], format!("arn:aws:iam::{ACCOUNT}:role/team/ci"));
    assert_eq!((&made["MaxSessionDuration"], &made["RoleLastUsed"]), (&json!(7200), &json!({})));
    // An account is named by its root principal.
    assert_eq!(principal(&decoded(&made)), format!("arn:aws:iam::{ACCOUNT}:root"));
    assert_eq!(root.iam("GetRole", json!({"RoleName": "CI"})).await.ok()["Role"], made);
    let taken = root.iam("CreateRole", json!({"RoleName": "Ci", "AssumeRolePolicyDocument": aws("*")})).await;
    assert_eq!(taken.error("EntityAlreadyExists"), "Role with name Ci already exists.");
    // A change leaves what it does not name.
    root.iam("UpdateRole", json!({"RoleName": "ci", "MaxSessionDuration": 3600})).await.ok();
    let described = json!({"RoleName": "ci", "Description": "pushes"});
    let role = root.iam("UpdateRoleDescription", described).await.ok()["Role"].clone();
    assert_eq!((&role["Description"], &role["MaxSessionDuration"]), (&json!("pushes"), &json!(3600)));
    root.iam("TagRole", json!({"RoleName": "ci", "Tags": [{"Key": "ENV", "Value": "prod"}]})).await.ok();
    let tags = root.iam("ListRoleTags", json!({"RoleName": "ci"})).await.ok();
    assert_eq!(tags["Tags"], json!([{"Key": "ENV", "Value": "prod"}]));
    root.iam("UntagRole", json!({"RoleName": "ci", "TagKeys": ["env"]})).await.ok();
    let listed = root.iam("ListRoles", json!({"PathPrefix": "/team/"})).await.ok();
    assert_eq!(listed["Roles"][0]["Description"], "pushes");
    assert_eq!(principal(&decoded(&listed["Roles"][0])), format!("arn:aws:iam::{ACCOUNT}:root"));
    root.iam("DeleteRole", json!({"RoleName": "ci"})).await.ok();
    let gone = root.iam("GetRole", json!({"RoleName": "ci"})).await.error("NoSuchEntity");
    assert_eq!(gone, "The role with name ci cannot be found.");
    // A role without a limit of its own has sessions of an hour.
    let plain = json!({"RoleName": "ci", "AssumeRolePolicyDocument": aws("*")});
    assert_eq!(root.iam("CreateRole", plain).await.ok()["Role"]["MaxSessionDuration"], 3600);
}

#[tokio::test]
async fn a_trust_policy_is_held_to_its_grammar() {
    let app = TestApp::start().await;
    let root = app.administrator();
    root.iam("CreateRole", json!({"RoleName": "ci", "AssumeRolePolicyDocument": aws("*")})).await.ok();
    let statement = |members: Value| {
        let mut whole = json!({"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"});
        for (name, value) in members.as_object().unwrap() {
            whole[name] = value.clone();
        }
        whole.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        json!({"Version": "2012-10-17", "Statement": whole}).to_string()
    };
    for (document, says) in [
        ("{".to_owned(), "Syntax errors in policy."),
        (statement(json!({"Resource": "*"})), "Statement[0].Resource"),
        (statement(json!({"Principal": null})), "Statement[0].Principal"),
        (statement(json!({"Action": "ecr:*"})), "'ecr:*' does not begin with 'sts:'"),
        (statement(json!({"Action": "sts:GetCallerIdentity"})), "Statement[0].Action"),
        (
            aws("arn:aws:iam::000000000000:user/ann"),
            "Invalid principal in policy: \"AWS\":\"arn:aws:iam::000000000000:user/ann\"",
        ),
        (aws("arn:aws:iam::000000000000:role/ci/x"), "Invalid principal in policy"),
        (aws("arn:aws:iam::000000000000:role/team/ci"), "Invalid principal in policy"),
        (aws("arn:aws:iam::000000000000:role/CI"), "Invalid principal in policy"),
        (aws("arn:aws:sts::000000000000:assumed-role/gone/run"), "Invalid principal in policy"),
        (aws("AIDAANNANNANNANNANNA2"), "Invalid principal in policy"),
    ] {
        let new = json!({"RoleName": "new", "AssumeRolePolicyDocument": document});
        let message = root.iam("CreateRole", new).await.error("MalformedPolicyDocument");
        assert!(message.contains(says), "{document}: {message}");
        let changed = json!({"RoleName": "ci", "PolicyDocument": document});
        root.iam("UpdateAssumeRolePolicy", changed).await.error("MalformedPolicyDocument");
    }
    for document in [
        aws("arn:aws:iam::000000000000:role/ci"),
        aws("arn:aws:sts::000000000000:assumed-role/ci/run"),
        aws("arn:aws:sts::000000000000:federated-user/fred"),
        // Principals of accounts that are elsewhere are not checked.
        aws("arn:aws:iam::444455556666:user/bea"),
        trust(&json!({"Service": "ec2.amazonaws.com"})),
        statement(json!({"Action": ["sts:AssumeRole*", "sts:TagSession"]})),
    ] {
        root.iam("UpdateAssumeRolePolicy", json!({"RoleName": "ci", "PolicyDocument": document})).await.ok();
    }
    let long = aws("*").replacen("\"Effect\"", &format!("\"Sid\":\"{}\",\"Effect\"", "a".repeat(2048)), 1);
    let changed = json!({"RoleName": "ci", "PolicyDocument": long});
    let refused = root.iam("UpdateAssumeRolePolicy", changed).await.error("LimitExceeded");
    assert_eq!(refused, "Cannot exceed quota for ACLSizePerRole: 2048");
}

#[tokio::test]
async fn a_policy_follows_its_user_and_a_user_made_again_gains_nothing() {
    let app = TestApp::start().await;
    let root = app.administrator().with_repository("app").await;
    let image = Image::new(1);
    root.docker().await.push("app", "v1", &image).await;
    let ann = user(&root, "ann").await;
    let created = root.iam("GetUser", json!({"UserName": "ann"})).await.ok();
    let id = created["User"]["UserId"].as_str().unwrap();
    let arn = format!("arn:aws:iam::{ACCOUNT}:user/ann");
    // The user's ARN stands in a trust policy and in the repository's and the registry's policies.
    root.iam("CreateRole", json!({"RoleName": "ci", "AssumeRolePolicyDocument": aws(&arn)})).await.ok();
    let statement =
        json!({"Sid": "pull", "Effect": "Allow", "Principal": {"AWS": arn}, "Action": "ecr:DescribeImages"});
    let of_repository = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let mut on_all = statement.clone();
    on_all["Resource"] = json!(format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/*"));
    let of_registry = json!({"Version": "2012-10-17", "Statement": [on_all]}).to_string();
    let set = json!({"repositoryName": "app", "policyText": of_repository});
    let answer = root.ecr("SetRepositoryPolicy", set.clone()).await.ok();
    root.ecr("PutRegistryPolicy", json!({"policyText": of_registry})).await.ok();
    let shown = async || {
        let repository = root.ecr("GetRepositoryPolicy", json!({"repositoryName": "app"})).await.ok();
        let registry = root.ecr("GetRegistryPolicy", json!({})).await.ok();
        let of = |answer: &Value| principal(&serde_json::from_str(answer["policyText"].as_str().unwrap()).unwrap());
        [of(&repository), of(&registry), trusted(&root, "ci").await]
    };
    assert_eq!(answer["policyText"].as_str().unwrap().matches(&arn).count(), 1, "{answer}");
    assert_eq!(shown().await, [json!(arn), json!(arn), json!(arn)]);
    let describe = json!({"repositoryName": "app"});
    ann.ecr("DescribeImages", describe.clone()).await.ok();
    // Under a new name it is the same user.
    root.iam("UpdateUser", json!({"UserName": "ann", "NewUserName": "bea", "NewPath": "/team/"})).await.ok();
    let renamed = json!(format!("arn:aws:iam::{ACCOUNT}:user/team/bea"));
    assert_eq!(shown().await, [renamed.clone(), renamed.clone(), renamed]);
    ann.ecr("DescribeImages", describe.clone()).await.ok();
    // A user that is made again under a name has no right of the deleted one, which is shown by its unique id.
    root.iam("UpdateUser", json!({"UserName": "bea", "NewUserName": "ann", "NewPath": "/"})).await.ok();
    root.iam("DeleteAccessKey", json!({"UserName": "ann", "AccessKeyId": ann.access_key_id})).await.ok();
    root.iam("DeleteUser", json!({"UserName": "ann"})).await.ok();
    let again = user(&root, "ann").await;
    again.ecr("DescribeImages", describe.clone()).await.error("AccessDenied");
    assert_eq!(shown().await, [json!(id), json!(id), json!(id)]);
    // The shown policy can't be set again, and the original one is about the new user.
    let stale = root.ecr("GetRepositoryPolicy", describe.clone()).await.ok()["policyText"].clone();
    root.ecr("SetRepositoryPolicy", json!({"repositoryName": "app", "policyText": stale}))
        .await
        .error("InvalidParameter");
    root.ecr("SetRepositoryPolicy", set).await.ok();
    again.ecr("DescribeImages", describe).await.ok();
}
