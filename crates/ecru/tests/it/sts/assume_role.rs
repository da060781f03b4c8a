//! AssumeRole: whom a trust policy allows it, and what its session is.

use super::support::{allow, arn, assume, assumed, role, role_of, trust};
use meta::records::iam::{EntityKind, EntityRow};
use meta::records::iam_policy::PolicyVersionRow;
use serde_json::json;
use std::time::Duration;
use testkit::TestApp;

const OWNER: &str = "000000000000";
const OTHER: &str = "111122223333";

#[tokio::test]
async fn the_administrator_assumes_a_role_and_has_its_rights_alone() {
    let app = TestApp::start().await;
    let admin = app.administrator().with_repository("app").await;
    let role = role(&admin, "reader", trust(OWNER, &["sts:AssumeRole"]), allow(&["ecr:DescribeRepositories"])).await;
    let output = assume(&admin, &role, json!({})).await.ok();
    let session = admin.with_credentials(&output["Credentials"]);
    assert!(session.access_key_id.starts_with("ASIA") && session.access_key_id.len() == 20, "{output}");
    assert_eq!(session.secret.len(), 40);
    let token = session.session_token.as_deref().unwrap();
    assert!(token.starts_with("v1.") && token.len() >= 16 && !token.contains(char::is_whitespace), "{token}");
    assert_eq!(output["SessionTokenSize"], token.len());
    assert_eq!(output["SessionTokenUtilization"], 2);
    let expires = app.now().plus(Duration::from_secs(3600)).0 / 1_000_000;
    assert_eq!(output["Credentials"]["Expiration"].as_f64(), Some(expires as f64));
    let session_arn = format!("arn:aws:sts::{OWNER}:assumed-role/reader/ci");
    assert_eq!(output["AssumedRoleUser"]["Arn"], session_arn);
    assert!(output.get("PackedPolicySize").is_none() && output.get("SourceIdentity").is_none(), "{output}");
    // Who calls.
    let identity = session.session("GetCallerIdentity", json!({})).await.ok();
    assert_eq!(identity["Arn"], session_arn);
    assert_eq!(identity["UserId"], output["AssumedRoleUser"]["AssumedRoleId"]);
    assert_eq!(identity["Account"], OWNER);
    // The rights.
    session.ecr("DescribeRepositories", json!({})).await.ok();
    let message = session.ecr("DeleteRepository", json!({"repositoryName": "app"})).await.error("AccessDenied");
    assert!(message.starts_with(&format!("User: {session_arn} is not authorized")), "{message}");
}

#[tokio::test]
async fn a_role_that_is_not_there_and_one_that_does_not_trust_the_caller_are_denied_alike() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let other = app.account(OTHER, "us-east-1");
    let trusted = role(&admin, "trusted", trust(OTHER, &["sts:AssumeRole"]), allow(&["ecr:*"])).await;
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole"},
        {"Effect": "Deny", "Principal": {"AWS": OTHER}, "Action": "sts:AssumeRole"},
    ]});
    let denies = role(&admin, "denies", deny, allow(&["ecr:*"])).await;
    let gone = format!("arn:aws:iam::{OWNER}:role/gone");
    let with_path = format!("arn:aws:iam::{OWNER}:role/team/trusted");
    let cased = format!("arn:aws:iam::{OWNER}:role/Trusted");
    let china = format!("arn:aws-cn:iam::{OWNER}:role/trusted");
    for (caller, role) in [
        (&admin, &trusted),
        (&admin, &gone),
        (&other, &denies),
        (&other, &gone),
        (&other, &with_path),
        (&other, &cased),
        (&other, &china),
    ] {
        let message = assume(caller, role, json!({})).await.error("AccessDenied");
        let user = format!("arn:aws:iam::{}:root", caller.account());
        assert_eq!(message, format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role}"));
    }
    // The other account's session works in the account of the role.
    let session = assumed(&other, &trusted, json!({})).await;
    assert_eq!(arn(&session).await, format!("arn:aws:sts::{OWNER}:assumed-role/trusted/ci"));
    admin.repository("app").await;
    assert_eq!(session.ecr("DescribeRepositories", json!({})).await.ok()["repositories"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn conditions_of_the_trust_policy_see_the_request() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let conditional = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {
            "StringEquals": {"sts:ExternalId": "secret", "aws:RequestTag/team": "a", "sts:SourceIdentity": "ann"},
            "StringLike": {"sts:RoleSessionName": "c?"},
            "ForAllValues:StringEquals": {"sts:TransitiveTagKeys": ["team"]},
        },
    }});
    let role = role(&admin, "strict", conditional, allow(&["ecr:*"])).await;
    let team = |value: &str| json!([{"Key": "team", "Value": value}, {"Key": "b", "Value": "c"}]);
    let whole =
        json!({"ExternalId": "secret", "Tags": team("a"), "SourceIdentity": "ann", "TransitiveTagKeys": ["team"]});
    let output = assume(&admin, &role, whole.clone()).await.ok();
    assert_eq!(output["SourceIdentity"], "ann");
    assert_eq!(output["PackedPolicySize"], 1);
    for (member, value) in [
        ("ExternalId", json!("wrong")),
        ("Tags", team("b")),
        ("SourceIdentity", json!("bob")),
        ("TransitiveTagKeys", json!(["team", "b"])),
        ("RoleSessionName", json!("other")),
    ] {
        let mut input = whole.clone();
        input[member] = value;
        assume(&admin, &role, input).await.error("AccessDenied");
    }
}

