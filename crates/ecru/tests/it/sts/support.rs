//! Roles, users and their sessions, for the tests of STS.

use serde_json::{Value, json};
use testkit::{AwsCaller, Outcome};

/// A policy of one statement that allows these actions on everything.
pub fn allow(actions: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*"}})
}

/// A trust policy of one statement that allows these actions to a principal.
pub fn trust(principal: &str, actions: &[&str]) -> Value {
    json!({"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions}})
}

/// Creates a role with an inline policy named `inline`, and returns its ARN.
pub async fn role(owner: &AwsCaller<'_>, name: &str, trust: Value, policy: Value) -> String {
    role_of(owner, name, 3600, trust, policy).await
}

/// The same with a longest session, in seconds.
pub async fn role_of(owner: &AwsCaller<'_>, name: &str, max_session: i64, trust: Value, policy: Value) -> String {
    let input = json!({
        "RoleName": name, "AssumeRolePolicyDocument": trust.to_string(), "MaxSessionDuration": max_session,
    });
    let role = owner.iam("CreateRole", input).await.ok();
    set_policy(owner, role["Role"]["RoleId"].as_str().unwrap(), policy).await;
    role["Role"]["Arn"].as_str().unwrap().to_owned()
}

/// Calls AssumeRole with the session name `ci` and these further members.
pub async fn assume(caller: &AwsCaller<'_>, role: &str, more: Value) -> Outcome {
    let mut input = json!({"RoleArn": role, "RoleSessionName": "ci"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    caller.session("AssumeRole", input).await
}

/// Assumes a role, and returns the session's client.
pub async fn assumed<'a>(caller: &AwsCaller<'a>, role: &str, more: Value) -> AwsCaller<'a> {
    let output = assume(caller, role, more).await.ok();
    caller.with_credentials(&output["Credentials"])
}

/// The ARN of whoever calls.
pub async fn arn(caller: &AwsCaller<'_>) -> String {
    let identity = caller.session("GetCallerIdentity", json!({})).await.ok();
    identity["Arn"].as_str().unwrap().to_owned()
}

/// Sets the inline policy of a user or role behind the server's back, as another node does.
pub async fn set_policy(owner: &AwsCaller<'_>, id: &str, policy: Value) {
    let id = id.to_owned();
    let set = owner.app.system.db.write(move |tx| tx.inline_policy_put(&id, "inline", &policy.to_string()));
    set.await.map_err(|error: meta::Error| error).unwrap();
}

/// Creates a user with an inline policy, and returns its client.
pub async fn user<'a>(owner: &AwsCaller<'a>, name: &str, policy: Value) -> AwsCaller<'a> {
    let user = owner.iam("CreateUser", json!({"UserName": name})).await.ok();
    set_policy(owner, user["User"]["UserId"].as_str().unwrap(), policy).await;
    let key = owner.iam("CreateAccessKey", json!({"UserName": name})).await.ok();
    owner.with_credentials(&key["AccessKey"])
}

/// Deletes the inline policy of a user or role behind the server's back.
pub async fn unset_policy(owner: &AwsCaller<'_>, id: &str) {
    let id = id.to_owned();
    let unset = owner.app.system.db.write(move |tx| tx.inline_policy_delete(&id, "inline").map(drop));
    unset.await.map_err(|error: meta::Error| error).unwrap();
}
