use super::{Policies, evaluate};
use crate::{
    Cause, Decision, DenyingStatement, Document, Grammar, Grant, PolicyKind, Principal, PrincipalKind, Request,
    ResourceRule,
};
use aws::AccountId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const OWNER: &str = "111111111111";
const STRANGER: &str = "222222222222";
const REPOSITORY: &str = "arn:aws:ecr:us-east-1:111111111111:repository/team/app";

fn principal(account: &str, arn: &str, kind: PrincipalKind) -> Principal {
    let arn = arn.replace("ACCT", account);
    Principal { account: account.parse().ok(), arn, kind }
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

fn documents(grammar: Grammar, statements: &[Value]) -> Vec<Arc<Document>> {
    let read = |statement: &Value| {
        let text = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
        Arc::new(Document::parse(&text, grammar).unwrap_or_else(|e| panic!("{text}: {e}")))
    };
    statements.iter().map(read).collect()
}

fn own(effect: &str) -> Vec<Arc<Document>> {
    documents(Grammar::Identity, &[json!({"Effect": effect, "Action": "ecr:*", "Resource": "*"})])
}

/// A policy that does not apply to the request.
fn silent() -> Vec<Arc<Document>> {
    documents(Grammar::Identity, &[json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})])
}

fn shared(effect: &str, principal: &Value) -> Vec<Arc<Document>> {
    documents(Grammar::Resource, &[json!({"Effect": effect, "Principal": principal, "Action": "ecr:*"})])
}

fn aws(arn: &str) -> Value {
    json!({"AWS": arn})
}

fn judge(principal: &Principal, policies: &Policies) -> Decision {
    let request = Request {
        principal,
        action: "ecr:PutImage",
        resource: REPOSITORY,
        resource_account: OWNER.parse().unwrap(),
        resource_rule: ResourceRule::Either,
        context: &BTreeMap::new,
    };
    evaluate(&request, policies)
}

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ROLE: &str = "arn:aws:iam::111111111111:role/ci/builder";

/// Evaluates an action for which the resource's own policy is required.
fn required(principal: &Principal, (action, resource): (&str, &str), policies: &Policies) -> Result<Grant, Cause> {
    let request = Request {
        principal,
        action,
        resource,
        resource_account: OWNER.parse().unwrap(),
        resource_rule: ResourceRule::Required,
        context: &BTreeMap::new,
    };
    match evaluate(&request, policies) {
        Decision::Allowed { by } => Ok(by),
        Decision::Denied { reason } => Err(reason.cause),
    }
}

/// A statement about all actions.
fn everything(effect: &str) -> Vec<Arc<Document>> {
    documents(Grammar::Identity, &[json!({"Effect": effect, "Action": "*", "Resource": "*"})])
}

/// The policy of a key. Its statement has a `Resource`; that of a role's trust policy has none.
fn key_policy(principal: &Value) -> Vec<Arc<Document>> {
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"});
    documents(Grammar::Resource, &[statement])
}

fn trust_policy(principal: &Value) -> Vec<Arc<Document>> {
    documents(Grammar::Resource, &[json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})])
}

