//! Who calls, and what they may do. Nothing is allowed by default.
use crate::{Cx, Error};
use aws::AccountId;
use std::collections::BTreeMap;

/// Who makes a call. Only administrators exist until the IAM API does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The account's root principal, `arn:aws:iam::ACCT:root`, UserId = ACCT.
    Administrator { account: AccountId, access_key_id: String },
    User { account: AccountId, id: String, path_and_name: String, access_key_id: String },
    RoleSession { account: AccountId, id: String, role: String, session: String, access_key_id: String },
    FederatedUser { account: AccountId, id: String, name: String, access_key_id: String },
    /// Ecru itself, for a job: `ecr.amazonaws.com` and the like.
    Service { name: &'static str },
    Nobody,
}

impl Caller {
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Caller::Administrator { account, .. } | Caller::User { account, .. } | Caller::RoleSession { account, .. } | Caller::FederatedUser { account, .. } => Some(*account),
            Caller::Service { .. } | Caller::Nobody => None,
        }
    }
    /// The ARN as refusals and GetCallerIdentity print it.
    pub fn arn(&self) -> String { todo!() }
    /// GetCallerIdentity's UserId.
    pub fn user_id(&self) -> String { todo!() }
}

/// What an action is done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A repository of the call's registry, by name; it need not exist.
    Repository(oci::RepositoryName),
    /// `arn:aws:ecr:REGION:ACCT:repository/*`: every repository at once (unnamed listings).
    AllRepositories,
    /// `*`: the registry, an account, or nothing in particular.
    Any,
}

/// One permission that a call needs: declared by the operation, checked by [`authorize`].
#[derive(Clone, Debug)]
pub struct Need {
    /// Such as `ecr:PutImage`.
    pub action: &'static str,
    pub resource: Resource,
    /// Tags that the request carries (`aws:RequestTag/KEY`).
    pub request_tags: BTreeMap<String, String>,
    /// Further condition keys of the request, such as `ecr:AccountSetting`.
    pub conditions: BTreeMap<&'static str, String>,
}

impl Need {
    pub fn new(action: &'static str, resource: Resource) -> Need {
        Need { action, resource, request_tags: BTreeMap::new(), conditions: BTreeMap::new() }
    }
    pub fn on(action: &'static str, name: &oci::RepositoryName) -> Need {
        Need::new(action, Resource::Repository(name.clone()))
    }
}

/// Allows the call only if every need is allowed to the caller; the first that isn't is named in [`Error::AccessDenied`].
pub async fn authorize(_cx: &Cx, _needs: &[Need]) -> Result<(), Error> { todo!() }
