//! What a role's trust policy is about.

use super::support::{allow, role, trust};
use kernel::access::{self, Caller, CallerIdentity, Need, Resource};
use kernel::{CommonError, Cx, Origin, RegistryId};
use meta::records::iam::{self, EntityKind, EntityRow};
use serde_json::json;
use testkit::TestApp;

#[tokio::test]
async fn a_trust_policy_allows_nothing_but_to_assume_the_role() {
    let app = TestApp::start().await;
    let account = aws::AccountId::DEFAULT;
    let admin = app.administrator();
    let ann = admin.iam("CreateUser", json!({"UserName": "ann"})).await.ok()["User"].clone();
    let trusts = |actions: &[&str]| trust(ann["Arn"].as_str().unwrap(), actions);
    let builder = role(&admin, "builder", trusts(&["sts:AssumeRole"]), allow(&["ecr:*"])).await;
    // CreateRole refuses actions of other services, so a stored policy can have them only from elsewhere.
    let everything = trusts(&["*"]).to_string();
    let stored = app.system.db.write(move |tx| {
        let role = tx.look_up(iam::entity_by_name(account.as_str(), EntityKind::Role, "builder"))?;
        tx.iam_entity_update(&EntityRow { trust_policy: Some(everything.clone()), ..role.unwrap() })
    });
    stored.await.map_err(|error: meta::Error| error).unwrap();
    let id = ann["UserId"].as_str().unwrap().to_owned();
    let identity = CallerIdentity::User { account, id, path_and_name: "ann".to_owned() };
    let cx = Cx {
        system: app.system.clone(),
        caller: Caller::with_key(identity, "AKIAEXAMPLE").into(),
        registry: RegistryId::private(account, "us-east-1".parse().unwrap()),
        origin: Origin::Job("test"),
    };
    let on_role = |action| Need::new(action, Resource::new(builder.clone(), account));
    access::authorize(&cx, &[on_role("sts:AssumeRole").required_of_trust_policy()]).await.unwrap();
    let denied = access::authorize(&cx, &[on_role("iam:DeleteRole")]).await.unwrap_err();
    let CommonError::AccessDenied(denial) = denied else { panic!("{denied}") };
    assert!(
        denial.to_string().ends_with("because no identity-based policy allows the iam:DeleteRole action"),
        "{denial}"
    );
}
