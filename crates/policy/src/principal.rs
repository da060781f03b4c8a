//! The principals that a statement of a resource policy names, and how strong a grant its allow is to them.

use crate::request::{Principal, PrincipalKind};
use aws::{AccountId, Arn, Partition};

/// Tells the principals that a statement concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalMatcher {
    AnyOf(Vec<PrincipalName>),
    /// `NotPrincipal`; only a Deny has it.
    AllBut(Vec<PrincipalName>),
}

/// One entry of a `Principal` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalName {
    /// `*`
    Everyone,
    /// A bare account id, which means the account in every partition, or the account's root ARN, which is of one.
    Account {
        account: AccountId,
        partition: Option<Partition>,
    },
    /// A user, role, role session or federated user, by ARN.
    Arn(String),
    Service(String),
    /// An identity provider, which role trust policies name. No [`PrincipalKind`] is a provider's user yet, so it matches nobody.
    Federated,
}

/// How strong a grant an allow in a resource policy is within the owner's own account (`ECR.md` G.1), the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GrantStrength {
    /// It names the account, which hands the decision to the account's identity policies.
    Delegates,
    /// No identity policy is needed, but boundary and session policies must allow.
    Limited,
    /// Nothing else is needed.
    Alone,
}

impl PrincipalName {
    /// Reads an entry of `{"AWS": …}`.
    pub(crate) fn aws(text: &str) -> Result<PrincipalName, &'static str> {
        if text == "*" {
            return Ok(PrincipalName::Everyone);
        }
        if let Ok(account) = text.parse() {
            return Ok(PrincipalName::Account { account, partition: None });
        }
        if text.contains(['*', '?']) {
            return Err("a principal takes no wildcard except a lone '*'");
        }
        let unknown = "it is not an account or the ARN of a user, a role or a session";
        let arn: Arn = text.parse().map_err(|_| unknown)?;
        let account: AccountId = arn.account.parse().map_err(|_| unknown)?;
        let partition: Partition = arn.partition.parse().map_err(|_| unknown)?;
        let is_of = |kinds: &[&str]| kinds.iter().any(|kind| arn.resource.starts_with(kind));
        match arn.service.as_str() {
            "iam" if arn.resource == "root" => Ok(PrincipalName::Account { account, partition: Some(partition) }),
            "iam" if is_of(&["user/", "role/"]) => Ok(PrincipalName::Arn(text.to_owned())),
            "sts" if is_of(&["assumed-role/", "federated-user/"]) => Ok(PrincipalName::Arn(text.to_owned())),
            _ => Err(unknown),
        }
    }

    /// How strong a grant this name is to a principal; `None` when it does not mean them.
    fn strength(&self, principal: &Principal) -> Option<GrantStrength> {
        match self {
            // A lone `*` is taken to be as strong as a role's ARN.
            PrincipalName::Everyone => Some(GrantStrength::Limited),
            PrincipalName::Account { account, partition } => {
                let is_it = principal.account == Some(*account) && partition.is_none_or(|of| principal.is_of(of));
                is_it.then_some(GrantStrength::Delegates)
            }
            PrincipalName::Arn(arn) => match &principal.kind {
                PrincipalKind::Service | PrincipalKind::Anonymous => None,
                _ if principal.arn == *arn => Some(GrantStrength::Alone),
                PrincipalKind::RoleSession { role } if role == arn => Some(GrantStrength::Limited),
                PrincipalKind::FederatedUser { of } if of == arn => Some(GrantStrength::Limited),
                _ => None,
            },
            PrincipalName::Service(name) => {
                let is_it = principal.kind == PrincipalKind::Service && principal.arn == *name;
                is_it.then_some(GrantStrength::Alone)
            }
            PrincipalName::Federated => None,
        }
    }
}

impl PrincipalMatcher {
    /// How strong a grant the statement is to a principal; `None` when it does not concern them.
    ///
    /// `NotPrincipal` spares those whom it names themselves (naming an account spares its root alone), and nobody who has
    /// a permissions boundary (IAM user guide, "NotPrincipal").
    pub(crate) fn strength(&self, principal: &Principal, has_boundary: bool) -> Option<GrantStrength> {
        match self {
            PrincipalMatcher::AnyOf(named) => named.iter().filter_map(|n| n.strength(principal)).max(),
            PrincipalMatcher::AllBut(named) => {
                let is_root = principal.kind == PrincipalKind::Root;
                let spared = |strength: GrantStrength| strength > GrantStrength::Delegates || is_root;
                let named_itself = named.iter().filter_map(|n| n.strength(principal)).any(spared);
                (has_boundary || !named_itself).then_some(GrantStrength::Alone)
            }
        }
    }
}
