//! A statement, and the check whether it applies to a request.

use crate::condition::Condition;
use crate::pattern::{ArnPattern, Pattern};
use crate::principal::{GrantStrength, PrincipalMatcher};
use crate::request::{Context, Request};
use std::cell::OnceCell;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    /// Shortened, for messages.
    pub sid: Option<Arc<str>>,
    pub effect: Effect,
    /// `None` in an identity policy, which applies to the identity that it is attached to.
    pub principals: Option<PrincipalMatcher>,
    pub actions: Actions,
    pub resources: Resources,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Actions {
    AnyOf(Vec<Pattern>),
    AllBut(Vec<Pattern>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resources {
    /// The resource that the policy is attached to.
    Own,
    AnyOf(Vec<ArnPattern>),
    AllBut(Vec<ArnPattern>),
}

/// The properties of a request that statements are compared with. Made once per evaluation.
pub(crate) struct Facts<'a> {
    pub request: &'a Request<'a>,
    pub has_boundary: bool,
    context: OnceCell<Context>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(request: &'a Request<'a>, has_boundary: bool) -> Facts<'a> {
        Facts { request, has_boundary, context: OnceCell::new() }
    }

    /// The request's condition keys. Computed at first use.
    fn context(&self) -> &Context {
        self.context.get_or_init(|| Context::of(self.request))
    }
}

impl Statement {
    /// The strength of the statement's grant to the caller. `None` if the statement does not apply.
    ///
    /// A text with a variable that has no value in the request does not match. Under `NotResource` and negated operators, where that
    /// would make an Allow wider, it matches.
    pub(crate) fn applies(&self, facts: &Facts<'_>) -> Option<GrantStrength> {
        let strength = match &self.principals {
            Some(matcher) => matcher.strength(facts.request.principal, facts.has_boundary)?,
            None => GrantStrength::Alone,
        };
        let unresolved = self.effect == Effect::Allow;
        let holds = |condition: &Condition| condition.holds(facts.context(), unresolved);
        let applies = self.concerns_action(facts)
            && self.concerns_resource(facts, unresolved)
            && self.conditions.iter().all(holds);
        applies.then_some(strength)
    }

    /// True if the statement depends on the condition key with this lower-case name.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        let in_resources = match &self.resources {
            Resources::Own => false,
            Resources::AnyOf(patterns) | Resources::AllBut(patterns) => patterns.iter().any(|p| p.mentions(key)),
        };
        in_resources || self.conditions.iter().any(|condition| condition.mentions(key))
    }

    fn concerns_action(&self, facts: &Facts<'_>) -> bool {
        // The names of actions have no variables.
        let is_it = |pattern: &Pattern| pattern.matches_without_case(facts.request.action, None) == Some(true);
        match &self.actions {
            Actions::AnyOf(patterns) => patterns.iter().any(is_it),
            Actions::AllBut(patterns) => !patterns.iter().any(is_it),
        }
    }

    fn concerns_resource(&self, facts: &Facts<'_>, unresolved: bool) -> bool {
        // The context is made only for a pattern with a variable.
        let resource = facts.request.resource;
        let matches = |pattern: &ArnPattern| {
            pattern.matches(resource, None).or_else(|| pattern.matches(resource, facts.context()))
        };
        match &self.resources {
            Resources::Own => true,
            Resources::AnyOf(patterns) => patterns.iter().any(|p| matches(p).unwrap_or(false)),
            Resources::AllBut(patterns) => !patterns.iter().any(|p| matches(p).unwrap_or(unresolved)),
        }
    }
}
