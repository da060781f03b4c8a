//! Valid inputs of the operations about keys, groups, roles and instance profiles. `{MEMBER}` stands for what an earlier call answered.

use super::cases::{BOUNDARY, Case, after, tags, user};
use serde_json::{Value, json};

/// The operations about passwords, which no user has. Their valid inputs are refused as NoSuchEntity.
pub const WITHOUT_SUBJECT: [&str; 2] = ["GetLoginProfile", "DeleteLoginProfile"];

pub fn case(operation: &str) -> Option<Case> {
    keys(operation)
        .or_else(|| groups(operation))
        .or_else(|| roles(operation))
        .or_else(|| profiles(operation))
        .or_else(|| others(operation))
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
                "MaxSessionDuration": 7200, "PermissionsBoundary": BOUNDARY, "Tags": tags(),
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

fn profile() -> (&'static str, Value) {
    ("CreateInstanceProfile", json!({"InstanceProfileName": "vm"}))
}

fn profiles(operation: &str) -> Option<Case> {
    let named = json!({"InstanceProfileName": "vm", "RoleName": "ci"});
    match operation {
        "CreateInstanceProfile" => after([], json!({"InstanceProfileName": "vm", "Path": "/team/", "Tags": tags()})),
        "GetInstanceProfile" | "DeleteInstanceProfile" => after([profile()], json!({"InstanceProfileName": "vm"})),
        "ListInstanceProfiles" => after([profile()], json!({"PathPrefix": "/", "MaxItems": 5})),
        "AddRoleToInstanceProfile" => after([profile(), role()], named),
        "RemoveRoleFromInstanceProfile" => {
            after([profile(), role(), ("AddRoleToInstanceProfile", named.clone())], named)
        }
        "ListInstanceProfilesForRole" => after([role()], json!({"RoleName": "ci", "MaxItems": 5})),
        "TagInstanceProfile" => after([profile()], json!({"InstanceProfileName": "vm", "Tags": tags()})),
        "UntagInstanceProfile" => after([profile()], json!({"InstanceProfileName": "vm", "TagKeys": ["k"]})),
        "ListInstanceProfileTags" => after([profile()], json!({"InstanceProfileName": "vm", "MaxItems": 5})),
        _ => None,
    }
}

fn others(operation: &str) -> Option<Case> {
    let service = json!({"AWSServiceName": "replication.ecr.amazonaws.com"});
    let linked = ("CreateServiceLinkedRole", service.clone());
    let delete = ("DeleteServiceLinkedRole", json!({"RoleName": "AWSServiceRoleForECRReplication"}));
    match operation {
        "CreateServiceLinkedRole" => {
            after([], json!({"AWSServiceName": "replication.ecr.amazonaws.com", "Description": "d"}))
        }
        "DeleteServiceLinkedRole" => after([linked], delete.1),
        "GetServiceLinkedRoleDeletionStatus" => after([linked, delete], json!({"DeletionTaskId": "{DeletionTaskId}"})),
        "GetAccountSummary" => after([], json!({})),
        "ListAccountAliases" => after([], json!({"MaxItems": 5})),
        "ListSigningCertificates" | "ListMFADevices" | "ListSSHPublicKeys" => {
            after([user()], json!({"UserName": "ann", "MaxItems": 5}))
        }
        "ListServiceSpecificCredentials" => after(
            [user()],
            json!({"UserName": "ann", "ServiceName": "codecommit.amazonaws.com", "AllUsers": false, "MaxItems": 5}),
        ),
        "GetLoginProfile" | "DeleteLoginProfile" => after([user()], json!({"UserName": "ann"})),
        "ListVirtualMFADevices" => after([], json!({"AssignmentStatus": "Any", "MaxItems": 5})),
        _ => None,
    }
}
