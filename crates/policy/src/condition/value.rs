//! The values of a condition, parsed as its operator requires.

use super::network::Network;
use super::operator::{Comparison, Kind};
use crate::pattern::{ArnPattern, Pattern, Syntax};
use crate::request::Context;
use aws::Blob;
use jiff::Timestamp;

/// A comparison with several policy values, of which one must match.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Text(Vec<Pattern>),
    TextWithoutCase(Vec<Pattern>),
    Number(Comparison, Vec<f64>),
    Date(Comparison, Vec<Timestamp>),
    Bool(Vec<bool>),
    /// The values of a binary key are base64 in policies and requests alike.
    Binary(Vec<Blob>),
    Address(Vec<Network>),
    Arn(Vec<ArnPattern>),
    /// The operator `Null`: `true` means that the key must be absent.
    Absent(Vec<bool>),
}

impl Test {
    /// Parses a condition's values. The error tells why the operator can't use one.
    pub(super) fn parse(kind: Kind, values: &[String], variables: bool) -> Result<Test, &'static str> {
        Ok(match kind {
            Kind::Text { wildcards, without_case } => {
                let syntax = Syntax { wildcards, variables };
                let patterns = each(values, |text| Pattern::parse(text, syntax))?;
                if without_case { Test::TextWithoutCase(patterns) } else { Test::Text(patterns) }
            }
            Kind::Number(comparison) => {
                Test::Number(comparison, each(values, |v| number(v).ok_or("it is not a number"))?)
            }
            Kind::Date(comparison) => Test::Date(comparison, each(values, |v| date(v).ok_or("it is not a date"))?),
            Kind::Bool => Test::Bool(each(values, |v| boolean(v).ok_or("it is neither true nor false"))?),
            Kind::Binary => Test::Binary(each(values, |v| v.parse::<Blob>().map_err(|_| "it is not base64"))?),
            Kind::Null => Test::Absent(each(values, |v| boolean(v).ok_or("it is neither true nor false"))?),
            Kind::Address => Test::Address(each(values, |v| {
                v.parse::<Network>().map_err(|_| "it is not an address or a CIDR block")
            })?),
            Kind::Arn => Test::Arn(each(values, |v| ArnPattern::parse(v, variables))?),
        })
    }

    /// True if one of the policy's values has a variable with this lower-case name.
    pub(super) fn mentions(&self, key: &str) -> bool {
        match self {
            Test::Text(patterns) | Test::TextWithoutCase(patterns) => patterns.iter().any(|p| p.mentions(key)),
            Test::Arn(patterns) => patterns.iter().any(|p| p.mentions(key)),
            Test::Number(..)
            | Test::Date(..)
            | Test::Bool(_)
            | Test::Binary(_)
            | Test::Address(_)
            | Test::Absent(_) => false,
        }
    }

    /// True if a value of the request matches one of the policy's values. A value that can't be parsed matches none.
    ///
    /// `unresolved` is the result for a policy value with a variable that the request lacks.
    pub(super) fn matches(&self, value: &str, context: &Context, unresolved: bool) -> bool {
        match self {
            Test::Text(patterns) => patterns.iter().any(|p| p.matches(value, context).unwrap_or(unresolved)),
            Test::TextWithoutCase(patterns) => {
                patterns.iter().any(|p| p.matches_without_case(value, context).unwrap_or(unresolved))
            }
            Test::Arn(patterns) => patterns.iter().any(|p| p.matches(value, context).unwrap_or(unresolved)),
            Test::Number(comparison, limits) => number(value).is_some_and(|value| {
                limits.iter().filter_map(|limit| value.partial_cmp(limit)).any(|ordering| comparison.holds(ordering))
            }),
            Test::Date(comparison, limits) => {
                date(value).is_some_and(|value| limits.iter().any(|limit| comparison.holds(value.cmp(limit))))
            }
            Test::Bool(wanted) => boolean(value).is_some_and(|value| wanted.contains(&value)),
            Test::Binary(wanted) => value.parse().is_ok_and(|value| wanted.contains(&value)),
            Test::Address(networks) => {
                value.parse().is_ok_and(|address| networks.iter().any(|network| network.contains(address)))
            }
            // `Condition::holds` decides this by the key's presence. If it has a value, it is not absent.
            Test::Absent(wanted) => wanted.contains(&false),
        }
    }
}

fn each<T>(values: &[String], read: impl Fn(&str) -> Result<T, &'static str>) -> Result<Vec<T>, &'static str> {
    values.iter().map(|value| read(value)).collect()
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Parses a date in W3C's profile of ISO 8601 (a year, a month, a day, or a time with a zone), or seconds since 1970.
///
/// Four digits are a year, not seconds.
fn date(text: &str) -> Option<Timestamp> {
    let only_digits = text.bytes().all(|c| c.is_ascii_digit() || c == b'-');
    let whole = match text.len() {
        4 if only_digits => format!("{text}-01-01T00:00:00Z"),
        7 if only_digits && text.contains('-') => format!("{text}-01T00:00:00Z"),
        10 if only_digits && text.contains('-') => format!("{text}T00:00:00Z"),
        _ if !text.contains('T') => {
            let micros = number(text)? * 1e6;
            return Timestamp::from_microsecond(micros.round() as i64).ok();
        }
        _ => text.to_owned(),
    };
    whole.parse().ok()
}