/// KMS developer guide, "Key policies in AWS KMS": no principal, including the account root user, has any permission to a key
/// unless its policy allows it; IAM policies have no effect unless the key policy enables them by naming the account.
/// IAM user guide, "Policy evaluation for requests within a single account": role trust policies must allow as well.
#[test]
fn identity_policies_alone_do_not_allow_what_a_required_resource_policy_does_not() {
    let account = aws("arn:aws:iam::111111111111:root");
    let the_user = aws("arn:aws:iam::111111111111:user/dev/ann");
    let other_user = aws("arn:aws:iam::111111111111:user/dev/bob");
    let (by_resource, by_identity) = (Ok(Grant::ResourcePolicy), Ok(Grant::IdentityPolicy));
    let (no_resource, no_identity) = (no_allow(PolicyKind::Resource), no_allow(PolicyKind::Identity));
    // The caller, whom the resource's policy names, the outcome without and with an identity policy that allows everything.
    let data = [
        (root(OWNER), None, no_resource, no_resource),
        (root(OWNER), Some(&the_user), no_resource, no_resource),
        (root(OWNER), Some(&account), by_resource, by_resource),
        (user(OWNER), None, no_resource, no_resource),
        (user(OWNER), Some(&other_user), no_resource, no_resource),
        (user(OWNER), Some(&account), no_identity, by_identity),
        (user(OWNER), Some(&the_user), by_resource, by_resource),
        (session(OWNER), Some(&account), no_identity, by_identity),
        (federated_of_root(OWNER), None, no_allow(PolicyKind::Resource), no_resource),
        (user(STRANGER), None, no_resource, no_resource),
        (user(STRANGER), Some(&aws(STRANGER)), no_identity, by_resource),
        (root(STRANGER), Some(&aws(STRANGER)), by_resource, by_resource),
        (service(), None, no_resource, no_resource),
        (service(), Some(&json!({"Service": "codebuild.amazonaws.com"})), by_resource, by_resource),
        (nobody(), None, no_resource, no_resource),
    ];
    for (what, policy) in [
        (("kms:Decrypt", KEY), key_policy as fn(&Value) -> Vec<Arc<Document>>),
        (("sts:AssumeRole", ROLE), trust_policy),
    ] {
        for (principal, named, alone, with_identity) in &data {
            let resource = named.map(policy).unwrap_or_default();
            let mut all = policies(Vec::new(), resource);
            assert_eq!(required(principal, what, &all), *alone, "{what:?}: {} {named:?}", principal.arn);
            all.identity = everything("Allow");
            assert_eq!(required(principal, what, &all), *with_identity, "{what:?}: {} {named:?}", principal.arn);
            all.identity = everything("Deny");
            assert_eq!(required(principal, what, &all), Err(Cause::ExplicitDeny(PolicyKind::Identity)));
        }
    }
}

#[test]
fn boundaries_and_session_policies_limit_what_a_required_policy_delegates() {
    let account = aws("arn:aws:iam::111111111111:root");
    let what = ("kms:Decrypt", KEY);
    let mut all = policies(everything("Allow"), key_policy(&account));
    all.boundary = silent();
    assert_eq!(required(&user(OWNER), what, &all), no_allow(PolicyKind::Boundary));
    all.boundary.clear();
    all.session = silent();
    assert_eq!(required(&session(OWNER), what, &all), no_allow(PolicyKind::Session));
}

fn outcome(principal: &Principal, policies: &Policies) -> Result<Grant, Cause> {
    match judge(principal, policies) {
        Decision::Allowed { by } => Ok(by),
        Decision::Denied { reason } => Err(reason.cause),
    }
}

fn no_allow(kind: PolicyKind) -> Result<Grant, Cause> {
    Err(Cause::NoAllow(kind))
}

fn policies(identity: Vec<Arc<Document>>, resource: Vec<Arc<Document>>) -> Policies {
    Policies { identity, resource, ..Policies::default() }
}

