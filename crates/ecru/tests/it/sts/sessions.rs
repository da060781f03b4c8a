//! GetSessionToken and GetFederationToken, how requests prove a session, and how sessions end.

use super::support::{allow, arn, assume, assumed, role, trust, user};
use kernel::clock::Time;
use meta::records::session;
use serde_json::json;
use std::time::Duration;
use testkit::http::Call;
use testkit::{AwsCaller, TestApp};

const OWNER: &str = "000000000000";
const INVALID: &str = "The security token included in the request is invalid.";

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

#[tokio::test]
async fn a_session_token_is_the_user_itself_but_for_iam_and_sts() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let ann = user(&admin, "ann", allow(&["ecr:*", "iam:*", "sts:*"])).await;
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let output = ann.session("GetSessionToken", json!({})).await.ok();
    let session = ann.with_credentials(&output["Credentials"]);
    let user_arn = format!("arn:aws:iam::{OWNER}:user/ann");
    assert_eq!((arn(&ann).await, arn(&session).await), (user_arn.clone(), user_arn));
    session.ecr("DescribeRepositories", json!({})).await.ok();
    // What it may call of IAM and STS.
    assert_eq!(session.iam("GetUser", json!({})).await.error("InvalidClientTokenId"), INVALID);
    ann.iam("GetUser", json!({})).await.ok();
    for (operation, input) in [
        ("GetSessionToken", json!({})),
        ("GetFederationToken", json!({"Name": "bob"})),
        ("GetAccessKeyInfo", json!({"AccessKeyId": session.access_key_id})),
    ] {
        let message = session.session(operation, input).await.error("AccessDenied");
        assert_eq!(message, format!("Cannot call {operation} with session credentials"));
    }
    // It is no chain: the role's own limit counts, and there is nothing to inherit.
    assert_eq!(
        arn(&assumed(&session, &role, json!({})).await).await,
        format!("arn:aws:sts::{OWNER}:assumed-role/app/ci")
    );
    // Half a day, and an hour for the root principal, whatever it asks for.
    app.clock.advance(hours(12).saturating_sub(Duration::from_secs(1)));
    session.ecr("DescribeRepositories", json!({})).await.ok();
    app.clock.advance(Duration::from_secs(1));
    session.ecr("DescribeRepositories", json!({})).await.error("ExpiredToken");
    let asked = admin.session("GetSessionToken", json!({"DurationSeconds": 129_600})).await.ok();
    let until = app.now().plus(hours(1)).0 / 1_000_000;
    assert_eq!(asked["Credentials"]["Expiration"].as_f64(), Some(until as f64));
    let root = admin.with_credentials(&asked["Credentials"]);
    assert_eq!(arn(&root).await, format!("arn:aws:iam::{OWNER}:root"));
    root.ecr("DescribeRepositories", json!({})).await.ok();
}

#[tokio::test]
async fn a_federated_user_has_what_its_user_and_its_session_policy_allow() {
    let app = TestApp::start().await;
    let admin = app.administrator().with_repository("app").await;
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let ann = user(&admin, "ann", allow(&["ecr:DescribeRepositories", "ecr:ListImages", "sts:*", "iam:*"])).await;
    let policy = allow(&["ecr:DescribeRepositories", "ecr:DeleteRepository", "sts:*", "iam:*"]).to_string();
    let input = json!({"Name": "bob", "Policy": policy, "Tags": [{"Key": "team", "Value": "a"}]});
    let output = ann.session("GetFederationToken", input).await.ok();
    assert_eq!(output["FederatedUser"]["Arn"], format!("arn:aws:sts::{OWNER}:federated-user/bob"));
    assert_eq!(output["FederatedUser"]["FederatedUserId"], format!("{OWNER}:bob"));
    assert_eq!(output["PackedPolicySize"], 1);
    let bob = ann.with_credentials(&output["Credentials"]);
    let identity = bob.session("GetCallerIdentity", json!({})).await.ok();
    assert_eq!(identity["UserId"], output["FederatedUser"]["FederatedUserId"]);
    bob.ecr("DescribeRepositories", json!({})).await.ok();
    bob.ecr("ListImages", json!({"repositoryName": "app"})).await.error("AccessDenied");
    bob.ecr("DeleteRepository", json!({"repositoryName": "app"})).await.error("AccessDenied");
    // No IAM, and of STS only who it is.
    bob.iam("ListUsers", json!({})).await.error("InvalidClientTokenId");
    let message = assume(&bob, &role, json!({})).await.error("AccessDenied");
    assert!(message.ends_with(&format!("not authorized to perform: sts:AssumeRole on resource: {role}")), "{message}");
    // Without a session policy there are only the resource policies that name it.
    let output = ann.session("GetFederationToken", json!({"Name": "eve"})).await.ok();
    assert!(output.get("PackedPolicySize").is_none(), "{output}");
    let eve = ann.with_credentials(&output["Credentials"]);
    eve.ecr("ListImages", json!({"repositoryName": "app"})).await.error("AccessDenied");
    let named = format!("arn:aws:sts::{OWNER}:federated-user/eve");
    let text = trust(&named, &["ecr:ListImages"]).to_string();
    admin.ecr("SetRepositoryPolicy", json!({"repositoryName": "app", "policyText": text})).await.ok();
    eve.ecr("ListImages", json!({"repositoryName": "app"})).await.ok();
}

