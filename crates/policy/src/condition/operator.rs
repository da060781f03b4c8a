//! The names of operators (IAM user guide, "Condition operators").

use std::cmp::Ordering;

/// An operator with what its name adds: `ForAllValues:StringNotLikeIfExists`.
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

/// What is compared, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text { wildcards: bool, without_case: bool },
    Number(Comparison),
    Date(Comparison),
    Bool,
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
    /// True when a request's value that stands so to the policy's meets it.
    pub(super) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Comparison::Equal => ordering.is_eq(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// Reads what follows `Numeric` or `Date`; the flag says whether it is negated.
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
    /// Reads an operator's name; `None` for one that is not known, which must be refused.
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
        // Null asks whether a key is there, so the other two would contradict it.
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
        "IpAddress" => (Kind::Address, false),
        "NotIpAddress" => (Kind::Address, true),
        "ArnEquals" | "ArnLike" => (Kind::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Kind::Arn, true),
        "Null" => (Kind::Null, false),
        _ => return None,
    })
}
