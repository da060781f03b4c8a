//! The conditions of a statement: operators, values, and the rules for a missing key (`ECR.md` G.1).

mod network;
mod operator;
#[cfg(test)]
mod tests;
mod value;

pub use network::{InvalidNetwork, Network};

use crate::request::Context;
use operator::{Operator, Qualifier};
use value::Test;

/// The comparison of one condition key by one operator. A statement with several keys or operators has several conditions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    operator: Operator,
    /// In lower case.
    key: String,
    test: Test,
}

impl Condition {
    /// Reads one key of one operator. The error is a text for the author of the policy.
    pub(crate) fn parse(operator: &str, key: &str, values: &[String], variables: bool) -> Result<Condition, String> {
        let operator = Operator::parse(operator).ok_or("it is not an operator that is known here")?;
        if !key.contains(':') {
            return Err(format!("'{key}' is not a condition key"));
        }
        if values.is_empty() {
            return Err(format!("{key} has no value"));
        }
        let test = Test::parse(operator.kind, values, variables).map_err(|reason| format!("{key}: {reason}"))?;
        Ok(Condition { operator, key: key.to_ascii_lowercase(), test })
    }

    /// True if the condition tests the key with this lower-case name, or has a variable of this name.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.key == key || self.test.mentions(key)
    }

    /// True if the request meets the condition.
    ///
    /// `unresolved` tells whether a policy value matches under a negated operator if the request lacks the value's variable. If the key
    /// has several values and no qualifier, one value must meet a plain operator and all values must meet a negated one.
    pub(crate) fn holds(&self, context: &Context, unresolved: bool) -> bool {
        let Operator { negated, if_exists, qualifier, .. } = self.operator;
        let values = context.values(&self.key);
        if let Test::Absent(wanted) = &self.test {
            return wanted.contains(&values.is_none());
        }
        let Some(values) = values else {
            return match qualifier {
                _ if if_exists => true,
                Some(Qualifier::All) => true,
                Some(Qualifier::Any) => false,
                None => negated,
            };
        };
        let meets = |value: &String| self.test.matches(value, context, negated && unresolved) != negated;
        match qualifier {
            Some(Qualifier::All) => values.iter().all(meets),
            Some(Qualifier::Any) => values.iter().any(meets),
            None if negated => values.iter().all(meets),
            None => values.iter().any(meets),
        }
    }
}
