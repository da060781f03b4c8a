use super::{ArnPattern, Pattern, Syntax};
use crate::request::Context;
use crate::{Principal, PrincipalKind, Request, ResourceRule};
use aws::AccountId;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ALL: Syntax = Syntax { wildcards: true, variables: true };
const LITERAL: Syntax = Syntax { wildcards: false, variables: false };

fn context(keys: &[(&str, &[&str])]) -> Context {
    let owned = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
    let context: BTreeMap<String, Vec<String>> =
        keys.iter().map(|(key, values)| ((*key).to_owned(), owned(values))).collect();
    Context::of(&Request {
        principal: &Principal {
            account: Some(AccountId::DEFAULT),
            unique_id: None,
            arn: "arn:aws:iam::000000000000:user/ann".into(),
            kind: PrincipalKind::User,
        },
        action: "ecr:PutImage",
        resource: "*",
        resource_account: AccountId::DEFAULT,
        resource_rule: ResourceRule::Either,
        context: &|| context.clone(),
    })
}

#[test]
fn wildcards_match_whole_texts() {
    let data = [
        ("", "", true),
        ("", "a", false),
        ("a", "", false),
        ("abc", "abc", true),
        ("abc", "ABC", false),
        ("*", "", true),
        ("*", "anything/at:all", true),
        ("?", "", false),
        ("?", "é", true),
        ("a*", "a", true),
        ("a*c", "abbbc", true),
        ("a*c", "abbbcd", false),
        ("*b*", "abc", true),
        ("**", "x", true),
        ("a?c*e", "abcde", true),
        ("a*?", "a", false),
        ("*ab", "aab", true),
        ("*aab*", "aaaab", true),
        ("a**b?", "aXbYbZ", true),
    ];
    for (pattern, text, expected) in data {
        let read = Pattern::parse(pattern, ALL).unwrap();
        assert_eq!(read.matches(text, &context(&[])), Some(expected), "{pattern} {text}");
    }
    let plain = Pattern::parse("a*${x}", LITERAL).unwrap();
    assert_eq!(plain.matches("a*${x}", &context(&[])), Some(true));
    assert_eq!(plain.matches("ab${x}", &context(&[])), Some(false));
    let upper = Pattern::parse("ÄB*", ALL).unwrap();
    assert_eq!(upper.matches_without_case("äbC", &context(&[])), Some(true));
}

#[test]
fn a_pattern_with_many_wildcards_takes_no_exponential_time() {
    let pattern = Pattern::parse(&"a*".repeat(1000), ALL).unwrap();
    let text = "a".repeat(999) + "b";
    assert_eq!(pattern.matches(&text, &context(&[])), Some(false));
}

#[test]
fn variables_are_replaced_by_single_values_of_the_request() {
    let known = context(&[
        ("aws:Username", &["ann"]),
        ("aws:TagKeys", &["a", "b"]),
        ("aws:PrincipalTag/star", &["*"]),
        ("ecr:Empty", &[]),
    ]);
    let data = [
        ("${aws:username}/x", "ann/x", Some(true)),
        ("${aws:username}/x", "bob/x", Some(false)),
        ("${ AWS:USERNAME }", "ann", Some(true)),
        ("${aws:username, 'nobody'}", "ann", Some(true)),
        ("${aws:missing, 'no body'}", "no body", Some(true)),
        ("${aws:missing,''}", "", Some(true)),
        ("${aws:missing}", "", None),
        ("${ecr:empty}", "", None),
        ("${aws:TagKeys}", "a", None),
        ("${aws:PrincipalTag/star}", "*", Some(true)),
        ("${aws:PrincipalTag/star}", "anything", Some(false)),
        ("${*}${?}${$}", "*?$", Some(true)),
        ("${*}", "x", Some(false)),
        ("$x", "$x", Some(true)),
        ("{x}", "{x}", Some(true)),
    ];
    for (pattern, text, expected) in data {
        let read = Pattern::parse(pattern, ALL).unwrap();
        assert_eq!(read.matches(text, &known), expected, "{pattern}");
    }
    for wrong in ["${", "a${aws:x", "${}", "${x}", "${a${aws:b}}", "${aws:x, y}", "${aws:x, 'y}", "${aws:x|y}"] {
        assert!(Pattern::parse(wrong, ALL).is_err(), "{wrong}");
    }
}

