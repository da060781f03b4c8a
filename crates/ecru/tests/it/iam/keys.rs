//! Access keys: their owners, their life, and their last use.

use serde_json::{Value, json};
use testkit::http::Answer;
use testkit::{AwsCaller, TestApp};

/// The keys of a CreateAccessKey answer, as a caller.
pub fn caller_of<'a>(administrator: &AwsCaller<'a>, created: &Value) -> AwsCaller<'a> {
    let text = |member: &str| created["AccessKey"][member].as_str().unwrap().to_owned();
    AwsCaller { access_key_id: text("AccessKeyId"), secret: text("SecretAccessKey"), ..administrator.clone() }
}

/// Creates a user with a key.
pub async fn user<'a>(administrator: &AwsCaller<'a>, name: &str) -> AwsCaller<'a> {
    administrator.iam("CreateUser", json!({"UserName": name})).await.ok();
    caller_of(administrator, &administrator.iam("CreateAccessKey", json!({"UserName": name})).await.ok())
}

async fn identity(caller: &AwsCaller<'_>) -> Answer {
    caller.sts("GetCallerIdentity", "").await
}

#[tokio::test]
async fn a_users_key_calls_as_the_user_and_only_while_it_is_active() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let created = root.iam("CreateUser", json!({"UserName": "ann", "Path": "/team/"})).await.ok();
    let key = root.iam("CreateAccessKey", json!({"UserName": "ann"})).await.ok();
    let ann = caller_of(&root, &key);
    assert_eq!(key["AccessKey"]["Status"], "Active");
    // The secret has AWS's form, and no later answer has it.
    assert_eq!((ann.access_key_id.len(), ann.secret.len()), (20, 40));
    let listed = root.iam("ListAccessKeys", json!({"UserName": "ann"})).await.ok();
    assert_eq!(listed["AccessKeyMetadata"][0]["AccessKeyId"], ann.access_key_id.as_str());
    assert!(!listed.to_string().contains(&ann.secret));
    // The user calls by its own ARN and unique id.
    let text = identity(&ann).await.expect(200).text();
    assert!(text.contains("<Arn>arn:aws:iam::000000000000:user/team/ann</Arn>"), "{text}");
    assert!(text.contains(&format!("<UserId>{}</UserId>", created["User"]["UserId"].as_str().unwrap())), "{text}");
    // It has no rights of its own.
    let denied = ann.ecr("DescribeRepositories", json!({})).await.error("AccessDenied");
    assert!(denied.contains("arn:aws:iam::000000000000:user/team/ann"), "{denied}");
    // A change of the key holds at once.
    let change = |status: &str| json!({"UserName": "ann", "AccessKeyId": ann.access_key_id, "Status": status});
    root.iam("UpdateAccessKey", change("Inactive")).await.ok();
    identity(&ann).await.expect(403);
    root.iam("UpdateAccessKey", change("Active")).await.ok();
    identity(&ann).await.expect(200);
    root.iam("DeleteUser", json!({"UserName": "ann"})).await.error("DeleteConflict");
    root.iam("DeleteAccessKey", json!({"UserName": "ann", "AccessKeyId": ann.access_key_id})).await.ok();
    identity(&ann).await.expect(403);
    root.iam("DeleteUser", json!({"UserName": "ann"})).await.ok();
}