#[tokio::test]
async fn a_role_session_gets_no_further_tokens_and_federation_needs_permissions() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["sts:*", "iam:*"])).await;
    let session = assumed(&admin, &role, json!({})).await;
    for (operation, input) in [("GetSessionToken", json!({})), ("GetFederationToken", json!({"Name": "bob"}))] {
        let message = session.session(operation, input).await.error("AccessDenied");
        assert_eq!(message, format!("Cannot call {operation} with session credentials"));
    }
    session.iam("ListUsers", json!({})).await.ok();
    let ann = user(&admin, "ann", allow(&["sts:GetFederationToken"])).await;
    let tagged = json!({"Name": "bob", "Tags": [{"Key": "team", "Value": "a"}]});
    let message = ann.session("GetFederationToken", tagged).await.error("AccessDenied");
    let resource = format!("arn:aws:sts::{OWNER}:federated-user/bob");
    assert!(
        message.contains(&format!("not authorized to perform: sts:TagSession on resource: {resource}")),
        "{message}"
    );
    let bare = user(&admin, "bare", allow(&["ecr:*"])).await;
    bare.session("GetFederationToken", json!({"Name": "bob"})).await.error("AccessDenied");
    bare.session("GetSessionToken", json!({})).await.ok();
    bare.session("GetAccessKeyInfo", json!({"AccessKeyId": bare.access_key_id})).await.error("AccessDenied");
    for (id, account) in [(&bare.access_key_id, Some(OWNER)), (&"AKIAUNKNOWNUNKNOWN22".to_owned(), None)] {
        let outcome = admin.session("GetAccessKeyInfo", json!({"AccessKeyId": id})).await;
        match account {
            Some(account) => assert_eq!(outcome.ok()["Account"], account),
            None => assert!(outcome.error("ValidationError").contains(id)),
        }
    }
}

/// The status and the error's name of a call of ECR and of a presigned call of STS.
async fn answers(caller: &AwsCaller<'_>) -> [(u16, String); 2] {
    let ecr = Call::new("POST", "/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
        .body("{}");
    let ecr = caller.sign("ecr", ecr).send(caller.app.address).await;
    let name = ecr.json()["__type"].as_str().unwrap_or_default().to_owned();
    let sts = Call::new("GET", "/?Action=GetCallerIdentity&Version=2011-06-15");
    let sts = caller.presign("sts", sts, 60).header("accept", "application/json").send(caller.app.address).await;
    let code = sts.json()["Error"]["Code"].as_str().unwrap_or_default().to_owned();
    [(ecr.status, name), (sts.status, code)]
}

#[tokio::test]
async fn a_request_proves_its_session_by_the_right_token_alone() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let session = assumed(&admin, &role, json!({})).await;
    let other = assumed(&admin, &role, json!({})).await;
    let with = |caller: &AwsCaller<'_>, token: Option<&str>| {
        let with = AwsCaller { session_token: token.map(str::to_owned), ..admin.clone() };
        AwsCaller { access_key_id: caller.access_key_id.clone(), secret: caller.secret.clone(), ..with }
    };
    let token = session.session_token.as_deref();
    let invalid = [(400, "UnrecognizedClientException"), (403, "InvalidClientTokenId")];
    let mismatch = [(400, "InvalidSignatureException"), (403, "SignatureDoesNotMatch")];
    let longer = format!("{}A", token.unwrap());
    for (what, caller, expected) in [
        ("its own token", session.clone(), [(200, ""), (200, "")]),
        ("no token", with(&session, None), invalid),
        ("another session's token", with(&session, other.session_token.as_deref()), invalid),
        ("a longer token", with(&session, Some(&longer)), invalid),
        ("a token with a long-term key", with(&admin, token), invalid),
        ("another session's secret", AwsCaller { secret: other.secret.clone(), ..session.clone() }, mismatch),
        ("an unknown key", AwsCaller { access_key_id: "ASIAUNKNOWNUNKNOWN22".into(), ..session.clone() }, invalid),
    ] {
        let found = answers(&caller).await;
        let found = found.each_ref().map(|(status, name)| (*status, name.as_str()));
        assert_eq!(found, expected, "{what}");
    }
    app.clock.advance(hours(1));
    let [ecr, sts] = answers(&session).await;
    assert_eq!((ecr, sts), ((400, "ExpiredTokenException".into()), (403, "ExpiredToken".into())));
    // Without its token it is no better than an unknown key.
    let [ecr, _] = answers(&with(&session, None)).await;
    assert_eq!(ecr.1, "UnrecognizedClientException");
}

