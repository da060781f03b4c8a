mod explained;
mod limits;
mod required;
mod statements;

use super::evaluate;
use crate::{
    AttachedPolicy, Cause, Decision, Document, Grammar, GrantBasis, Policies, PolicyKind, Principal, PrincipalKind,
    Request, ResourceRule,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const OWNER: &str = "111111111111";
const STRANGER: &str = "222222222222";
const USER_ID: &str = "AIDAANNANNANNANNANNA2";
const ROLE_ID: &str = "AROABUILDERBUILDERBU2";
const REPOSITORY: &str = "arn:aws:ecr:us-east-1:111111111111:repository/team/app";

/// Users and roles have the unique ids [`USER_ID`] and [`ROLE_ID`].
fn principal(account: &str, arn: &str, kind: PrincipalKind) -> Principal {
    let arn = arn.replace("ACCT", account);
    let unique_id = match &kind {
        PrincipalKind::User => Some(USER_ID),
        PrincipalKind::FederatedUser { of } if of.contains(":user/") => Some(USER_ID),
        PrincipalKind::RoleSession { .. } => Some(ROLE_ID),
        _ => None,
    };
    Principal { account: account.parse().ok(), unique_id: unique_id.map(str::to_owned), arn, kind }
}

fn root(account: &str) -> Principal {
    principal(account, "arn:aws:iam::ACCT:root", PrincipalKind::Root)
}

fn user(account: &str) -> Principal {
    principal(account, "arn:aws:iam::ACCT:user/dev/ann", PrincipalKind::User)
}

fn session(account: &str) -> Principal {
    let role = format!("arn:aws:iam::{account}:role/ci/builder");
    principal(account, "arn:aws:sts::ACCT:assumed-role/builder/run", PrincipalKind::RoleSession { role })
}

fn federated(account: &str) -> Principal {
    let of = user(account).arn;
    principal(account, "arn:aws:sts::ACCT:federated-user/fred", PrincipalKind::FederatedUser { of })
}

fn federated_of_root(account: &str) -> Principal {
    let of = root(account).arn;
    principal(account, "arn:aws:sts::ACCT:federated-user/fred", PrincipalKind::FederatedUser { of })
}

fn service() -> Principal {
    principal("", "codebuild.amazonaws.com", PrincipalKind::Service)
}

fn nobody() -> Principal {
    principal("", "anonymous", PrincipalKind::Anonymous)
}

/// Policies with these statements, by the names `policy 0`, `policy 1` and so on. An element may be a list of statements.
fn documents(grammar: Grammar, statements: &[Value]) -> Vec<AttachedPolicy> {
    let read = |(index, statement): (usize, &Value)| {
        let text = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        let document = Document::parse(&text, grammar).unwrap_or_else(|e| panic!("{text}: {e}"));
        AttachedPolicy::new(format!("policy {index}"), document)
    };
    statements.iter().enumerate().map(read).collect()
}

fn own(effect: &str) -> Vec<AttachedPolicy> {
    documents(Grammar::Identity, &[json!({"Effect": effect, "Action": "ecr:*", "Resource": "*"})])
}

/// A policy that does not apply to the request.
fn silent() -> Vec<AttachedPolicy> {
    documents(Grammar::Identity, &[json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})])
}

fn shared(effect: &str, principal: &Value) -> Vec<AttachedPolicy> {
    documents(Grammar::Resource, &[json!({"Effect": effect, "Principal": principal, "Action": "ecr:*"})])
}

fn aws(arn: &str) -> Value {
    json!({"AWS": arn})
}

fn judge(principal: &Principal, policies: &Policies) -> Decision {
    judge_by(ResourceRule::Either, principal, policies)
}

fn judge_by(resource_rule: ResourceRule, principal: &Principal, policies: &Policies) -> Decision {
    let request = Request {
        principal,
        action: "ecr:PutImage",
        resource: REPOSITORY,
        resource_account: OWNER.parse().unwrap(),
        resource_rule,
        context: &BTreeMap::new,
    };
    evaluate(&request, policies)
}

fn outcome(principal: &Principal, policies: &Policies) -> Result<GrantBasis, Cause> {
    match judge(principal, policies) {
        Decision::Allowed { by } => Ok(by.basis),
        Decision::Denied { reason } => Err(reason.cause),
    }
}

fn no_allow(kind: PolicyKind) -> Result<GrantBasis, Cause> {
    Err(Cause::NoAllow(kind))
}

fn policies(identity: Vec<AttachedPolicy>, resource: Vec<AttachedPolicy>) -> Policies {
    Policies { identity, resource, ..Policies::default() }
}

#[test]
fn without_policies_only_the_owners_root_principal_is_allowed() {
    let none = Policies::default();
    let data = [
        (root(OWNER), Ok(GrantBasis::Root)),
        (user(OWNER), no_allow(PolicyKind::Identity)),
        (session(OWNER), no_allow(PolicyKind::Identity)),
        (federated(OWNER), no_allow(PolicyKind::Identity)),
        (federated_of_root(OWNER), no_allow(PolicyKind::Session)),
        (root(STRANGER), no_allow(PolicyKind::Resource)),
        (user(STRANGER), no_allow(PolicyKind::Resource)),
        (session(STRANGER), no_allow(PolicyKind::Resource)),
        (federated(STRANGER), no_allow(PolicyKind::Resource)),
        (service(), no_allow(PolicyKind::Resource)),
        (nobody(), no_allow(PolicyKind::Resource)),
    ];
    for (principal, expected) in data {
        assert_eq!(outcome(&principal, &none), expected, "{principal:?}");
    }
}

