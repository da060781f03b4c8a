//! The text of a denial, and which statements explain a decision.

use super::*;
use crate::DecidingStatement;

#[test]
fn denials_have_awss_text() {
    let deny = |kind: PolicyKind| {
        let (yes, no) = (own("Allow"), own("Deny"));
        let mut all = Policies {
            control: yes.clone(),
            identity: yes.clone(),
            boundary: yes.clone(),
            session: yes,
            ..Policies::default()
        };
        match kind {
            PolicyKind::Control => all.control = no,
            PolicyKind::Identity => all.identity = no,
            PolicyKind::Boundary => all.boundary = no,
            PolicyKind::Session => all.session = no,
            PolicyKind::Resource | PolicyKind::Trust => all.resource = shared("Deny", &json!("*")),
            PolicyKind::Registry => all.registry = shared("Deny", &json!("*")),
        }
        all
    };
    let quiet = |kind: PolicyKind| {
        let mut all = deny(kind);
        match kind {
            PolicyKind::Control => all.control = silent(),
            PolicyKind::Identity => all.identity = silent(),
            PolicyKind::Boundary => all.boundary = silent(),
            PolicyKind::Session => all.session = silent(),
            PolicyKind::Resource | PolicyKind::Trust => all.resource.clear(),
            PolicyKind::Registry => all.registry.clear(),
        }
        all
    };
    let because = |what: &str| format!("because no {what} allows the ecr:PutImage action");
    let deny_in = |what: &str| format!("with an explicit deny in {what}");
    let rule = |kind| if kind == PolicyKind::Trust { ResourceRule::Trust } else { ResourceRule::Either };
    let data = [
        (user(OWNER), PolicyKind::Control, "a", "service control policy"),
        (root(OWNER), PolicyKind::Control, "a", "service control policy"),
        (user(OWNER), PolicyKind::Identity, "an", "identity-based policy"),
        (user(STRANGER), PolicyKind::Resource, "a", "resource-based policy"),
        (user(STRANGER), PolicyKind::Registry, "a", "resource-based policy"),
        (user(OWNER), PolicyKind::Trust, "the", "role trust policy"),
        (user(OWNER), PolicyKind::Boundary, "a", "permissions boundary"),
        (session(OWNER), PolicyKind::Session, "a", "session policy"),
    ];
    for (principal, kind, article, name) in data {
        for (policies, tail) in [(quiet(kind), because(name)), (deny(kind), deny_in(&format!("{article} {name}")))] {
            let Decision::Denied { reason } = judge_by(rule(kind), &principal, &policies) else {
                panic!("{principal:?} is allowed");
            };
            let expected = format!(
                "User: {} is not authorized to perform: ecr:PutImage on resource: {REPOSITORY} {tail}",
                principal.arn
            );
            assert_eq!(reason.to_string(), expected);
        }
    }
}

#[test]
fn a_registrys_policy_allows_and_denies_as_a_resources_own_does() {
    let shared_all = |effect: &str| {
        let all = format!("arn:aws:ecr:*:{OWNER}:repository/*");
        json!({"Sid": "Shared", "Effect": effect, "Principal": {"AWS": STRANGER}, "Action": "ecr:*", "Resource": all})
    };
    let registry = |statements: &[Value]| documents(Grammar::Resource, statements);
    let mut all = Policies { registry: registry(&[shared_all("Allow")]), ..Policies::default() };
    assert_eq!(outcome(&root(STRANGER), &all), Ok(GrantBasis::ResourcePolicy));
    assert_eq!(outcome(&user(STRANGER), &all), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&user(OWNER), &all), no_allow(PolicyKind::Identity));
    all.resource = shared("Deny", &json!("*"));
    assert_eq!(outcome(&root(STRANGER), &all), Err(Cause::ExplicitDeny(PolicyKind::Resource)));
    all.resource = shared("Allow", &json!("*"));
    all.registry = registry(&[shared_all("Allow"), shared_all("Deny")]);
    let Decision::Denied { reason } = judge(&root(STRANGER), &all) else { panic!("allowed") };
    assert_eq!(reason.cause, Cause::ExplicitDeny(PolicyKind::Registry));
    assert_eq!(reason.statement, Some(statement(PolicyKind::Registry, "policy 1", 0, Some("Shared"))));
}

