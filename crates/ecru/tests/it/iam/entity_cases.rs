//! Valid inputs of the operations about keys, groups, roles and instance profiles. `{MEMBER}` stands for what an earlier call answered.
use super::cases::{Case, after, tags, user};
use serde_json::{Value, json};

pub fn case(operation: &str) -> Option<Case> {
    keys(operation).or_else(|| groups(operation)).or_else(|| roles(operation))
}

fn key() -> (&'static str, Value) {
    ("CreateAccessKey", json!({"UserName": "ann"}))
}

fn keys(operation: &str) -> Option<Case> {
    let named = json!({"UserName": "ann", "AccessKeyId": "{AccessKeyId}"});
    match operation {
        "CreateAccessKey" => after([user()], json!({"UserName": "ann"})),
        "UpdateAccessKey" => {
            after([user(), key()], json!({"UserName": "ann", "AccessKeyId": "{AccessKeyId}", "Status": "Inactive"}))
        }
        "ListAccessKeys" => after([user(), key()], json!({"UserName": "ann", "MaxItems": 5})),
        "DeleteAccessKey" => after([user(), key()], named),
        "GetAccessKeyLastUsed" => after([user(), key()], json!({"AccessKeyId": "{AccessKeyId}"})),
        _ => None,
    }
}

fn group() -> (&'static str, Value) {
    ("CreateGroup", json!({"GroupName": "devs"}))
}

fn groups(operation: &str) -> Option<Case> {
    let member = ("AddUserToGroup", json!({"GroupName": "devs", "UserName": "ann"}));
    match operation {
        "CreateGroup" => after([], json!({"GroupName": "devs", "Path": "/team/"})),
        "GetGroup" => after([group()], json!({"GroupName": "devs", "MaxItems": 5})),
        "ListGroups" => after([], json!({"PathPrefix": "/", "MaxItems": 5})),
        "UpdateGroup" => after([group()], json!({"GroupName": "devs", "NewPath": "/team/", "NewGroupName": "crew"})),
        "DeleteGroup" => after([group()], json!({"GroupName": "devs"})),
        "AddUserToGroup" => after([user(), group()], member.1),
        "RemoveUserFromGroup" => after([user(), group(), member.clone()], member.1),
        "ListGroupsForUser" => after([user()], json!({"UserName": "ann", "MaxItems": 5})),
        _ => None,
    }
}

/// A trust policy.
fn trust() -> String {
    super::roles::trust(&json!({"AWS": "ACCT"}))
}

fn role() -> (&'static str, Value) {
    ("CreateRole", json!({"RoleName": "ci", "AssumeRolePolicyDocument": trust()}))
}

fn roles(operation: &str) -> Option<Case> {
    match operation {
        "CreateRole" => after(
            [],
            json!({
                "RoleName": "ci", "Path": "/team/", "AssumeRolePolicyDocument": trust(), "Description": "d",
                "MaxSessionDuration": 7200, "Tags": tags(),
            }),
        ),
        "GetRole" | "DeleteRole" => after([role()], json!({"RoleName": "ci"})),
        "ListRoles" => after([role()], json!({"PathPrefix": "/", "MaxItems": 5})),
        "UpdateRole" => after([role()], json!({"RoleName": "ci", "Description": "d", "MaxSessionDuration": 7200})),
        "UpdateRoleDescription" => after([role()], json!({"RoleName": "ci", "Description": "d"})),
        "UpdateAssumeRolePolicy" => after([role()], json!({"RoleName": "ci", "PolicyDocument": trust()})),
        "TagRole" => after([role()], json!({"RoleName": "ci", "Tags": tags()})),
        "UntagRole" => after([role()], json!({"RoleName": "ci", "TagKeys": ["k"]})),
        "ListRoleTags" => after([role()], json!({"RoleName": "ci", "MaxItems": 5})),
        _ => None,
    }
}
