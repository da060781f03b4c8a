//! What a role's trust policy is about.
use super::support::{allow, role, trust};
use kernel::access::{self, Caller, CallerIdentity, Need, Resource};
use kernel::{CommonError, Cx, Origin, RegistryId};
use testkit::TestApp;

#[tokio::test]
async fn a_trust_policy_allows_nothing_but_to_assume_the_role() {
    let app = TestApp::start().await;
    let account = aws::AccountId::DEFAULT;
    let ann = "arn:aws:iam::000000000000:user/ann";
    let builder = role(&app.administrator(), "builder", trust(ann, &["*"]), allow(&["ecr:*"])).await;
    let identity = CallerIdentity::User { account, id: "AIDAEXAMPLE".to_owned(), path_and_name: "ann".to_owned() };
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
