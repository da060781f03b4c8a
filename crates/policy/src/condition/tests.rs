use super::Condition;
use crate::request::Context;
use crate::{Principal, PrincipalKind, Request, ResourceRule};
use aws::AccountId;
use std::collections::BTreeMap;

/// A request whose key `x:k` has these values. Without values it lacks the key.
fn context(values: &[&str]) -> Context {
    let mut keys = BTreeMap::new();
    keys.insert("X:K".to_owned(), values.iter().map(|v| (*v).to_owned()).collect());
    keys.insert("aws:username".to_owned(), vec!["ann".to_owned()]);
    Context::of(&Request {
        principal: &Principal {
            account: Some(AccountId::DEFAULT),
            unique_id: None,
            arn: "arn:aws:sts::000000000000:assumed-role/builder/run".into(),
            kind: PrincipalKind::RoleSession { role: "arn:aws:iam::000000000000:role/ci/builder".into() },
        },
        action: "ecr:PutImage",
        resource: "*",
        resource_account: AccountId::DEFAULT,
        resource_rule: ResourceRule::Either,
        context: &|| keys.clone(),
    })
}

fn parse(operator: &str, key: &str, values: &[&str]) -> Result<Condition, String> {
    let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
    Condition::parse(operator, key, &values, true)
}

fn holds(operator: &str, policy: &[&str], request: &[&str]) -> bool {
    let condition = parse(operator, "x:k", policy).unwrap_or_else(|e| panic!("{operator}: {e}"));
    condition.holds(&context(request), false)
}

#[test]
fn each_operator_compares_as_documented() {
    let data: &[(&str, &[&str], &str, bool)] = &[
        ("StringEquals", &["a"], "a", true),
        ("StringEquals", &["b", "a"], "a", true),
        ("StringEquals", &["a"], "A", false),
        ("StringEquals", &["a*"], "ab", false),
        ("StringEquals", &["a*"], "a*", true),
        ("StringEquals", &["${aws:username}"], "ann", true),
        ("StringNotEquals", &["a"], "b", true),
        ("StringNotEquals", &["b", "a"], "a", false),
        ("StringEqualsIgnoreCase", &["aB"], "Ab", true),
        ("StringNotEqualsIgnoreCase", &["aB"], "Ab", false),
        ("StringLike", &["a*"], "ab", true),
        ("StringLike", &["A*"], "ab", false),
        ("StringLike", &["a?"], "abc", false),
        ("StringNotLike", &["a*"], "ab", false),
        ("StringNotLike", &["a*", "c*"], "b", true),
        ("NumericEquals", &["10"], "10.0", true),
        ("NumericEquals", &["10"], "ten", false),
        ("NumericNotEquals", &["10"], "11", true),
        ("NumericNotEquals", &["10"], "10", false),
        ("NumericLessThan", &["10"], "9.5", true),
        ("NumericLessThan", &["10"], "10", false),
        ("NumericLessThanEquals", &["10"], "10", true),
        ("NumericGreaterThan", &["10"], "10", false),
        ("NumericGreaterThan", &["-1"], "0", true),
        ("NumericGreaterThanEquals", &["10"], "10", true),
        ("DateEquals", &["2026-01-02"], "2026-01-02T00:00:00Z", true),
        ("DateEquals", &["2026-01-02T03:00:00+02:00"], "2026-01-02T01:00:00Z", true),
        ("DateEquals", &["1767312000"], "2026-01-02T00:00:00Z", true),
        ("DateEquals", &["2026-01"], "2026-01-01", true),
        ("DateEquals", &["2026"], "2026-01", true),
        ("DateNotEquals", &["2026"], "2026-01-01T00:00:00.000001Z", true),
        ("DateLessThan", &["2026-01-02T00:00:00Z"], "2026-01-01T23:59:59.999Z", true),
        ("DateLessThan", &["2026-01-02T00:00:00Z"], "2026-01-02T00:00:00Z", false),
        ("DateLessThanEquals", &["2026-01-02T00:00Z"], "2026-01-02T00:00:00Z", true),
        ("DateGreaterThan", &["2026-01-02"], "1767312000.5", true),
        ("DateGreaterThanEquals", &["2026-01-02"], "2026-01-01", false),
        ("DateGreaterThan", &["2026-01-02"], "soon", false),
        ("Bool", &["true"], "true", true),
        ("Bool", &["true"], "TRUE", true),
        ("Bool", &["false"], "true", false),
        ("Bool", &["true"], "yes", false),
        ("BinaryEquals", &["QmluYXJ5"], "QmluYXJ5", true),
        ("BinaryEquals", &["AAE=", "QmluYXJ5"], "QmluYXJ5", true),
        ("BinaryEquals", &["QmluYXJ5"], "qmluyxj5", false),
        ("BinaryEquals", &[""], "", true),
        ("BinaryEquals", &["AAE="], "AA==", false),
        ("BinaryEquals", &["AAE="], "AAE", false),
        ("IpAddress", &["10.0.0.0/8"], "10.255.0.1", true),
        ("IpAddress", &["10.1.2.3/8"], "10.255.0.1", true),
        ("IpAddress", &["10.0.0.0/8"], "11.0.0.0", false),
        ("IpAddress", &["10.0.0.1"], "10.0.0.1", true),
        ("IpAddress", &["10.0.0.1"], "10.0.0.2", false),
        ("IpAddress", &["0.0.0.0/0"], "203.0.113.9", true),
        ("IpAddress", &["0.0.0.0/0"], "2001:db8::1", false),
        ("IpAddress", &["10.0.0.0/8"], "::ffff:10.2.3.4", true),
        ("IpAddress", &["2001:db8::/32"], "2001:db8:ffff::1", true),
        ("IpAddress", &["2001:db8::/32"], "2001:db9::1", false),
        ("IpAddress", &["::/0"], "::1", true),
        ("IpAddress", &["10.0.0.0/8"], "somewhere", false),
        ("NotIpAddress", &["10.0.0.0/8", "11.0.0.0/8"], "11.0.0.1", false),
        ("NotIpAddress", &["10.0.0.0/8"], "11.0.0.1", true),
        ("ArnEquals", &["arn:aws:iam::111111111111:role/*"], "arn:aws:iam::111111111111:role/a/b", true),
        ("ArnLike", &["arn:aws:iam::*:role/x"], "arn:aws:iam::111111111111:role/x", true),
        ("ArnLike", &["arn:aws:*:role/x"], "arn:aws:iam::111111111111:role/x", false),
        ("ArnLike", &["arn:aws:*"], "not an arn", false),
        ("ArnNotEquals", &["arn:aws:iam::*:role/x"], "arn:aws:iam::111111111111:role/y", true),
        ("ArnNotLike", &["arn:aws:iam::*:role/x"], "arn:aws:iam::111111111111:role/x", false),
        ("Null", &["false"], "", true),
        ("Null", &["true"], "x", false),
        ("Null", &["true", "false"], "x", true),
    ];
    for (operator, policy, request, expected) in data {
        assert_eq!(holds(operator, policy, &[request]), *expected, "{operator} {policy:?} {request}");
        if *operator != "Null" {
            for more in [
                format!("{operator}IfExists"),
                format!("ForAllValues:{operator}"),
                format!("ForAnyValue:{operator}IfExists"),
            ] {
                assert_eq!(holds(&more, policy, &[request]), *expected, "{more} {policy:?} {request}");
            }
        }
    }
}

