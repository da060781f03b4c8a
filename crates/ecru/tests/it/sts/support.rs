//! Roles, users and their sessions, for the tests of STS.
use meta::records::iam::{EntityKind, EntityRow};
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
    let (account, id) = (owner.account().to_owned(), format!("AROA{:X<17}", name.to_uppercase()));
    let row = EntityRow {
        id,
        account: account.clone(),
        kind: EntityKind::Role,
        name: name.to_owned(),
        path: "/".to_owned(),
        created_at: 0,
        updated_at: 0,
        description: None,
        trust_policy: Some(trust.to_string()),
        max_session: Some(max_session),
        default_version: None,
        last_version: None,
    };
    let made = owner.app.system.db.write(move |tx| {
        tx.iam_entity_insert(&row)?;
        tx.inline_policy_put(&row.id, "inline", &policy.to_string())
    });
    made.await.map_err(|error: meta::Error| error).unwrap();
    format!("arn:aws:iam::{account}:role/{name}")
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