#[test]
fn an_account_is_named_in_one_partition_by_its_arn_and_in_all_by_its_number() {
    let root_of =
        |partition: &str| principal(STRANGER, &format!("arn:{partition}:iam::ACCT:root"), PrincipalKind::Root);
    for (named, in_aws, in_china) in [
        (aws(STRANGER), true, true),
        (aws("arn:aws:iam::222222222222:root"), true, false),
        (aws("arn:aws-cn:iam::222222222222:root"), false, true),
    ] {
        let policies = policies(Vec::new(), shared("Allow", &named));
        assert_eq!(outcome(&root_of("aws"), &policies).is_ok(), in_aws, "{named}");
        assert_eq!(outcome(&root_of("aws-cn"), &policies).is_ok(), in_china, "{named}");
    }
}

#[test]
fn a_caller_from_another_account_needs_an_allow_of_both_accounts() {
    let named = [json!("*"), aws(STRANGER), aws("arn:aws:iam::222222222222:root")];
    for named in named {
        let yes = shared("Allow", &named);
        let by_resource = Ok(GrantBasis::ResourcePolicy);
        assert_eq!(outcome(&root(STRANGER), &policies(Vec::new(), yes.clone())), by_resource);
        assert_eq!(outcome(&user(STRANGER), &policies(own("Allow"), yes.clone())), by_resource);
        assert_eq!(outcome(&user(STRANGER), &policies(silent(), yes.clone())), no_allow(PolicyKind::Identity));
        assert_eq!(outcome(&user(STRANGER), &policies(own("Allow"), Vec::new())), no_allow(PolicyKind::Resource));
        let mut limited = policies(own("Allow"), yes);
        limited.boundary = silent();
        assert_eq!(outcome(&user(STRANGER), &limited), no_allow(PolicyKind::Boundary));
        limited.boundary.clear();
        limited.session = silent();
        assert_eq!(outcome(&session(STRANGER), &limited), no_allow(PolicyKind::Session));
    }
    let the_user = shared("Allow", &aws("arn:aws:iam::222222222222:user/dev/ann"));
    assert_eq!(outcome(&user(STRANGER), &policies(Vec::new(), the_user.clone())), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&root(STRANGER), &policies(Vec::new(), the_user)), no_allow(PolicyKind::Resource));
}

#[test]
fn only_resource_policies_allow_services_and_anonymous_clients() {
    let build = json!({"Service": "codebuild.amazonaws.com"});
    let by_resource = Ok(GrantBasis::ResourcePolicy);
    let no = no_allow(PolicyKind::Resource);
    let data = [
        (service(), build.clone(), by_resource),
        (service(), json!({"Service": "lambda.amazonaws.com"}), no),
        (service(), aws(OWNER), no),
        (nobody(), json!("*"), by_resource),
        (nobody(), json!({"AWS": "*"}), by_resource),
        (nobody(), build.clone(), no),
        (nobody(), json!({"Federated": "anonymous"}), no),
        (user(OWNER), build, no_allow(PolicyKind::Identity)),
    ];
    for (principal, named, expected) in data {
        assert_eq!(
            outcome(&principal, &policies(Vec::new(), shared("Allow", &named))),
            expected,
            "{} {named}",
            principal.arn
        );
    }
}

#[test]
fn an_explicit_deny_wins_over_every_allow() {
    let named = [json!("*"), aws(OWNER), aws("arn:aws:iam::111111111111:root")];
    for named in named {
        let no = shared("Deny", &named);
        for principal in [root(OWNER), user(OWNER), session(OWNER), federated(OWNER)] {
            let mut all = policies(own("Allow"), no.clone());
            all.resource.extend(shared("Allow", &json!("*")));
            all.session = own("Allow");
            assert_eq!(outcome(&principal, &all), Err(Cause::ExplicitDeny(PolicyKind::Resource)));
        }
    }
    let role = shared("Deny", &aws("arn:aws:iam::111111111111:role/ci/builder"));
    assert!(!judge(&session(OWNER), &policies(own("Allow"), role.clone())).is_allowed());
    assert!(judge(&user(OWNER), &policies(own("Allow"), role)).is_allowed());
}

#[test]
fn not_principal_excludes_the_named_principals_without_a_boundary() {
    let all_but = |principal: Value| {
        documents(Grammar::Resource, &[json!({"Effect": "Deny", "NotPrincipal": principal, "Action": "*"})])
    };
    let the_user = aws("arn:aws:iam::111111111111:user/dev/ann");
    let data = [
        (user(OWNER), the_user.clone(), true),
        (session(OWNER), the_user.clone(), false),
        (root(OWNER), the_user.clone(), false),
        (root(OWNER), aws(OWNER), true),
        (user(OWNER), aws(OWNER), false),
        (session(OWNER), aws("arn:aws:iam::111111111111:role/ci/builder"), true),
        (user(OWNER), json!("*"), true),
    ];
    for (principal, named, allowed) in data {
        let all = policies(own("Allow"), all_but(named.clone()));
        assert_eq!(judge(&principal, &all).is_allowed(), allowed, "{} {named}", principal.arn);
    }
    let mut bounded = policies(own("Allow"), all_but(the_user));
    bounded.boundary = own("Allow");
    assert_eq!(outcome(&user(OWNER), &bounded), Err(Cause::ExplicitDeny(PolicyKind::Resource)));
}
