//! What holds of every set of policies and every request.

use super::evaluate;
use crate::{
    AttachedPolicy, Cause, DecidingStatement, Decision, Document, Grammar, Policies, PolicyKind, Principal,
    PrincipalKind, Request, ResourceRule,
};
use aws::AccountId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const OWNER: &str = "111111111111";
const REPOSITORY: &str = "arn:aws:ecr:us-east-1:111111111111:repository/team/app";

/// Callers of two accounts, a service and nobody.
fn principal() -> impl Strategy<Value = Principal> {
    let of = |account: &'static str| {
        let known =
            |arn: String, kind| Principal { account: Some(account.parse().unwrap()), unique_id: None, arn, kind };
        let role = format!("arn:aws:iam::{account}:role/ci/builder");
        vec![
            known(format!("arn:aws:iam::{account}:root"), PrincipalKind::Root),
            known(format!("arn:aws:iam::{account}:user/ann"), PrincipalKind::User),
            known(format!("arn:aws:sts::{account}:assumed-role/builder/run"), PrincipalKind::RoleSession { role }),
            known(
                format!("arn:aws:sts::{account}:federated-user/fred"),
                PrincipalKind::FederatedUser { of: format!("arn:aws:iam::{account}:user/ann") },
            ),
        ]
    };
    let mut all = of(OWNER);
    all.extend(of("222222222222"));
    let bare = |arn: &str, kind| Principal { account: None, unique_id: None, arn: arn.to_owned(), kind };
    all.push(bare("ecr.amazonaws.com", PrincipalKind::Service));
    all.push(bare("anonymous", PrincipalKind::Anonymous));
    select(all)
}

fn whom() -> impl Strategy<Value = Value> {
    select(vec![
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": OWNER}),
        json!({"AWS": ["222222222222", "arn:aws:iam::111111111111:user/ann"]}),
        json!({"AWS": "arn:aws:iam::111111111111:role/ci/builder"}),
        json!({"AWS": "arn:aws:sts::222222222222:assumed-role/builder/run"}),
        json!({"Service": "ecr.amazonaws.com"}),
    ])
}

fn condition() -> impl Strategy<Value = Value> {
    let operator = select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringLikeIfExists",
        "ForAllValues:StringEquals",
        "ForAnyValue:StringNotLike",
    ]);
    let key = select(vec!["x:k", "x:absent", "aws:PrincipalType"]);
    let value = select(vec!["a", "b", "*", "User", "${x:k}", "${x:absent}"]);
    prop_oneof![
        Just(json!({})),
        (operator, key, value).prop_map(|(operator, key, value)| json!({operator: {key: value}})),
        select(vec!["true", "false"]).prop_map(|absent| json!({"Null": {"x:absent": absent}})),
    ]
}

fn statement(grammar: Grammar, effects: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let actions = select(vec![
        json!({"Action": "*"}),
        json!({"Action": ["ecr:PutImage", "ecr:BatchGetImage"]}),
        json!({"Action": "ecr:Batch*"}),
        json!({"NotAction": "ecr:Put*"}),
    ]);
    let resources = select(vec![
        json!({"Resource": "*"}),
        json!({"Resource": "arn:aws:ecr:*:*:repository/team/*"}),
        json!({"Resource": "arn:aws:ecr:*:*:repository/${x:absent}"}),
        json!({"NotResource": "arn:aws:ecr:*:*:repository/other"}),
    ]);
    let parts = (select(effects), whom(), any::<bool>(), actions, resources, condition());
    parts.prop_map(move |(effect, whom, but, actions, resources, condition)| {
        let mut statement = Map::new();
        statement.insert("Effect".to_owned(), json!(effect));
        if grammar == Grammar::Resource {
            // Only a Deny may have NotPrincipal.
            let member = if but && effect == "Deny" { "NotPrincipal" } else { "Principal" };
            statement.insert(member.to_owned(), whom);
        }
        for members in [actions, resources] {
            statement.extend(members.as_object().unwrap().clone());
        }
        statement.insert("Condition".to_owned(), condition);
        Value::Object(statement)
    })
}

const BOTH: &[&str] = &["Allow", "Deny"];

const KINDS: usize = 6;

/// The statements of each kind of policy.
#[derive(Clone, Debug, Default)]
struct Statements([Vec<Value>; KINDS]);

impl Statements {
    const GRAMMARS: [Grammar; KINDS] = [
        Grammar::Identity,
        Grammar::Identity,
        Grammar::Resource,
        Grammar::Resource,
        Grammar::Identity,
        Grammar::Identity,
    ];

    fn any() -> impl Strategy<Value = Statements> {
        Self::GRAMMARS.map(|grammar| vec(statement(grammar, BOTH), 0..4)).prop_map(Statements)
    }

    /// The place of a kind's statements.
    fn place(kind: PolicyKind) -> usize {
        match kind {
            PolicyKind::Control => 0,
            PolicyKind::Identity => 1,
            PolicyKind::Resource | PolicyKind::Trust => 2,
            PolicyKind::Registry => 3,
            PolicyKind::Boundary => 4,
            PolicyKind::Session => 5,
        }
    }

    /// The policies: a document for the statements of each kind, none where there are no statements.
    fn policies(&self) -> Policies {
        let document = |kind: usize| -> Vec<AttachedPolicy> {
            if self.0[kind].is_empty() {
                return Vec::new();
            }
            let text = json!({"Version": "2012-10-17", "Statement": self.0[kind]}).to_string();
            let document = Document::parse(&text, Self::GRAMMARS[kind]).unwrap_or_else(|e| panic!("{text}: {e}"));
            vec![AttachedPolicy::new("policy", document)]
        };
        Policies {
            control: document(0),
            identity: document(1),
            resource: document(2),
            registry: document(3),
            boundary: document(4),
            session: document(5),
        }
    }

