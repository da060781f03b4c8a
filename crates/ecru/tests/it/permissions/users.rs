//! Users of the owner's account.

use super::{FREE, OWNER, Operation, call, denied, input, key, shown, world};
use aws::AccountId;
use call::{Entry, Protocol, Service};
use ecru::doors::operations;
use kernel::RegistryId;
use kernel::recent::RECENT;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::http::Answer;
use testkit::{AwsCaller, TestApp};

use crate::iam::{self, cases, keys};

/// How the denial of a user without policies goes on.
pub const BARE_USER_LACKS: &str = "because no identity-based policy allows the";

/// The role's trust policy must allow it as well. The denial does not tell why.
const ASSUME_ROLE: Operation = ("sts", "AssumeRole");

/// A user with at most one inline policy.
pub struct User<'a> {
    pub caller: AwsCaller<'a>,
    app: &'a TestApp,
    /// The user's unique id.
    id: String,
}

impl<'a> User<'a> {
    pub async fn create(app: &'a TestApp) -> User<'a> {
        User::of(app, &app.administrator()).await
    }

    /// Creates the user in the account of an administrator.
    pub async fn of(app: &'a TestApp, administrator: &AwsCaller<'a>) -> User<'a> {
        let caller = keys::user(administrator, "walker").await;
        let user = administrator.iam("GetUser", json!({"UserName": "walker"})).await.ok();
        User { app, caller, id: user["User"]["UserId"].as_str().unwrap().to_owned() }
    }

    /// Allows these actions on every resource, and nothing else.
    pub async fn allow(&self, actions: &[&str]) {
        // A policy must have an action.
        let actions = if actions.is_empty() { &["none:None"] } else { actions };
        self.set(json!({"Effect": "Allow", "Action": actions, "Resource": "*"})).await;
    }

    /// Allows every action but one.
    pub async fn allow_all_but(&self, action: &str) {
        self.set(json!({"Effect": "Allow", "NotAction": action, "Resource": "*"})).await;
    }

    /// Replaces the user's statements.
    pub async fn set(&self, statement: Value) {
        let (id, document) = (self.id.clone(), json!({"Version": "2012-10-17", "Statement": statement}).to_string());
        let stored: Result<(), meta::Error> =
            self.app.system.db.write(move |tx| tx.inline_policy_put(&id, "rights", &document)).await;
        stored.unwrap();
        // As if another node had changed it.
        self.app.clock.advance(RECENT);
    }
}

/// A valid input of an operation in the caller's own account, after the calls that make what it names.
async fn own_input(administrator: &AwsCaller<'_>, service: &Service, entry: &Entry) -> Value {
    if key(service, entry) == ASSUME_ROLE {
        let statement = json!({"Effect": "Allow", "Principal": {"AWS": OWNER}, "Action": "sts:AssumeRole"});
        let trust = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        administrator.iam("CreateRole", json!({"RoleName": "app", "AssumeRolePolicyDocument": trust})).await.ok();
    }
    if service.signing_name != iam::SERVICE {
        return input(key(service, entry)).unwrap_or_else(|| json!({}));
    }
    let case = cases::case(entry.name);
    for (operation, input) in case.before {
        // It may exist already.
        administrator.iam(operation, iam::in_account(administrator, &input)).await;
    }
    iam::in_account(administrator, &case.valid[0])
}

fn is_denied(service: &Service, answer: &Answer) -> bool {
    match service.protocol {
        Protocol::Json { .. } => answer.json()["__type"] == "AccessDeniedException",
        Protocol::Query { .. } => answer.text().contains("<Code>AccessDenied</Code>"),
    }
}

#[tokio::test]
async fn a_user_without_policies_may_do_nothing_in_its_own_account() {
    let app = TestApp::start().await;
    world(&app).await;
    let owner = app.administrator();
    let user = User::create(&app).await;
    let before = shown(&owner).await;
    let mut free = 0;
    for (service, entry) in operations() {
        let input = own_input(&owner, service, entry).await;
        let answer = user.caller.send(service.signing_name, call(service, entry.name, &input)).await;
        if FREE.contains(&key(service, entry)) {
            free += 1;
            assert!(!is_denied(service, &answer), "{}", entry.name);
            continue;
        }
        let message = denied(service, entry.name, answer);
        assert!(message.starts_with(&format!("User: arn:aws:iam::{OWNER}:user/walker is not")), "{message}");
        // AWS's text alone.
        let (tells_why, end) =
            if key(service, entry) == ASSUME_ROLE { (false, ":role/app") } else { (true, " action") };
        assert_eq!((message.contains(BARE_USER_LACKS), message.ends_with(end)), (tells_why, true), "{message}");
    }
    assert_eq!((free, shown(&owner).await), (FREE.len(), before));
}

#[tokio::test]
async fn a_user_may_call_an_operation_with_the_actions_that_it_needs_and_not_without_one_of_them() {
    let app = TestApp::start().await;
    world(&app).await;
    let owner = app.administrator();
    let user = User::create(&app).await;
    let registry = RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap());
    for (service, entry) in operations().filter(|(service, entry)| !FREE.contains(&key(service, entry))) {
        let call = call(service, entry.name, &own_input(&owner, service, entry).await);
        let needs = entry.needs(call.body.clone(), &registry).unwrap();
        let required = needs.into_iter().filter(|need| !need.optional);
        let actions: BTreeSet<String> = required.map(|need| need.action.into_owned()).collect();
        for action in &actions {
            user.allow_all_but(action).await;
            let answer = user.caller.send(service.signing_name, call.clone()).await;
            let message = denied(service, entry.name, answer);
            assert!(message.contains(&format!("not authorized to perform: {action} on")), "{message}");
        }
        user.allow(&actions.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let answer = user.caller.send(service.signing_name, call).await;
        assert!(!is_denied(service, &answer), "{}: {}", entry.name, answer.text());
    }
}
