//! Whom a statement of a resource policy names, and what its allow is worth to them.

use crate::request::{Principal, PrincipalKind};
use aws::{AccountId, Arn};

/// Whom a statement concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    These(Vec<Named>),
    /// `NotPrincipal`; only a Deny has it.
    AllBut(Vec<Named>),
}

/// One entry of a `Principal` element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `*`
    Everyone,
    /// A bare account id or the account's root ARN.
    Account(AccountId),
    /// A user, role, role session or federated user, by ARN.
    Arn(String),
    Service(String),
    /// An identity provider, which only role trust policies know: no caller here is one.
    Federated,
}

/// What an allow in a resource policy is worth within the owner's own account (`ECR.md` G.1), the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    /// It names the account, which hands the decision to the account's identity policies.
    Delegates,
    /// No identity policy is needed, but boundary and session policies must allow.
    Limited,
    /// Nothing else is needed.
    Alone,
}

impl Named {
    /// Reads an entry of `{"AWS": …}`.
    pub(crate) fn aws(text: &str) -> Result<Named, &'static str> {
        if text == "*" {
            return Ok(Named::Everyone);
        }
        if let Ok(account) = text.parse() {
            return Ok(Named::Account(account));
        }
        if text.contains(['*', '?']) {
            return Err("a principal takes no wildcard except a lone '*'");
        }
        let unknown = "it is not an account or the ARN of a user, a role or a session";
        let arn: Arn = text.parse().map_err(|_| unknown)?;
        let account: AccountId = arn.account.parse().map_err(|_| unknown)?;
        let is_of = |kinds: &[&str]| kinds.iter().any(|kind| arn.resource.starts_with(kind));
        match arn.service.as_str() {
            "iam" if arn.resource == "root" => Ok(Named::Account(account)),
            "iam" if is_of(&["user/", "role/"]) => Ok(Named::Arn(text.to_owned())),
            "sts" if is_of(&["assumed-role/", "federated-user/"]) => Ok(Named::Arn(text.to_owned())),
            _ => Err(unknown),
        }
    }

    /// What being named so is worth to a principal; `None` when it does not mean them.
    fn worth(&self, principal: &Principal) -> Option<Worth> {
        match self {
            // A lone `*` is taken to be worth what a role's ARN is.
            Named::Everyone => Some(Worth::Limited),
            Named::Account(account) => (principal.account == Some(*account)).then_some(Worth::Delegates),
            Named::Arn(arn) => match &principal.kind {
                PrincipalKind::Service | PrincipalKind::Anonymous => None,
                _ if principal.arn == *arn => Some(Worth::Alone),
                PrincipalKind::RoleSession { role } if role == arn => Some(Worth::Limited),
                PrincipalKind::FederatedUser { of } if of == arn => Some(Worth::Limited),
                _ => None,
            },
            Named::Service(name) => {
                let is_it = principal.kind == PrincipalKind::Service && principal.arn == *name;
                is_it.then_some(Worth::Alone)
            }
            Named::Federated => None,
        }
    }
}

impl Whom {
    /// What the statement is worth to a principal; `None` when it does not concern them.
    ///
    /// `NotPrincipal` spares those whom it names themselves (naming an account spares its root alone), and nobody who has
    /// a permissions boundary (IAM user guide, "NotPrincipal").
    pub(crate) fn worth(&self, principal: &Principal, has_boundary: bool) -> Option<Worth> {
        match self {
            Whom::These(named) => named.iter().filter_map(|n| n.worth(principal)).max(),
            Whom::AllBut(named) => {
                let is_root = principal.kind == PrincipalKind::Root;
                let spared = |worth: Worth| worth > Worth::Delegates || is_root;
                let named_itself = named.iter().filter_map(|n| n.worth(principal)).any(spared);
                (has_boundary || !named_itself).then_some(Worth::Alone)
            }
        }
    }
}