#[test]
fn without_policies_only_the_owners_root_principal_is_allowed() {
    let none = Policies::default();
    let data = [
        (root(OWNER), Ok(Grant::Root)),
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
fn denials_have_awss_text() {
    let deny = |kind: PolicyKind| {
        let (yes, no) = (own("Allow"), own("Deny"));
        let mut all = Policies { identity: yes.clone(), boundary: yes.clone(), session: yes, ..Policies::default() };
        match kind {
            PolicyKind::Identity => all.identity = no,
            PolicyKind::Boundary => all.boundary = no,
            PolicyKind::Session => all.session = no,
            PolicyKind::Resource => all.resource = shared("Deny", &json!("*")),
            PolicyKind::Registry => all.registry = shared("Deny", &json!("*")),
        }
        all
    };
    let quiet = |kind: PolicyKind| {
        let mut all = deny(kind);
        match kind {
            PolicyKind::Identity => all.identity = silent(),
            PolicyKind::Boundary => all.boundary = silent(),
            PolicyKind::Session => all.session = silent(),
            PolicyKind::Resource => all.resource.clear(),
            PolicyKind::Registry => all.registry.clear(),
        }
        all
    };
    let because = |what: &str| format!("because no {what} allows the ecr:PutImage action");
    let data = [
        (user(OWNER), quiet(PolicyKind::Identity), because("identity-based policy")),
        (user(STRANGER), quiet(PolicyKind::Resource), because("resource-based policy")),
        (user(OWNER), quiet(PolicyKind::Boundary), because("permissions boundary")),
        (session(OWNER), quiet(PolicyKind::Session), because("session policy")),
        (user(OWNER), deny(PolicyKind::Identity), "with an explicit deny in an identity-based policy".into()),
        (user(OWNER), deny(PolicyKind::Resource), "with an explicit deny in a resource-based policy".into()),
        (user(OWNER), deny(PolicyKind::Registry), "with an explicit deny in a resource-based policy".into()),
        (user(OWNER), deny(PolicyKind::Boundary), "with an explicit deny in a permissions boundary".into()),
        (session(OWNER), deny(PolicyKind::Session), "with an explicit deny in a session policy".into()),
    ];
    for (principal, policies, tail) in data {
        let Decision::Denied { reason } = judge(&principal, &policies) else {
            panic!("{principal:?} is allowed");
        };
        let expected = format!(
            "User: {} is not authorized to perform: ecr:PutImage on resource: {REPOSITORY} {tail}",
            principal.arn
        );
        assert_eq!(reason.to_string(), expected);
    }
}

#[test]
fn the_strength_of_a_resource_policys_grant_depends_on_how_it_names_the_caller() {
    let everyone = json!("*");
    let account = aws(OWNER);
    let as_root = aws("arn:aws:iam::111111111111:root");
    let the_user = aws("arn:aws:iam::111111111111:user/dev/ann");
    let the_role = aws("arn:aws:iam::111111111111:role/ci/builder");
    let the_session = aws("arn:aws:sts::111111111111:assumed-role/builder/run");
    let the_federated = aws("arn:aws:sts::111111111111:federated-user/fred");
    let by_resource = Ok(Grant::ResourcePolicy);
    let identity = no_allow(PolicyKind::Identity);
    let boundary = no_allow(PolicyKind::Boundary);
    let by_session = no_allow(PolicyKind::Session);
    // The caller, whom the policy names, the outcome without limits, with a silent boundary, with a silent session policy.
    let data = [
        (user(OWNER), &account, identity, identity, identity),
        (user(OWNER), &as_root, identity, identity, identity),
        (session(OWNER), &account, identity, identity, identity),
        (user(OWNER), &the_user, by_resource, by_resource, by_resource),
        (session(OWNER), &the_user, identity, identity, identity),
        (session(OWNER), &the_role, by_resource, boundary, by_session),
        (session(OWNER), &the_session, by_resource, by_resource, by_resource),
        (federated(OWNER), &the_user, by_session, boundary, by_session),
        (federated(OWNER), &the_federated, by_resource, by_resource, by_resource),
        (federated_of_root(OWNER), &account, by_session, boundary, by_session),
        (user(OWNER), &everyone, by_resource, boundary, by_session),
        (session(OWNER), &everyone, by_resource, boundary, by_session),
        (
            user(STRANGER),
            &the_user,
            no_allow(PolicyKind::Resource),
            no_allow(PolicyKind::Resource),
            no_allow(PolicyKind::Resource),
        ),
    ];
    for (principal, named, free, in_boundary, in_session) in data {
        let mut all = policies(Vec::new(), shared("Allow", named));
        assert_eq!(outcome(&principal, &all), free, "{} {named}", principal.arn);
        all.boundary = silent();
        assert_eq!(outcome(&principal, &all), in_boundary, "boundary: {} {named}", principal.arn);
        all.boundary.clear();
        all.session = silent();
        assert_eq!(outcome(&principal, &all), in_session, "session: {} {named}", principal.arn);
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
        let by_resource = Ok(Grant::ResourcePolicy);
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
    let by_resource = Ok(Grant::ResourcePolicy);
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

#[test]
fn statements_apply_to_the_actions_and_resources_they_name() {
    let elsewhere = "arn:aws:ecr:us-east-1:111111111111:repository/other/*";
    let data = [
        (json!({"Action": "ecr:PutImage", "Resource": REPOSITORY}), true),
        (json!({"Action": "ECR:putIMAGE", "Resource": REPOSITORY}), true),
        (json!({"Action": "ecr:Put*", "Resource": "arn:aws:ecr:*:*:repository/team/*"}), true),
        (json!({"Action": ["s3:*", "ecr:?utImage"], "Resource": [elsewhere, "*"]}), true),
        (json!({"Action": "ecr:GetImage", "Resource": "*"}), false),
        (json!({"Action": "ecr:PutImag", "Resource": "*"}), false),
        (json!({"Action": "*", "Resource": elsewhere}), false),
        (json!({"NotAction": "iam:*", "Resource": "*"}), true),
        (json!({"NotAction": ["iam:*", "ecr:Put*"], "Resource": "*"}), false),
        (json!({"Action": "*", "NotResource": elsewhere}), true),
        (json!({"Action": "*", "NotResource": [elsewhere, "arn:aws:ecr:*"]}), false),
        (json!({"Action": "*", "Resource": "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/none}*"}), false),
        (json!({"Action": "*", "NotResource": "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/none}"}), false),
        (json!({"Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": OWNER}}}), true),
        (
            json!({"Action": "*", "Resource": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": [STRANGER, OWNER]}}}),
            true,
        ),
        (
            json!({"Action": "*", "Resource": "*", "Condition": {
            "StringEquals": {"aws:PrincipalAccount": OWNER}, "Bool": {"aws:SecureTransport": true}}}),
            false,
        ),
        (
            json!({"Action": "*", "Resource": "*", "Condition": {
            "StringEquals": {"aws:PrincipalAccount": OWNER, "aws:PrincipalType": "Account"}}}),
            false,
        ),
    ];
    for (mut statement, applies) in data {
        statement["Effect"] = json!("Allow");
        let all = policies(documents(Grammar::Identity, &[statement.clone()]), Vec::new());
        assert_eq!(judge(&user(OWNER), &all).is_allowed(), applies, "{statement}");
    }
}

#[test]
fn a_deny_with_not_resource_applies_if_its_variable_has_no_value() {
    let statement =
        json!({"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:ecr:*:*:repository/${aws:PrincipalTag/none}"});
    let mut identity = own("Allow");
    identity.extend(documents(Grammar::Identity, &[statement]));
    assert_eq!(outcome(&user(OWNER), &policies(identity, Vec::new())), Err(Cause::ExplicitDeny(PolicyKind::Identity)));
}

#[test]
fn conditions_use_the_requests_keys_but_no_forged_ones() {
    let statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
        "IpAddress": {"AWS:sourceip": "10.0.0.0/8"},
        "StringEquals": {"aws:ResourceTag/Team": "red", "aws:PrincipalType": "User"},
    }});
    let all = policies(documents(Grammar::Identity, &[statement]), Vec::new());
    let keys = |pairs: &[(&str, &str)]| -> BTreeMap<String, Vec<String>> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()])).collect()
    };
    let data = [
        (user(OWNER), keys(&[("aws:SourceIp", "10.1.1.1"), ("aws:ResourceTag/team", "red")]), true),
        (user(OWNER), keys(&[("aws:SourceIp", "11.1.1.1"), ("aws:ResourceTag/team", "red")]), false),
        (user(OWNER), keys(&[("aws:SourceIp", "10.1.1.1")]), false),
        (
            session(OWNER),
            keys(&[("aws:SourceIp", "10.1.1.1"), ("aws:ResourceTag/team", "red"), ("aws:PrincipalType", "User")]),
            false,
        ),
    ];
    for (principal, context, expected) in data {
        let request = Request {
            principal: &principal,
            action: "ecr:PutImage",
            resource: "*",
            resource_account: OWNER.parse::<AccountId>().unwrap(),
            resource_rule: ResourceRule::Either,
            context: &|| context.clone(),
        };
        assert_eq!(evaluate(&request, &all).is_allowed(), expected, "{context:?}");
    }
}

