//! Instance profiles, service-linked roles, and what an account has beside entities.

use super::roles::trust;
use serde_json::{Value, json};
use testkit::{AwsCaller, TestApp};

async fn role(root: &AwsCaller<'_>, name: &str) {
    let trust = trust(&json!({"Service": "ec2.amazonaws.com"}));
    root.iam("CreateRole", json!({"RoleName": name, "AssumeRolePolicyDocument": trust})).await.ok();
}

#[tokio::test]
async fn an_instance_profile_passes_one_role() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let made = root.iam("CreateInstanceProfile", json!({"InstanceProfileName": "vm", "Path": "/team/"})).await.ok();
    assert_eq!(made["InstanceProfile"]["Arn"], "arn:aws:iam::000000000000:instance-profile/team/vm");
    assert_eq!(made["InstanceProfile"]["Roles"], json!([]));
    role(&root, "ci").await;
    role(&root, "cd").await;
    let with = |role: &str| json!({"InstanceProfileName": "vm", "RoleName": role});
    root.iam("AddRoleToInstanceProfile", with("ci")).await.ok();
    for second in ["cd", "ci"] {
        let refused = root.iam("AddRoleToInstanceProfile", with(second)).await.error("LimitExceeded");
        assert_eq!(refused, "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1");
    }
    let shown = root.iam("GetInstanceProfile", json!({"InstanceProfileName": "vm"})).await.ok();
    assert_eq!(shown["InstanceProfile"]["Roles"][0]["RoleName"], "ci");
    let listed = root.iam("ListInstanceProfilesForRole", json!({"RoleName": "ci"})).await.ok();
    assert_eq!(listed["InstanceProfiles"], json!([shown["InstanceProfile"]]));
    let all = root.iam("ListInstanceProfiles", json!({})).await.ok();
    assert_eq!(all["InstanceProfiles"], listed["InstanceProfiles"]);
    // Neither goes while they belong together.
    root.iam("DeleteRole", json!({"RoleName": "ci"})).await.error("DeleteConflict");
    root.iam("DeleteInstanceProfile", json!({"InstanceProfileName": "vm"})).await.error("DeleteConflict");
    let missing = root.iam("RemoveRoleFromInstanceProfile", with("cd")).await.error("NoSuchEntity");
    assert_eq!(missing, "Role cd in Instance Profile vm cannot be found.");
    root.iam("RemoveRoleFromInstanceProfile", with("ci")).await.ok();
    root.iam("DeleteInstanceProfile", json!({"InstanceProfileName": "vm"})).await.ok();
    root.iam("DeleteRole", json!({"RoleName": "ci"})).await.ok();
    let gone = root.iam("GetInstanceProfile", json!({"InstanceProfileName": "vm"})).await.error("NoSuchEntity");
    assert_eq!(gone, "Instance Profile vm cannot be found.");
}