fn statement(kind: PolicyKind, policy: &str, index: usize, sid: Option<&str>) -> DecidingStatement {
    DecidingStatement { kind, policy: policy.into(), index, sid: sid.map(Into::into) }
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
    assert_eq!(reason.statement, Some(statement(PolicyKind::Resource, "policy 0", 2, Some("no push"))));
    let Decision::Denied { reason } = judge(&user(OWNER), &Policies::default()) else { panic!("allowed") };
    assert_eq!(reason.statement, None);
}

/// Policies of every kind, named by their kind. All of them allow, and of the two identity policies the second statement of the second.
fn of_every_kind(resource: Vec<AttachedPolicy>, registry: Vec<AttachedPolicy>) -> Policies {
    let named = |name: &str, mut policies: Vec<AttachedPolicy>| {
        policies.iter_mut().for_each(|policy| policy.name = name.into());
        policies
    };
    let first = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
    let second = json!([first, {"Sid": "Push", "Effect": "Allow", "Action": "ecr:Put*", "Resource": "*"}]);
    Policies {
        control: named("control", own("Allow")),
        identity: documents(Grammar::Identity, &[first, second]),
        resource: named("resource", resource),
        registry: named("registry", registry),
        boundary: named("boundary", own("Allow")),
        session: named("session", own("Allow")),
    }
}

#[test]
fn a_grant_tells_a_statement_of_each_kind_that_had_to_allow() {
    use PolicyKind::{Boundary, Control, Identity, Registry, Resource, Session, Trust};
    let the_role = aws("arn:aws:iam::111111111111:role/ci/builder");
    let the_session = aws("arn:aws:sts::111111111111:assumed-role/builder/run");
    let all = of_every_kind;
    let only = |kind, policy| statement(kind, policy, 0, None);
    let push = || statement(Identity, "policy 1", 1, Some("Push"));
    let limits = || vec![only(Boundary, "boundary"), only(Session, "session"), only(Control, "control")];
    let none = Vec::new;
    let either = ResourceRule::Either;
    for (principal, rule, policies, granting, limiting) in [
        (root(OWNER), either, Policies::default(), vec![], vec![]),
        (root(OWNER), either, all(none(), none()), vec![], vec![only(Control, "control")]),
        (session(OWNER), either, all(none(), none()), vec![push()], limits()),
        (
            session(OWNER),
            either,
            Policies { identity: silent(), ..all(shared("Allow", &the_role), none()) },
            vec![only(Resource, "resource")],
            limits(),
        ),
        // Of two allows the stronger one decides, whether it is the resource's or the registry's.
        (
            session(OWNER),
            either,
            all(shared("Allow", &the_session), shared("Allow", &the_role)),
            vec![only(Resource, "resource")],
            vec![only(Control, "control")],
        ),
        (
            session(OWNER),
            either,
            all(shared("Allow", &the_role), shared("Allow", &the_session)),
            vec![only(Registry, "registry")],
            vec![only(Control, "control")],
        ),
        (
            session(OWNER),
            ResourceRule::Trust,
            all(shared("Allow", &aws(OWNER)), none()),
            vec![push(), only(Trust, "resource")],
            limits(),
        ),
        (
            session(STRANGER),
            either,
            all(shared("Allow", &aws(STRANGER)), none()),
            vec![only(Resource, "resource"), push()],
            limits(),
        ),
        (
            nobody(),
            either,
            Policies { resource: shared("Allow", &json!("*")), ..Policies::default() },
            vec![only(Resource, "policy 0")],
            vec![],
        ),
    ] {
        let Decision::Allowed { by } = judge_by(rule, &principal, &policies) else { panic!("{principal:?}: denied") };
        assert_eq!(by.statements, [granting, limiting].concat(), "{principal:?}");
    }
}
