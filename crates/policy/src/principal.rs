//! The `Principal` element of a resource policy's statement, and the strength of its grant.

use crate::request::{Principal, PrincipalKind};
use aws::{AccountId, Arn, Partition};

/// The principals that a statement applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalMatcher {
    AnyOf(Vec<PrincipalName>),
    /// `NotPrincipal`. Only a Deny may have it.
    AllBut(Vec<PrincipalName>),
}

/// One entry of a `Principal` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrincipalName {
    /// `*`
    Everyone,
    /// An account, by its id or by the ARN of its root principal. The id alone means the account in every partition.
    Account {
        account: AccountId,
        partition: Option<Partition>,
    },
    /// The ARN of a user, role, role session or federated user.
    Arn(String),
    /// The unique id of a user or role. Stored policies have it in place of the ARN.
    UniqueId(String),
    Service(String),
    /// An identity provider, in a role's trust policy. It matches nobody, because no [`PrincipalKind`] is a provider's user yet.
    Federated,
}

/// The strength of an allow in a resource policy, within the account that owns the resource (`ECR.md` G.1). Ordered from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GrantStrength {
    /// The statement names the account. The account's identity policies decide.
    Delegates,
    /// No identity policy is needed, but the permissions boundary and the session policies must allow the action.
    Limited,
    /// No other policy is needed.
    Alone,
}

/// True for the unique id of a user or role: `AIDA` or `AROA` and at least 12 capital letters and digits.
pub fn is_unique_id(text: &str) -> bool {
    let rest = text.strip_prefix("AIDA").or_else(|| text.strip_prefix("AROA"));
    rest.is_some_and(|rest| rest.len() >= 12 && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
}

impl PrincipalName {
    /// Parses an entry of `{"AWS": …}`.
    pub(crate) fn aws(text: &str) -> Result<PrincipalName, &'static str> {
        if text == "*" {
            return Ok(PrincipalName::Everyone);
        }
        if let Ok(account) = text.parse() {
            return Ok(PrincipalName::Account { account, partition: None });
        }
        if is_unique_id(text) {
            return Ok(PrincipalName::UniqueId(text.to_owned()));
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

    /// The strength of a grant to a principal by this name. `None` if the name does not match the principal.
    fn strength(&self, principal: &Principal) -> Option<GrantStrength> {
        match self {
            // `*` is as strong as a role's ARN.
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
            PrincipalName::UniqueId(id) if principal.unique_id.as_ref() == Some(id) => match &principal.kind {
                PrincipalKind::User => Some(GrantStrength::Alone),
                PrincipalKind::RoleSession { .. } | PrincipalKind::FederatedUser { .. } => Some(GrantStrength::Limited),
                PrincipalKind::Root | PrincipalKind::Service | PrincipalKind::Anonymous => None,
            },
            PrincipalName::UniqueId(_) => None,
            PrincipalName::Service(name) => {
                let is_it = principal.kind == PrincipalKind::Service && principal.arn == *name;
                is_it.then_some(GrantStrength::Alone)
            }
            PrincipalName::Federated => None,
        }
    }
}

impl PrincipalMatcher {
    /// The strength of the statement's grant to a principal. `None` if the statement does not apply to the principal.
    ///
    /// `NotPrincipal` excludes the principals that it names. The name of an account excludes only its root principal. No principal with
    /// a permissions boundary is excluded (IAM user guide, "NotPrincipal").
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