#[tokio::test]
async fn only_a_service_changes_its_role() {
    let app = TestApp::start().await;
    let root = app.administrator();
    for (service, name) in [
        ("replication.ecr.amazonaws.com", "AWSServiceRoleForECRReplication"),
        ("pullthroughcache.ecr.amazonaws.com", "AWSServiceRoleForECRPullThroughCache"),
        ("ecr.amazonaws.com", "AWSServiceRoleForECRTemplate"),
    ] {
        let made = root.iam("CreateServiceLinkedRole", json!({"AWSServiceName": service})).await.ok();
        let arn = format!("arn:aws:iam::000000000000:role/aws-service-role/{service}/{name}");
        assert_eq!(made["Role"]["Arn"], arn);
        assert!(made["Role"]["AssumeRolePolicyDocument"].as_str().unwrap().contains(service));
        let again = root.iam("CreateServiceLinkedRole", json!({"AWSServiceName": service})).await.error("InvalidInput");
        assert!(again.starts_with(&format!("Service role name {name} has been taken in this account")), "{again}");
        // Only the description may change.
        root.iam("UpdateRole", json!({"RoleName": name, "Description": "d"})).await.ok();
        root.iam("CreateInstanceProfile", json!({"InstanceProfileName": name})).await.ok();
        let trust = trust(&json!({"AWS": "*"}));
        for (operation, input) in [
            ("UpdateRole", json!({"RoleName": name, "MaxSessionDuration": 7200})),
            ("UpdateAssumeRolePolicy", json!({"RoleName": name, "PolicyDocument": trust})),
            ("DeleteRole", json!({"RoleName": name})),
            ("AddRoleToInstanceProfile", json!({"RoleName": name, "InstanceProfileName": name})),
        ] {
            let refused = root.iam(operation, input).await.error("UnmodifiableEntity");
            assert!(refused.contains(&format!("the protected role '{name}'")), "{refused}");
        }
        let deleted = root.iam("DeleteServiceLinkedRole", json!({"RoleName": name})).await.ok();
        let status = root.iam("GetServiceLinkedRoleDeletionStatus", deleted.clone()).await.ok();
        assert_eq!(status["Status"], "SUCCEEDED");
        root.iam("GetRole", json!({"RoleName": name})).await.error("NoSuchEntity");
        // Only the account that deleted the role knows the deletion.
        let stranger = app.account("111122223333", "us-east-1");
        stranger.iam("GetServiceLinkedRoleDeletionStatus", deleted).await.error("NoSuchEntity");
    }
    for (input, says) in [
        (json!({"AWSServiceName": "ec2.amazonaws.com"}), "Service-linked roles of Ecru are for"),
        (json!({"AWSServiceName": "ecr.amazonaws.com", "CustomSuffix": "x"}), "Custom suffix is not allowed"),
    ] {
        let refused = root.iam("CreateServiceLinkedRole", input).await.error("InvalidInput");
        assert!(refused.starts_with(says), "{refused}");
    }
    // No role that a client creates looks like one, and none that it created is deleted like one.
    let document = trust(&json!({"AWS": "*"}));
    let forged = json!({"RoleName": "x", "Path": "/aws-service-role/x/", "AssumeRolePolicyDocument": document});
    root.iam("CreateRole", forged).await.error("InvalidInput");
    role(&root, "ci").await;
    root.iam("DeleteServiceLinkedRole", json!({"RoleName": "ci"})).await.error("NoSuchEntity");
    root.iam("GetRole", json!({"RoleName": "ci"})).await.ok();
    root.iam("GetServiceLinkedRoleDeletionStatus", json!({"DeletionTaskId": "task/x"})).await.error("NoSuchEntity");
}

#[tokio::test]
async fn a_summary_counts_what_the_account_has() {
    let app = TestApp::start().await;
    let root = app.account("111122223333", "us-east-1");
    let summary = async || root.iam("GetAccountSummary", json!({})).await.ok()["SummaryMap"].clone();
    let count = |summary: &Value, name: &str| summary[name].as_i64().unwrap();
    let before = summary().await;
    for name in ["Users", "Groups", "Roles", "InstanceProfiles", "Policies", "AccountAccessKeysPresent"] {
        assert_eq!(count(&before, name), 0, "{name}");
    }
    root.iam("CreateUser", json!({"UserName": "ann"})).await.ok();
    root.iam("CreateUser", json!({"UserName": "bea"})).await.ok();
    root.iam("CreateGroup", json!({"GroupName": "devs"})).await.ok();
    role(&root, "ci").await;
    root.iam("CreateAccessKey", json!({})).await.ok();
    let after = summary().await;
    for (name, number) in
        [("Users", 2), ("Groups", 1), ("Roles", 1), ("AccountAccessKeysPresent", 1), ("UsersQuota", 5000)]
    {
        assert_eq!(count(&after, name), number, "{name}");
    }
    assert_eq!(root.iam("ListAccountAliases", json!({})).await.ok()["AccountAliases"], json!([]));
}

#[tokio::test]
async fn users_have_no_password_and_no_second_factor() {
    let app = TestApp::start().await;
    let root = app.administrator();
    root.iam("CreateUser", json!({"UserName": "ann"})).await.ok();
    for (operation, list) in [
        ("ListSigningCertificates", "Certificates"),
        ("ListMFADevices", "MFADevices"),
        ("ListSSHPublicKeys", "SSHPublicKeys"),
        ("ListServiceSpecificCredentials", "ServiceSpecificCredentials"),
    ] {
        assert_eq!(root.iam(operation, json!({"UserName": "ann"})).await.ok()[list], json!([]), "{operation}");
        let missing = root.iam(operation, json!({"UserName": "gone"})).await.error("NoSuchEntity");
        assert_eq!(missing, "The user with name gone cannot be found.");
    }
    assert_eq!(root.iam("ListVirtualMFADevices", json!({})).await.ok()["VirtualMFADevices"], json!([]));
    for operation in ["GetLoginProfile", "DeleteLoginProfile"] {
        let none = root.iam(operation, json!({"UserName": "ann"})).await.error("NoSuchEntity");
        assert_eq!(none, "Login Profile for User ann cannot be found.");
    }
}
