//! The rules of one service for the policies of its resources, beyond the grammar that all policies share.

#[cfg(test)]
mod tests;

use super::read::{Wrong, wrong};
use super::statement::{Actions, Resources};
use super::{Document, InvalidDocument, Statement};
use crate::pattern::Pattern;
use crate::principal::{PrincipalMatcher, PrincipalName};
use aws::AccountId;

/// The rules of one service for one kind of resource policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyRules<'a> {
    /// The prefix of its actions, such as `ecr`.
    pub service: &'a str,
    /// The actions that the policy may be about, without the prefix.
    pub actions: &'a [&'a str],
    /// Every action must be written out, without wildcards and without `NotAction`.
    pub spelled_out: bool,
    pub resource: ResourceMember,
}

/// How a statement names the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceMember {
    /// It does not. The resource is the one that the policy is attached to.
    Implied,
    /// It names resources of this account.
    Stated { account: AccountId },
}

impl Document {
    /// Checks that each statement names only existing actions, and only resources that the policy may cover.
    pub fn check(&self, rules: &PolicyRules<'_>) -> Result<(), InvalidDocument> {
        for (index, statement) in self.statements.iter().enumerate() {
            let checked = rules.actions(statement).and_then(|()| rules.resources(statement));
            checked.map_err(|Wrong { member, reason }| InvalidDocument::Statement { index, member, reason })?;
        }
        Ok(())
    }

    /// The ARNs and unique ids of users, roles and sessions that the statements name, each with the place of its statement from 0.
    pub fn named_principals(&self) -> impl Iterator<Item = (usize, &str)> {
        self.statements.iter().enumerate().flat_map(|(index, statement)| {
            let named = match &statement.principals {
                Some(PrincipalMatcher::AnyOf(named) | PrincipalMatcher::AllBut(named)) => named.as_slice(),
                None => &[],
            };
            named.iter().filter_map(move |named| match named {
                PrincipalName::Arn(name) | PrincipalName::UniqueId(name) => Some((index, name.as_str())),
                PrincipalName::Everyone
                | PrincipalName::Account { .. }
                | PrincipalName::Service(_)
                | PrincipalName::Federated => None,
            })
        })
    }
}

impl PolicyRules<'_> {
    fn actions(&self, statement: &Statement) -> Result<(), Wrong> {
        let (member, patterns) = match &statement.actions {
            Actions::AnyOf(patterns) => ("Action", patterns),
            Actions::AllBut(_) if self.spelled_out => return Err(wrong("NotAction", "it must be Action here")),
            Actions::AllBut(patterns) => ("NotAction", patterns),
        };
        patterns.iter().try_for_each(|pattern| self.action(pattern).map_err(|reason| wrong(member, reason)))
    }

    fn action(&self, pattern: &Pattern) -> Result<(), String> {
        let prefix = format!("{}:", self.service);
        if !pattern.begins_with_without_case(&prefix) {
            return Err(format!("'{pattern}' does not begin with '{prefix}'"));
        }
        if self.spelled_out && !pattern.is_plain() {
            return Err(format!("'{pattern}' has a wildcard, and must be one of: {}", self.actions.join(", ")));
        }
        let names = |action: &&str| pattern.may_match_without_case(&format!("{prefix}{action}"));
        if self.actions.iter().any(names) {
            return Ok(());
        }
        Err(match self.spelled_out {
            true => format!("'{pattern}' is none of: {}", self.actions.join(", ")),
            false => format!("'{pattern}' is not an action of {}", self.service),
        })
    }

    fn resources(&self, statement: &Statement) -> Result<(), Wrong> {
        let (member, patterns) = match &statement.resources {
            Resources::Own => ("Resource", None),
            Resources::AnyOf(patterns) => ("Resource", Some(patterns)),
            Resources::AllBut(patterns) => ("NotResource", Some(patterns)),
        };
        match (self.resource, patterns) {
            (ResourceMember::Implied, None) => Ok(()),
            (ResourceMember::Implied, Some(_)) => {
                Err(wrong(member, "the policy is about the resource that it is set on"))
            }
            (ResourceMember::Stated { .. }, None) => Err(wrong(member, "it is missing")),
            (ResourceMember::Stated { account }, Some(patterns)) => {
                let account = account.to_string();
                let own = patterns.iter().all(|pattern| pattern.may_be_of(self.service, &account));
                let reason = format!("it is neither '*' nor an ARN of {} in the account {account}", self.service);
                own.then_some(()).ok_or_else(|| wrong(member, reason))
            }
        }
    }
}