#[test]
fn the_fields_of_an_arn_are_matched_separately() {
    let repository = "arn:aws:ecr:us-east-1:111111111111:repository/team/app";
    let data = [
        ("*", Some(true)),
        ("arn:aws:ecr:us-east-1:111111111111:repository/team/app", Some(true)),
        ("arn:aws:ecr:*:111111111111:repository/*", Some(true)),
        ("arn:*:*:*:*:*", Some(true)),
        ("arn:aws:ecr:us-east-?:111111111111:repository/team/???", Some(true)),
        ("arn:aws:ecr", Some(true)),
        ("arn:aws:ecr:*", Some(true)),
        ("arn:aws:e*", Some(true)),
        ("arn:aws:*", Some(true)),
        ("arn:aws:*:app", Some(false)),
        ("arn:*:repository/*", Some(false)),
        ("arn:aws:ecr:us-east-1:222222222222:repository/*", Some(false)),
        ("arn:aws:ecr:us-east-1::repository/team/app", Some(false)),
        ("arn:aws:ecr:us-east-1:111111111111:repository/team", Some(false)),
        ("arn:aws:ecr:us-east-1:111111111111:Repository/team/app", Some(false)),
        ("arn:aws:ecr:*:*:repository/${aws:PrincipalTag/team}/*", Some(true)),
        ("arn:aws:ecr:*:*:repository/${aws:PrincipalTag/other}/*", None),
        ("arn:aws:ecr:*:*:repository/${aws:PrincipalTag/other, 'team'}/*", Some(true)),
        ("arn:aws:ecr:*:${aws:PrincipalAccount}:*", Some(false)),
    ];
    let known = context(&[("aws:PrincipalTag/team", &["team"])]);
    for (pattern, expected) in data {
        let read = ArnPattern::parse(pattern, true).unwrap();
        assert_eq!(read.matches(repository, &known), expected, "{pattern}");
    }
    let any = ArnPattern::parse("arn:aws:ecr:*:*:*", true).unwrap();
    assert_eq!(any.matches("*", &known), Some(false));
    for wrong in ["", "**", "a*", "repository/x", "ARN:aws:ecr:*:*:*", " *"] {
        assert!(ArnPattern::parse(wrong, true).is_err(), "{wrong}");
    }
    let old = ArnPattern::parse("arn:aws:ecr:x:y:${aws:a}", false).unwrap();
    assert_eq!(old.matches("arn:aws:ecr:x:y:${aws:a}", &known), Some(true));
}

/// A simple recursive matcher, as a reference for the fast one.
fn slowly(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), None) => slowly(rest, text),
        (Some(('*', rest)), Some((_, tail))) => slowly(rest, text) || slowly(pattern, tail),
        (Some(('?', rest)), Some((_, tail))) => slowly(rest, tail),
        (Some((p, rest)), Some((t, tail))) => p == t && slowly(rest, tail),
        _ => false,
    }
}

proptest! {
    #[test]
    fn the_matcher_agrees_with_the_recursive_one(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let expected = slowly(&chars(&pattern), &chars(&text));
        let read = Pattern::parse(&pattern, ALL).unwrap();
        prop_assert_eq!(read.matches(&text, &context(&[])), Some(expected));
    }

    #[test]
    fn a_pattern_without_syntax_matches_only_itself(pattern: String, text: String) {
        let read = Pattern::parse(&pattern, LITERAL).unwrap();
        prop_assert_eq!(read.matches(&pattern, &context(&[])), Some(true));
        prop_assert_eq!(read.matches(&text, &context(&[])), Some(text == pattern));
    }

    #[test]
    fn parsing_a_pattern_never_panics(text in "[a$:*?{}, ']{0,20}|.*") {
        if let Ok(pattern) = Pattern::parse(&text, ALL) {
            pattern.matches(&text, &context(&[]));
        }
        if let Ok(pattern) = ArnPattern::parse(&format!("arn:{text}"), true) {
            pattern.matches(&text, &context(&[]));
        }
    }
}