    /// Only the statements that explain a decision.
    fn only(&self, explained: &[DecidingStatement]) -> Statements {
        let mut only = Statements::default();
        for DecidingStatement { kind, index, .. } in explained {
            let place = Self::place(*kind);
            only.0[place].push(self.0[place][*index].clone());
        }
        only
    }
}

/// Who asks for what, with which value of the key `x:k`, under which rule.
#[derive(Clone, Debug)]
struct Asked {
    principal: Principal,
    action: &'static str,
    value: Option<&'static str>,
    rule: ResourceRule,
}

fn asked() -> impl Strategy<Value = Asked> {
    let action = select(vec!["ecr:PutImage", "ecr:BatchGetImage", "ecr:ListImages"]);
    let value = select(vec![None, Some("a"), Some("c")]);
    let rule = select(vec![ResourceRule::Either, ResourceRule::Required, ResourceRule::Trust]);
    (principal(), action, value, rule).prop_map(|(principal, action, value, rule)| Asked {
        principal,
        action,
        value,
        rule,
    })
}

fn is_allowed(asked: &Asked, policies: &Policies) -> bool {
    decide(asked, policies).is_allowed()
}

fn decide(Asked { principal, action, value, rule }: &Asked, policies: &Policies) -> Decision {
    let keys: BTreeMap<String, Vec<String>> =
        value.map(|value| ("x:k".to_owned(), vec![value.to_owned()])).into_iter().collect();
    let request = Request {
        principal,
        action,
        resource: REPOSITORY,
        resource_account: OWNER.parse::<AccountId>().unwrap(),
        resource_rule: *rule,
        context: &|| keys.clone(),
    };
    evaluate(&request, policies)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn adding_a_deny_never_allows_more(
        statements in Statements::any(),
        kind in 0..KINDS,
        identity_deny in statement(Grammar::Identity, &["Deny"]),
        resource_deny in statement(Grammar::Resource, &["Deny"]),
        at in any::<prop::sample::Index>(),
        asked in asked(),
    ) {
        let mut more = statements.clone();
        // A kind without any policy sets no limit, and its first policy does: a deny there takes away too.
        let deny = if Statements::GRAMMARS[kind] == Grammar::Identity { identity_deny } else { resource_deny };
        let at = at.index(more.0[kind].len() + 1);
        more.0[kind].insert(at, deny);
        let after = is_allowed(&asked, &more.policies());
        let before = is_allowed(&asked, &statements.policies());
        prop_assert!(before || !after, "{asked:?} {statements:?} {more:?}");
    }

    #[test]
    fn the_order_of_statements_does_not_matter(
        (statements, shuffled) in Statements::any().prop_flat_map(|statements| {
            let shuffled = statements.0.clone().map(|all| Just(all).prop_shuffle());
            (Just(statements), shuffled.prop_map(Statements))
        }),
        asked in asked(),
    ) {
        let in_order = is_allowed(&asked, &statements.policies());
        prop_assert_eq!(in_order, is_allowed(&asked, &shuffled.policies()));
    }

    /// Splitting the statements of one kind over several documents changes nothing either.
    #[test]
    fn it_does_not_matter_how_many_documents_hold_the_statements(
        statements in Statements::any(),
        asked in asked(),
    ) {
        let whole = statements.policies();
        let mut split = Policies::default();
        for (kind, all) in statements.0.iter().enumerate() {
            for one in all {
                let mut alone = Statements::default();
                alone.0[kind].push(one.clone());
                let alone = alone.policies();
                split.control.extend(alone.control);
                split.identity.extend(alone.identity);
                split.resource.extend(alone.resource);
                split.registry.extend(alone.registry);
                split.boundary.extend(alone.boundary);
                split.session.extend(alone.session);
            }
        }
        prop_assert_eq!(is_allowed(&asked, &whole), is_allowed(&asked, &split));
    }

    /// The statements that a grant names allow the request by themselves.
    #[test]
    fn the_statements_of_a_grant_suffice(statements in Statements::any(), asked in asked()) {
        if let Decision::Allowed { by } = decide(&asked, &statements.policies()) {
            let only = statements.only(&by.statements);
            prop_assert_eq!(decide(&asked, &only.policies()), Decision::Allowed { by: renumbered(by) });
        }
    }

    /// The statement that a denial names denies the request by itself.
    #[test]
    fn the_statement_of_a_denial_suffices(statements in Statements::any(), asked in asked()) {
        let Decision::Denied { reason } = decide(&asked, &statements.policies()) else { return Ok(()) };
        prop_assert_eq!(matches!(reason.cause, Cause::ExplicitDeny(_)), reason.statement.is_some());
        let Some(statement) = reason.statement else { return Ok(()) };
        let mut only = statements.only(std::slice::from_ref(&statement));
        // NotPrincipal depends on whether there is a boundary.
        if !statements.0[4].is_empty() {
            only.0[4].push(json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
        }
        let Decision::Denied { reason: alone } = decide(&asked, &only.policies()) else { panic!("allowed") };
        prop_assert_eq!(alone.cause, reason.cause);
    }
}

/// A grant whose statements are each the first one of their policy.
fn renumbered(mut grant: crate::Grant) -> crate::Grant {
    grant.statements.iter_mut().for_each(|statement| statement.index = 0);
    grant
}