#[test]
fn a_missing_key_meets_negated_and_if_exists_conditions() {
    let positive = [
        ("StringEquals", "a"),
        ("StringEqualsIgnoreCase", "a"),
        ("StringLike", "*"),
        ("NumericEquals", "1"),
        ("NumericLessThan", "1"),
        ("NumericGreaterThanEquals", "1"),
        ("DateEquals", "2026"),
        ("DateLessThan", "2026"),
        ("Bool", "false"),
        ("BinaryEquals", ""),
        ("IpAddress", "0.0.0.0/0"),
        ("ArnEquals", "*"),
        ("ArnLike", "*"),
    ];
    let negated = [
        ("StringNotEquals", "a"),
        ("StringNotEqualsIgnoreCase", "a"),
        ("StringNotLike", "*"),
        ("NumericNotEquals", "1"),
        ("DateNotEquals", "2026"),
        ("NotIpAddress", "0.0.0.0/0"),
        ("ArnNotEquals", "*"),
        ("ArnNotLike", "*"),
    ];
    let all = positive.map(|(o, v)| (o, v, false)).into_iter().chain(negated.map(|(o, v)| (o, v, true)));
    for (operator, value, plain) in all {
        for (name, expected) in [
            (operator.to_owned(), plain),
            (format!("{operator}IfExists"), true),
            (format!("ForAllValues:{operator}"), true),
            (format!("ForAllValues:{operator}IfExists"), true),
            (format!("ForAnyValue:{operator}"), false),
            (format!("ForAnyValue:{operator}IfExists"), true),
        ] {
            assert_eq!(holds(&name, &[value], &[]), expected, "{name}");
        }
    }
    assert!(holds("Null", &["true"], &[]));
    assert!(!holds("Null", &["false"], &[]));
}