#[tokio::test]
async fn a_user_has_two_keys_at_most_and_nobody_changes_those_of_another() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let ann = user(&root, "ann").await;
    user(&root, "bea").await;
    root.iam("CreateAccessKey", json!({"UserName": "ann"})).await.ok();
    let refused = root.iam("CreateAccessKey", json!({"UserName": "ann"})).await.error("LimitExceeded");
    assert_eq!(refused, "Cannot exceed quota for AccessKeysPerUser: 2");
    // Inactive keys count too.
    let own = json!({"UserName": "ann", "AccessKeyId": ann.access_key_id, "Status": "Inactive"});
    root.iam("UpdateAccessKey", own).await.ok();
    root.iam("CreateAccessKey", json!({"UserName": "ann"})).await.error("LimitExceeded");
    // A key is named with its own user alone.
    for (operation, status) in [("UpdateAccessKey", Some("Active")), ("DeleteAccessKey", None)] {
        let mut input = json!({"UserName": "bea", "AccessKeyId": ann.access_key_id});
        if let Some(status) = status {
            input["Status"] = status.into();
        }
        let message = root.iam(operation, input).await.error("NoSuchEntity");
        assert_eq!(message, format!("The Access Key with id {} cannot be found.", ann.access_key_id));
    }
    // Nor is it another account's.
    let stranger = app.account("111122223333", "us-east-1");
    let named = json!({"UserName": "ann", "AccessKeyId": ann.access_key_id});
    stranger.iam("DeleteAccessKey", named).await.error("NoSuchEntity");
    let read = json!({"AccessKeyId": ann.access_key_id});
    let denied = stranger.iam("GetAccessKeyLastUsed", read).await.error("AccessDenied");
    assert!(denied.contains(&format!("on resource: access key {}", ann.access_key_id)), "{denied}");
}

#[tokio::test]
async fn the_root_principal_has_keys_without_a_users_name() {
    let app = TestApp::start().await;
    let root = app.account("111122223333", "us-east-1");
    let second = caller_of(&root, &root.iam("CreateAccessKey", json!({})).await.ok());
    let text = identity(&second).await.expect(200).text();
    assert!(text.contains("<Arn>arn:aws:iam::111122223333:root</Arn>"), "{text}");
    let listed = second.iam("ListAccessKeys", json!({})).await.ok();
    assert_eq!(listed["AccessKeyMetadata"][0]["AccessKeyId"], second.access_key_id.as_str());
    second.iam("DeleteAccessKey", json!({"AccessKeyId": second.access_key_id})).await.ok();
    identity(&second).await.expect(403);
}

#[tokio::test]
async fn keys_are_listed_in_pages() {
    let app = TestApp::start().await;
    let root = app.administrator();
    user(&root, "ann").await;
    root.iam("CreateAccessKey", json!({"UserName": "ann"})).await.ok();
    let first = root.iam("ListAccessKeys", json!({"UserName": "ann", "MaxItems": 1})).await.ok();
    assert_eq!(first["IsTruncated"], true);
    let next = json!({"UserName": "ann", "Marker": first["Marker"], "MaxItems": 1});
    let second = root.iam("ListAccessKeys", next).await.ok();
    assert_eq!(second["IsTruncated"], false);
    let id = |page: &Value| page["AccessKeyMetadata"][0]["AccessKeyId"].as_str().unwrap().to_owned();
    assert!(id(&first) < id(&second));
}

#[tokio::test]
async fn the_last_use_of_a_key_is_recorded_once_a_minute() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let ann = user(&root, "ann").await;
    let read = async || {
        identity::credential_use::written(&app.system).await;
        root.iam("GetAccessKeyLastUsed", json!({"AccessKeyId": ann.access_key_id})).await.ok()
    };
    let never = read().await;
    assert_eq!(never["UserName"], "ann");
    assert_eq!(never["AccessKeyLastUsed"], json!({"ServiceName": "N/A", "Region": "N/A"}));
    // A call that is denied is a use too.
    ann.ecr("DescribeRepositories", json!({})).await.error("AccessDenied");
    let used = read().await["AccessKeyLastUsed"].clone();
    assert_eq!((&used["ServiceName"], &used["Region"]), (&json!("ecr"), &json!("us-east-1")));
    // A second use within the minute is not recorded, and one after it is.
    app.clock.advance(std::time::Duration::from_secs(59));
    identity(&ann).await.expect(200);
    assert_eq!(read().await["AccessKeyLastUsed"], used);
    app.clock.advance(std::time::Duration::from_secs(1));
    identity(&ann).await.expect(200);
    let later = read().await["AccessKeyLastUsed"].clone();
    assert_eq!(later["ServiceName"], "sts");
    assert!(later["LastUsedDate"].as_f64() > used["LastUsedDate"].as_f64());
    // A wrong signature is no use.
    app.clock.advance(std::time::Duration::from_secs(60));
    let forger = AwsCaller { secret: "wrong".to_owned(), ..ann.clone() };
    identity(&forger).await.expect(403);
    assert_eq!(read().await["AccessKeyLastUsed"], later);
}