#[tokio::test]
async fn a_session_ends_with_the_key_that_began_its_chain() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let ann = user(&admin, "ann", allow(&["sts:*", "ecr:*"])).await;
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*", "sts:*"])).await;
    let first = assumed(&ann, &role, json!({})).await;
    let second = assumed(&first, &role, json!({})).await;
    let token = ann.session("GetSessionToken", json!({})).await.ok();
    let own = ann.with_credentials(&token["Credentials"]);
    let of_admin = assumed(&admin, &role, json!({})).await;
    let key = |status: &str| json!({"UserName": "ann", "AccessKeyId": ann.access_key_id, "Status": status});
    admin.iam("UpdateAccessKey", key("Inactive")).await.ok();
    for session in [&first, &second, &own] {
        assert_eq!(session.ecr("DescribeRepositories", json!({})).await.error("UnrecognizedClient"), INVALID);
    }
    of_admin.ecr("DescribeRepositories", json!({})).await.ok();
    admin.iam("UpdateAccessKey", key("Active")).await.ok();
    for session in [&first, &second, &own] {
        session.ecr("DescribeRepositories", json!({})).await.ok();
    }
    admin.iam("DeleteAccessKey", json!({"UserName": "ann", "AccessKeyId": ann.access_key_id})).await.ok();
    for session in [&first, &second, &own] {
        session.ecr("DescribeRepositories", json!({})).await.error("UnrecognizedClient");
    }
}

#[tokio::test]
async fn a_session_is_removed_when_the_last_token_that_it_fetched_has_ended() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let session = assumed(&admin, &role, json!({"DurationSeconds": 900})).await;
    let find = || app.system.db.look_up(session::session(&session.access_key_id));
    let kept_until = app.now().plus(Duration::from_secs(900)).plus(app.system.limits.token_life);
    assert_eq!(Time(find().await.unwrap().unwrap().row.kept_until), kept_until);
    app.clock.advance(hours(12));
    assert!(find().await.unwrap().is_some());
    app.clock.advance(Duration::from_secs(900));
    // The queue of jobs looks again as time goes on.
    while find().await.unwrap().is_some() {
        app.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    session.ecr("DescribeRepositories", json!({})).await.error("UnrecognizedClient");
}

#[tokio::test]
async fn a_session_outlives_a_rotation_of_the_root_key() {
    let app = TestApp::start().await;
    let role = {
        let admin = app.administrator();
        role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await
    };
    let (old, password) = {
        let old = assumed(&app.administrator(), &role, json!({})).await;
        (
            json!({"AccessKeyId": old.access_key_id, "SecretAccessKey": old.secret, "SessionToken": old.session_token}),
            old.password().await,
        )
    };
    let app = app.restart_with_root_keys(&[(1, 7), (2, 9)]).await;
    let admin = app.administrator();
    admin.with_credentials(&old).ecr("DescribeRepositories", json!({})).await.ok();
    testkit::Docker::new(&app, Some(password)).get("/v2/").await.expect(200);
    // Both keys are in use now.
    assumed(&admin, &role, json!({})).await.ecr("DescribeRepositories", json!({})).await.ok();
    let used = app.system.db.read(|tx| tx.root_keys_used()).await.map_err(|error: meta::Error| error).unwrap();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), [1, 2]);
}