#[tokio::test]
async fn tags_and_a_source_identity_need_permissions_of_their_own() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let plain = role(&admin, "plain", trust(OWNER, &["sts:AssumeRole"]), allow(&["ecr:*"])).await;
    for (input, action) in [
        (json!({"Tags": [{"Key": "team", "Value": "a"}]}), "sts:TagSession"),
        (json!({"SourceIdentity": "ann"}), "sts:SetSourceIdentity"),
    ] {
        let message = assume(&admin, &plain, input).await.error("AccessDenied");
        let user = format!("arn:aws:iam::{OWNER}:root");
        assert_eq!(message, format!("User: {user} is not authorized to perform: {action} on resource: {plain}"));
    }
}

#[tokio::test]
async fn a_session_lives_as_long_as_asked_and_no_longer_than_its_role_allows() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let policy = || allow(&["ecr:*", "sts:*"]);
    let long = role_of(&admin, "long", 7200, trust(OWNER, &["sts:*"]), policy()).await;
    let short = role(&admin, "short", trust(OWNER, &["sts:*"]), policy()).await;
    let over = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    for (role, seconds) in [(&long, 7201), (&short, 3601)] {
        assert_eq!(assume(&admin, role, json!({"DurationSeconds": seconds})).await.error("ValidationError"), over);
    }
    let session = assumed(&admin, &long, json!({"DurationSeconds": 7200})).await;
    // A role session assumes roles for an hour at most.
    let chained = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
    assert_eq!(assume(&session, &long, json!({"DurationSeconds": 3601})).await.error("ValidationError"), chained);
    assumed(&session, &long, json!({"DurationSeconds": 3600})).await;
    app.clock.advance(Duration::from_secs(7199));
    session.ecr("DescribeRepositories", json!({})).await.ok();
    app.clock.advance(Duration::from_secs(1));
    let expired = "The security token included in the request is expired";
    assert_eq!(session.ecr("DescribeRepositories", json!({})).await.error("ExpiredToken"), expired);
    assert_eq!(session.session("GetCallerIdentity", json!({})).await.error("ExpiredToken"), expired);
}

#[tokio::test]
async fn a_chain_of_roles_inherits_transitive_tags_and_the_source_identity() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let first = role(&admin, "first", trust(OWNER, &["sts:*"]), allow(&["sts:*"])).await;
    let tagged = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ecr:*", "Resource": "*",
        "Condition": {"StringEquals": {"aws:PrincipalTag/team": "a", "aws:SourceIdentity": "ann"},
            "Null": {"aws:PrincipalTag/other": "true"}}}});
    let second = role(&admin, "second", trust(OWNER, &["sts:*"]), tagged).await;
    let untagged =
        role(&admin, "untagged", trust(OWNER, &["sts:AssumeRole", "sts:SetSourceIdentity"]), allow(&["ecr:*"])).await;
    let anonymous =
        role(&admin, "anonymous", trust(OWNER, &["sts:AssumeRole", "sts:TagSession"]), allow(&["ecr:*"])).await;
    let tags = json!([{"Key": "team", "Value": "a"}, {"Key": "other", "Value": "b"}]);
    let begin = json!({"Tags": tags, "TransitiveTagKeys": ["TEAM"], "SourceIdentity": "ann"});
    let session = assumed(&admin, &first, begin).await;
    let output = assume(&session, &second, json!({})).await.ok();
    assert_eq!((&output["SourceIdentity"], &output["PackedPolicySize"]), (&json!("ann"), &json!(1)));
    let chained = admin.with_credentials(&output["Credentials"]);
    chained.ecr("DescribeRepositories", json!({})).await.ok();
    assumed(&admin, &second, json!({})).await.ecr("DescribeRepositories", json!({})).await.error("AccessDenied");
    // What is inherited can't be replaced.
    let conflict = assume(&session, &second, json!({"Tags": [{"Key": "Team", "Value": "b"}]})).await;
    assert!(conflict.error("ValidationError").contains("conflicts with a transitive tag key"));
    assume(&session, &second, json!({"SourceIdentity": "bob"})).await.error("AccessDenied");
    assumed(&session, &second, json!({"SourceIdentity": "ann"})).await;
    // It needs the same permissions as what is given.
    for (role, action) in [(&untagged, "sts:TagSession"), (&anonymous, "sts:SetSourceIdentity")] {
        let message = assume(&session, role, json!({})).await.error("AccessDenied");
        assert!(message.contains(&format!("not authorized to perform: {action} on")), "{message}");
    }
}

