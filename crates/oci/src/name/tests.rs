use super::{InvalidName, InvalidTag, Reference, RepositoryName, Tag};
use crate::Digest;
use proptest::prelude::*;

#[test]
fn names_at_each_edge_of_the_grammar() {
    let longest = "a".repeat(256);
    let accepted = [
        "aa",
        "00",
        "a0",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a-----b",
        "a/b",
        "a/b/c/d/e",
        "1/2",
        "a.b_c__d-e---f/g.h",
        "0.0",
        &longest,
    ];
    for name in accepted {
        let read: RepositoryName = name.parse().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(read.as_str(), name);
        assert_eq!(read.to_string(), name);
        assert_eq!(format!("{read:?}"), format!("{name:?}"));
    }
}

#[test]
fn invalid_names_are_refused_with_the_rule_that_they_break() {
    use InvalidName::{Grammar, TooLong, TooShort};
    let too_long = "a".repeat(257);
    let long_and_wrong = "A".repeat(100_000);
    let refused = [
        ("", TooShort),
        ("a", TooShort),
        ("/", TooShort),
        (too_long.as_str(), TooLong),
        (long_and_wrong.as_str(), TooLong),
        ("é", TooShort),
        ("éé", Grammar),
        ("A", TooShort),
        ("Aa", Grammar),
        ("aA", Grammar),
        ("/a", Grammar),
        ("a/", Grammar),
        ("a//b", Grammar),
        ("//", Grammar),
        (".a", Grammar),
        ("a.", Grammar),
        ("..", Grammar),
        ("a..b", Grammar),
        ("a/../b", Grammar),
        ("a/./b", Grammar),
        ("a/.b", Grammar),
        ("a./b", Grammar),
        ("_a", Grammar),
        ("a_", Grammar),
        ("a___b", Grammar),
        ("-a", Grammar),
        ("a-", Grammar),
        ("a--", Grammar),
        ("a._b", Grammar),
        ("a-_b", Grammar),
        ("a_-b", Grammar),
        ("a.-b", Grammar),
        ("a b", Grammar),
        ("a:b", Grammar),
        ("a@b", Grammar),
        ("a%2Fb", Grammar),
        ("a\\b", Grammar),
        ("a\0b", Grammar),
        ("ab\n", Grammar),
        (" ab", Grammar),
    ];
    for (name, rule) in refused {
        let shown: String = name.chars().take(20).collect();
        assert_eq!(name.parse::<RepositoryName>(), Err(rule), "{shown}");
    }
}

/// A second implementation of the grammar, to check the first: a slow state machine, written from the pattern's text.
fn pattern_accepts(name: &str) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Start,
        Word,
        Dot,
        One,
        Two,
        Dashes,
    }
    use State::{Dashes, Dot, One, Start, Two, Word};
    let mut state = Start;
    for c in name.chars() {
        state = match (state, c) {
            (_, 'a'..='z' | '0'..='9') => Word,
            (Word, '.') => Dot,
            (Word, '_') => One,
            (One, '_') => Two,
            (Word | Dashes, '-') => Dashes,
            (Word, '/') => Start,
            _ => return false,
        };
    }
    state == Word
}

#[test]
fn every_short_text_is_accepted_or_refused_as_the_pattern_says() {
    let alphabet = ['a', '.', '_', '-', '/', 'A'];
    let mut texts = vec![String::new()];
    for _ in 0..6 {
        texts = texts.iter().flat_map(|text| alphabet.map(|c| format!("{text}{c}"))).collect();
        for text in texts.iter().filter(|text| text.len() >= 2) {
            let accepted = text.parse::<RepositoryName>().is_ok();
            assert_eq!(accepted, pattern_accepts(text), "{text}");
        }
    }
}

#[test]
fn tags_at_each_edge_of_the_grammar() {
    let longest = "a".repeat(128);
    let accepted = ["a", "Z", "0", "_", "__", "a.", "a-", "a..", "v1.0.0-rc.1_x", "sha256-0123", &longest];
    for tag in accepted {
        let read: Tag = tag.parse().unwrap_or_else(|e| panic!("{tag}: {e}"));
        assert_eq!(read.as_str(), tag);
        assert_eq!(read.to_string(), tag);
        assert_eq!(format!("{read:?}"), format!("{tag:?}"));
    }
    let too_long = "a".repeat(129);
    let refused = ["", ".", "-", ".a", "-a", "a b", "a/b", "a:b", "a+b", "a@b", "é", "aé", "a\n", " a", "*", &too_long];
    for tag in refused {
        assert_eq!(tag.parse::<Tag>(), Err(InvalidTag), "{tag}");
    }
}

#[test]
fn a_reference_with_a_colon_parses_only_as_a_digest() {
    let digest = format!("sha256:{}", "0f".repeat(32));
    let parsed: Digest = digest.parse().unwrap();
    assert_eq!(digest.parse(), Ok(Reference::Digest(parsed)));
    assert_eq!("latest".parse(), Ok(Reference::Tag("latest".parse().unwrap())));
    let upper = digest.to_uppercase();
    for refused in ["", ":", "a:b", "sha256:", "sha256:00", "latest@x", upper.as_str()] {
        assert_eq!(refused.parse::<Reference>(), Err(InvalidTag), "{refused}");
    }
}

proptest! {
    #[test]
    fn names_made_by_the_grammar_are_accepted(
        // PATTERN with its repetitions bounded, so that most names are within 256 characters.
        name in r"[a-z0-9]{1,5}((\.|_|__|-{1,4})[a-z0-9]{1,5}){0,3}(\/[a-z0-9]{1,5}((\.|_|__|-{1,4})[a-z0-9]{1,5}){0,3}){0,3}",
    ) {
        prop_assume!(name.len() >= RepositoryName::MIN_LENGTH);
        prop_assert_eq!(name.parse::<RepositoryName>().unwrap().to_string(), name);
    }

    #[test]
    fn any_text_is_accepted_or_refused_as_the_pattern_says(name in "[a-c0-1._/-]{2,256}|.{0,300}") {
        let expected = (2..=256).contains(&name.chars().count()) && pattern_accepts(&name);
        prop_assert_eq!(name.parse::<RepositoryName>().is_ok(), expected);
    }

    #[test]
    fn tags_made_by_the_pattern_are_accepted(tag in Tag::PATTERN) {
        prop_assert_eq!(tag.parse::<Tag>().unwrap().to_string(), tag);
    }

    #[test]
    fn a_text_that_parses_as_a_reference_displays_unchanged(text in "[a-z0-9_.:@/-]{0,140}|.*|sha256:[0-9a-f]{63,65}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string(), text);
        }
    }
}
