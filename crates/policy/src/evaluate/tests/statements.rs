//! To what a statement applies.

use super::*;
use aws::AccountId;

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
fn policies_mention_the_keys_of_their_conditions_and_variables() {
    let with = |member: &str, value: Value| {
        let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        statement[member] = value;
        policies(
            documents(Grammar::Identity, &[json!({"Effect": "Allow", "Action": "*", "Resource": "*"}), statement]),
            Vec::new(),
        )
    };
    for (all, mentioned) in [
        (with("Condition", json!({})), false),
        (with("Condition", json!({"StringEquals": {"ECRU:imagetag": "a"}})), true),
        (with("Condition", json!({"Null": {"ecru:ImageTag": "true"}})), true),
        (with("Condition", json!({"StringEquals": {"ecru:ImageTagX": "ecru:ImageTag"}})), false),
        (with("Condition", json!({"StringLike": {"x:y": ["a", "a-${ecru:ImageTag}"]}})), true),
        (with("Condition", json!({"StringEqualsIgnoreCase": {"x:y": "${ecru:ImageTag, 'b'}"}})), true),
        (with("Condition", json!({"ArnLike": {"x:y": "arn:aws:iam::*:user/${ecru:ImageTag}"}})), true),
        (with("Condition", json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})), false),
        (with("Resource", json!("arn:aws:ecr:*:*:repository/${ecru:ImageTag}")), true),
        (with("Resource", json!("arn:aws:ecr:*:*:repository/ecru:ImageTag")), false),
    ] {
        assert_eq!(all.mention("ecru:ImageTag"), mentioned, "{:?}", all.identity);
    }
}

#[test]
fn a_unique_id_grants_what_the_arn_of_its_user_or_role_grants() {
    let (user_arn, role_arn) = (user(OWNER).arn, format!("arn:aws:iam::{OWNER}:role/ci/builder"));
    let callers =
        [user(OWNER), session(OWNER), federated(OWNER), federated_of_root(OWNER), root(OWNER), service(), nobody()];
    for (id, arn) in [(USER_ID, &user_arn), (ROLE_ID, &role_arn)] {
        for effect in ["Allow", "Deny"] {
            for caller in &callers {
                let by = |name: &str| outcome(caller, &policies(own("Allow"), shared(effect, &aws(name))));
                assert_eq!(by(id), by(arn), "{effect} {id} {caller:?}");
                let alone = |name: &str| outcome(caller, &policies(Vec::new(), shared(effect, &aws(name))));
                assert_eq!(alone(id), alone(arn), "{effect} {id} {caller:?}");
            }
        }
    }
    // Another user of the same ARN has another id.
    let again = Principal { unique_id: Some("AIDAANOTHERANOTHERAN2".to_owned()), ..user(OWNER) };
    let named = policies(Vec::new(), shared("Allow", &aws(USER_ID)));
    assert_eq!(outcome(&user(OWNER), &named), Ok(GrantBasis::ResourcePolicy));
    assert_eq!(outcome(&again, &named), no_allow(PolicyKind::Identity));
}

#[test]
fn the_context_is_made_once_and_only_for_a_condition_or_a_variable_that_is_reached() {
    let here = "arn:aws:ecr:us-east-1:*:repository/team/*";
    let with_condition = |action: &str| {
        let condition = json!({"Null": {"x:y": "true"}});
        json!({"Effect": "Allow", "Action": action, "Resource": here, "Condition": condition})
    };
    let data = [
        (json!([{"Effect": "Allow", "Action": ["ecr:Get*", "ECR:put*"], "Resource": [REPOSITORY, here]}]), 0),
        (json!([{"Effect": "Deny", "NotAction": "ecr:*", "NotResource": here}, with_condition("ecr:GetImage")]), 0),
        (json!([with_condition("ecr:PutImage"), with_condition("ecr:*")]), 1),
        (
            json!([{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:ecr:*:*:repository/${aws:PrincipalAccount}"}]),
            1,
        ),
    ];
    for (statements, expected) in data {
        let all = policies(documents(Grammar::Identity, std::slice::from_ref(&statements)), Vec::new());
        for (principal, policies, expected) in [(user(OWNER), &all, expected), (root(OWNER), &Policies::default(), 0)] {
            let made = std::cell::Cell::new(0);
            let request = Request {
                principal: &principal,
                action: "ecr:PutImage",
                resource: REPOSITORY,
                resource_account: OWNER.parse::<AccountId>().unwrap(),
                resource_rule: ResourceRule::Either,
                context: &|| {
                    made.set(made.get() + 1);
                    BTreeMap::new()
                },
            };
            evaluate(&request, policies);
            assert_eq!(made.get(), expected, "{statements}");
        }
    }
}