#[tokio::test]
async fn session_policies_limit_the_rights_of_the_role() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let policy = allow(&["ecr:DescribeRepositories", "sts:GetAccessKeyInfo"]).to_string();
    let session = assumed(&admin, &role, json!({"Policy": policy})).await;
    session.ecr("DescribeRepositories", json!({})).await.ok();
    let message = session.ecr("CreateRepository", json!({"repositoryName": "app"})).await.error("AccessDenied");
    assert!(message.contains("because no session policy allows the ecr:CreateRepository action"), "{message}");
    // It adds nothing to the role's rights.
    let id = json!({"AccessKeyId": session.access_key_id});
    session.session("GetAccessKeyInfo", id.clone()).await.error("AccessDenied");
    assert_eq!(admin.session("GetAccessKeyInfo", id).await.ok()["Account"], OWNER);
}

#[tokio::test]
async fn no_session_has_an_mfa_device_or_a_trusted_context() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let mfa = json!({"SerialNumber": "arn:aws:iam::000000000000:mfa/ann", "TokenCode": "123456"});
    let wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code.";
    assert_eq!(assume(&admin, &role, mfa.clone()).await.error("AccessDenied"), wrong);
    assert_eq!(admin.session("GetSessionToken", mfa).await.error("AccessDenied"), wrong);
    let context = json!({"ProvidedContexts": [{"ProviderArn": role, "ContextAssertion": "abcd"}]});
    assume(&admin, &role, context).await.error("InvalidContextAssertion");
}

#[tokio::test]
async fn a_session_token_is_as_long_as_asked() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    for (least, utilization) in [(0, 2), (67, 2), (1000, 25), (4096, 100)] {
        let output = assume(&admin, &role, json!({"MinimumSessionTokenSize": least})).await.ok();
        let token = output["Credentials"]["SessionToken"].as_str().unwrap();
        assert!(token.len() >= least.max(64) && token.len() <= 4096, "{least}: {}", token.len());
        assert_eq!(output["SessionTokenSize"], token.len());
        assert_eq!(output["SessionTokenUtilization"], utilization);
        admin.with_credentials(&output["Credentials"]).ecr("DescribeRepositories", json!({})).await.ok();
    }
}

/// Stores a managed policy or its next version behind the server's back, and returns its ARN.
async fn managed(app: &TestApp, number: i64, document: serde_json::Value) -> String {
    let row = EntityRow {
        id: "ANPAEXAMPLE".to_owned(),
        account: OWNER.to_owned(),
        kind: EntityKind::Policy,
        name: "narrow".to_owned(),
        path: "/team/".to_owned(),
        created_at: 0,
        updated_at: 0,
        description: None,
        trust_policy: None,
        max_session: None,
        default_version: Some(number),
        last_version: Some(number),
    };
    let version = PolicyVersionRow { number, document: document.to_string(), created_at: 0 };
    let stored = app.system.db.write(move |tx| {
        if number == 1 { tx.iam_entity_insert(&row) } else { tx.iam_entity_update(&row) }?;
        tx.policy_version_insert(&row.id, &version)
    });
    stored.await.map_err(|error: meta::Error| error).unwrap();
    format!("arn:aws:iam::{OWNER}:policy/team/narrow")
}

#[tokio::test]
async fn managed_session_policies_count_as_they_are_and_allow_nothing_when_they_are_gone() {
    let app = TestApp::start().await;
    let admin = app.administrator();
    let role = role(&admin, "app", trust(OWNER, &["sts:*"]), allow(&["ecr:*"])).await;
    let arn = managed(&app, 1, allow(&["ecr:DescribeRepositories"])).await;
    for other in [arn.replace("team/", ""), arn.replace(OWNER, OTHER), arn.replace(":aws:", ":nowhere:")] {
        let message = assume(&admin, &role, json!({"PolicyArns": [{"arn": other}]})).await.error("ValidationError");
        assert_eq!(message, format!("The managed session policy {other} does not exist."));
    }
    let session = assumed(&admin, &role, json!({"PolicyArns": [{"arn": arn}]})).await;
    let unlimited = assumed(&admin, &role, json!({})).await;
    session.ecr("DescribeRepositories", json!({})).await.ok();
    session.ecr("DescribeRegistry", json!({})).await.error("AccessDenied");
    managed(&app, 2, allow(&["ecr:DescribeRegistry"])).await;
    session.ecr("DescribeRegistry", json!({})).await.ok();
    session.ecr("DescribeRepositories", json!({})).await.error("AccessDenied");
    let gone = app.system.db.write(|tx| tx.iam_entity_delete("ANPAEXAMPLE"));
    gone.await.map_err(|error: meta::Error| error).unwrap();
    session.ecr("DescribeRegistry", json!({})).await.error("AccessDenied");
    unlimited.ecr("DescribeRegistry", json!({})).await.ok();
}