#[test]
fn the_qualifier_decides_for_a_key_with_several_values() {
    let data: &[(&str, &[&str], &[&str], bool)] = &[
        ("ForAllValues:StringEquals", &["a", "b"], &["a", "b", "a"], true),
        ("ForAllValues:StringEquals", &["a", "b"], &["a", "c"], false),
        ("ForAnyValue:StringEquals", &["a", "b"], &["c", "b"], true),
        ("ForAnyValue:StringEquals", &["a", "b"], &["c", "d"], false),
        ("ForAllValues:StringNotEquals", &["a", "b"], &["c", "d"], true),
        ("ForAllValues:StringNotEquals", &["a", "b"], &["c", "b"], false),
        ("ForAnyValue:StringNotEquals", &["a", "b"], &["a", "c"], true),
        ("ForAnyValue:StringNotEquals", &["a", "b"], &["a", "b"], false),
        ("StringEquals", &["a"], &["b", "a"], true),
        ("StringEquals", &["a"], &["b", "c"], false),
        ("StringNotEquals", &["a"], &["b", "a"], false),
        ("StringNotEquals", &["a"], &["b", "c"], true),
    ];
    for (operator, policy, request, expected) in data {
        assert_eq!(holds(operator, policy, request), *expected, "{operator} {policy:?} {request:?}");
    }
}

#[test]
fn a_variable_without_a_value_matches_only_where_a_match_narrows_the_statement() {
    let data = [
        ("StringEquals", false, false),
        ("StringEquals", true, false),
        ("ForAnyValue:StringLike", true, false),
        ("StringNotEquals", false, true),
        ("StringNotEquals", true, false),
        ("ForAllValues:StringNotLike", true, false),
    ];
    for (operator, in_allow, expected) in data {
        let condition = parse(operator, "x:k", &["${aws:PrincipalTag/none}"]).unwrap();
        assert_eq!(condition.holds(&context(&["a"]), in_allow), expected, "{operator} {in_allow}");
    }
}

#[test]
fn a_request_always_has_the_condition_keys_of_its_principal() {
    let known = context(&["a"]);
    let data = [
        ("ArnEquals", "aws:PrincipalArn", "arn:aws:iam::000000000000:role/ci/builder"),
        ("StringEquals", "AWS:principalaccount", "000000000000"),
        ("StringEquals", "aws:PrincipalType", "AssumedRole"),
        ("StringEquals", "aws:ResourceAccount", "000000000000"),
        ("Bool", "aws:PrincipalIsAWSService", "false"),
    ];
    for (operator, key, value) in data {
        assert!(parse(operator, key, &[value]).unwrap().holds(&known, false), "{key}");
    }
}

#[test]
fn unknown_operators_and_invalid_values_are_refused() {
    let operators = [
        "",
        "stringequals",
        "StringEqual",
        "BinaryNotEquals",
        "BinaryLike",
        "NumericLike",
        "DateNotLessThan",
        "BoolNot",
        "NotBool",
        "NullIfExists",
        "ForAllValues:Null",
        "ForSomeValues:StringEquals",
        "ForAnyValue:",
        "StringEqualsIfExistsIfExists",
        "IfExists",
        "StringEquals ",
        "ForAllValues:ForAnyValue:StringEquals",
    ];
    for operator in operators {
        let error = parse(operator, "x:k", &["true"]).unwrap_err();
        assert_eq!(error, "it is not an operator that is known here", "{operator}");
    }
    let values = [
        ("NumericEquals", "ten"),
        ("NumericEquals", "NaN"),
        ("NumericEquals", "inf"),
        ("NumericEquals", ""),
        ("DateEquals", "soon"),
        ("DateEquals", "2026-13-01"),
        ("DateEquals", "2026-01-02T00:00:00"),
        ("DateEquals", ""),
        ("DateEquals", "1e300"),
        ("Bool", "yes"),
        ("Bool", ""),
        ("Null", "x"),
        ("BinaryEquals", "*"),
        ("BinaryEquals", "AAE"),
        ("BinaryEquals", "AA E="),
        ("IpAddress", "10.0.0.0/33"),
        ("IpAddress", "10.0.0/8"),
        ("IpAddress", "::/129"),
        ("IpAddress", "10.0.0.0/+8"),
        ("IpAddress", "10.0.0.0/"),
        ("IpAddress", "*"),
        ("IpAddress", "::ffff:10.0.0.0/104"),
        ("ArnLike", "x"),
        ("StringLike", "${aws:x"),
        ("StringEquals", "${x}"),
    ];
    for (operator, value) in values {
        assert!(parse(operator, "x:k", &[value]).is_err(), "{operator} {value}");
    }
    assert_eq!(parse("StringEquals", "k", &["a"]).unwrap_err(), "'k' is not a condition key");
    assert_eq!(parse("StringEquals", "x:k", &[]).unwrap_err(), "x:k has no value");
}
