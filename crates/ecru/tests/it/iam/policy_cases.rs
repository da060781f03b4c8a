//! Valid inputs of the operations about policies.

use super::cases::{Case, after, tags, user};
use serde_json::{Value, json};

/// The managed policy of the cases.
const ARN: &str = "arn:aws:iam::ACCT:policy/push";
/// A policy of AWS, which can be attached without creating it.
const OF_AWS: &str = "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly";

pub fn case(operation: &str) -> Option<Case> {
    managed(operation).or_else(|| ["User", "Group", "Role"].into_iter().find_map(|kind| of_holder(kind, operation)))
}

/// A document that allows an action.
pub fn allow(action: &str) -> String {
    json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": "*"}}).to_string()
}

fn policy() -> (&'static str, Value) {
    ("CreatePolicy", json!({"PolicyName": "push", "PolicyDocument": allow("ecr:*")}))
}

fn version() -> (&'static str, Value) {
    ("CreatePolicyVersion", json!({"PolicyArn": ARN, "PolicyDocument": allow("ecr:PutImage")}))
}

fn managed(operation: &str) -> Option<Case> {
    let arn = || json!({"PolicyArn": ARN});
    match operation {
        "CreatePolicy" => after(
            [],
            json!({
                "PolicyName": "push", "Path": "/team/ci/", "PolicyDocument": allow("ecr:*"), "Description": "d", "Tags": tags(),
            }),
        ),
        "GetPolicy" | "DeletePolicy" => after([policy()], arn()),
        "ListPolicies" => after(
            [policy()],
            json!({
                "Scope": "Local", "OnlyAttached": false, "PathPrefix": "/", "PolicyUsageFilter": "PermissionsPolicy", "MaxItems": 5,
            }),
        ),
        "TagPolicy" => after([policy()], json!({"PolicyArn": ARN, "Tags": tags()})),
        "UntagPolicy" => after([policy()], json!({"PolicyArn": ARN, "TagKeys": ["k"]})),
        "ListPolicyTags" | "ListPolicyVersions" => after([policy()], json!({"PolicyArn": ARN, "MaxItems": 5})),
        "CreatePolicyVersion" => {
            after([policy()], json!({"PolicyArn": ARN, "PolicyDocument": allow("ecr:PutImage"), "SetAsDefault": true}))
        }
        "GetPolicyVersion" | "DeletePolicyVersion" | "SetDefaultPolicyVersion" => {
            after([policy(), version()], json!({"PolicyArn": ARN, "VersionId": "v2"}))
        }
        "ListEntitiesForPolicy" => after(
            [policy()],
            json!({
                "PolicyArn": ARN, "EntityFilter": "User", "PathPrefix": "/", "PolicyUsageFilter": "PermissionsBoundary", "MaxItems": 5,
            }),
        ),
        _ => None,
    }
}

/// The call that creates a holder of a kind, and the member that names it.
fn holder(kind: &str) -> (&'static str, Value) {
    match kind {
        "User" => user(),
        "Group" => ("CreateGroup", json!({"GroupName": "ann"})),
        _ => {
            let trust = super::roles::trust(&json!({"AWS": "ACCT"}));
            ("CreateRole", json!({"RoleName": "ann", "AssumeRolePolicyDocument": trust}))
        }
    }
}

fn of_holder(kind: &str, operation: &str) -> Option<Case> {
    // The operation's name without the kind, such as `PutPolicy`.
    let (verb, rest) = operation.split_once(kind)?;
    let with = |more: Value| {
        let mut input = json!({ format!("{kind}Name"): "ann" });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    let inline = with(json!({"PolicyName": "inline", "PolicyDocument": allow("ecr:*")}));
    let (put, attach): (&'static str, &'static str) = match kind {
        "User" => ("PutUserPolicy", "AttachUserPolicy"),
        "Group" => ("PutGroupPolicy", "AttachGroupPolicy"),
        _ => ("PutRolePolicy", "AttachRolePolicy"),
    };
    let attached = with(json!({"PolicyArn": OF_AWS}));
    match format!("{verb}{rest}").as_str() {
        "PutPolicy" => after([holder(kind)], inline),
        "GetPolicy" | "DeletePolicy" => after([holder(kind), (put, inline)], with(json!({"PolicyName": "inline"}))),
        "ListPolicies" => after([holder(kind), (put, inline)], with(json!({"MaxItems": 5}))),
        "AttachPolicy" => after([holder(kind)], attached),
        "DetachPolicy" => after([holder(kind), (attach, attached.clone())], attached),
        "ListAttachedPolicies" => after([holder(kind)], with(json!({"PathPrefix": "/", "MaxItems": 5}))),
        "PutPermissionsBoundary" => after([holder(kind)], with(json!({"PermissionsBoundary": OF_AWS}))),
        "DeletePermissionsBoundary" => after([holder(kind)], with(json!({}))),
        _ => None,
    }
}