#[test]
fn a_session_policy_can_only_reduce_permissions() {
    let mut all = policies(silent(), Vec::new());
    all.session = own("Allow");
    assert_eq!(outcome(&session(OWNER), &all), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&federated(OWNER), &all), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&federated_of_root(OWNER), &all), Ok(Grant::IdentityPolicy));
    all.identity = own("Allow");
    assert_eq!(outcome(&session(OWNER), &all), Ok(Grant::IdentityPolicy));
    assert_eq!(outcome(&federated(OWNER), &all), Ok(Grant::IdentityPolicy));
    all.session.clear();
    assert_eq!(outcome(&session(OWNER), &all), Ok(Grant::IdentityPolicy));
    assert_eq!(outcome(&federated(OWNER), &all), no_allow(PolicyKind::Session));
}

#[test]
fn a_registrys_policy_allows_and_denies_as_a_resources_own_does() {
    let statement = |effect: &str| {
        let all = format!("arn:aws:ecr:*:{OWNER}:repository/*");
        json!({"Sid": "Shared", "Effect": effect, "Principal": {"AWS": STRANGER}, "Action": "ecr:*", "Resource": all})
    };
    let registry = |statements: &[Value]| documents(Grammar::Resource, statements);
    let mut all = Policies { registry: registry(&[statement("Allow")]), ..Policies::default() };
    assert_eq!(outcome(&root(STRANGER), &all), Ok(Grant::ResourcePolicy));
    assert_eq!(outcome(&user(STRANGER), &all), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&user(OWNER), &all), no_allow(PolicyKind::Identity));
    all.resource = shared("Deny", &json!("*"));
    assert_eq!(outcome(&root(STRANGER), &all), Err(Cause::ExplicitDeny(PolicyKind::Resource)));
    all.resource = shared("Allow", &json!("*"));
    all.registry = registry(&[statement("Allow"), statement("Deny")]);
    let Decision::Denied { reason } = judge(&root(STRANGER), &all) else { panic!("allowed") };
    assert_eq!(reason.cause, Cause::ExplicitDeny(PolicyKind::Registry));
    assert_eq!(reason.statement, Some(DenyingStatement { index: 0, sid: Some("Shared".to_owned()) }));
}

#[test]
fn a_denial_tells_the_first_statement_that_denies() {
    let statements = json!([
        {"Sid": "other", "Effect": "Deny", "Principal": "*", "Action": "ecr:ListImages"},
        {"Effect": "Allow", "Principal": "*", "Action": "ecr:*"},
        {"Sid": "no push", "Effect": "Deny", "Principal": "*", "Action": "ecr:Put*"},
        {"Sid": "nothing", "Effect": "Deny", "Principal": "*", "Action": "ecr:*"},
    ]);
    let all = policies(own("Allow"), documents(Grammar::Resource, &[statements]));
    let Decision::Denied { reason } = judge(&user(OWNER), &all) else { panic!("allowed") };
    assert_eq!(reason.statement, Some(DenyingStatement { index: 2, sid: Some("no push".to_owned()) }));
    let Decision::Denied { reason } = judge(&user(OWNER), &Policies::default()) else { panic!("allowed") };
    assert_eq!(reason.statement, None);
}
