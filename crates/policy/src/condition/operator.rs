//! Condition operators (IAM user guide, "Condition operators").

use std::cmp::Ordering;

/// An operator with its qualifier and suffix, such as `ForAllValues:StringNotLikeIfExists`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub kind: Kind,
    pub negated: bool,
    pub if_exists: bool,
    pub qualifier: Option<Qualifier>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Qualifier {
    /// `ForAllValues:`
    All,
    /// `ForAnyValue:`
    Any,
}

/// The type of the compared values, and the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text { wildcards: bool, without_case: bool },
    Number(Comparison),
    Date(Comparison),
    Bool,
    Binary,
    Address,
    Arn,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// True if the comparison holds for this ordering of the request's value to the policy's value.
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// Parses the rest of a name after `Numeric` or `Date`. The flag is true if the operator is negated.
    fn parse(name: &str) -> Option<(Comparison, bool)> {
        Some(match name {
            "Equals" => (Comparison::Equal, false),
            "NotEquals" => (Comparison::Equal, true),
            "LessThan" => (Comparison::Less, false),
            "LessThanEquals" => (Comparison::LessOrEqual, false),
            "GreaterThan" => (Comparison::Greater, false),
            "GreaterThanEquals" => (Comparison::GreaterOrEqual, false),
            _ => return None,
        })
    }
}

impl Operator {
    /// Parses an operator's name. `None` if it is unknown; the caller must then refuse the document.
    pub(super) fn parse(name: &str) -> Option<Operator> {
        let (qualifier, name) = match name.split_once(':') {
            Some(("ForAllValues", name)) => (Some(Qualifier::All), name),
            Some(("ForAnyValue", name)) => (Some(Qualifier::Any), name),
            Some(_) => return None,
            None => (None, name),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (kind, negated) = kind(name)?;
        // `Null` tests whether the key exists, so `IfExists` and a qualifier would contradict it.
        if kind == Kind::Null && (if_exists || qualifier.is_some()) {
            return None;
        }
        Some(Operator { kind, negated, if_exists, qualifier })
    }
}

fn kind(name: &str) -> Option<(Kind, bool)> {
    if let Some(rest) = name.strip_prefix("Numeric") {
        return Comparison::parse(rest).map(|(c, negated)| (Kind::Number(c), negated));
    }
    if let Some(rest) = name.strip_prefix("Date") {
        return Comparison::parse(rest).map(|(c, negated)| (Kind::Date(c), negated));
    }
    let text = |wildcards, without_case| Kind::Text { wildcards, without_case };
    Some(match name {
        "StringEquals" => (text(false, false), false),
        "StringNotEquals" => (text(false, false), true),
        "StringEqualsIgnoreCase" => (text(false, true), false),
        "StringNotEqualsIgnoreCase" => (text(false, true), true),
        "StringLike" => (text(true, false), false),
        "StringNotLike" => (text(true, false), true),
        "Bool" => (Kind::Bool, false),
        "BinaryEquals" => (Kind::Binary, false),
        "IpAddress" => (Kind::Address, false),
        "NotIpAddress" => (Kind::Address, true),
        "ArnEquals" | "ArnLike" => (Kind::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Kind::Arn, true),
        "Null" => (Kind::Null, false),
        _ => return None,
    })
}
