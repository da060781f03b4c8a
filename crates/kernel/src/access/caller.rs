//! The caller of an operation: a principal, and the credentials by which it calls.

use crate::clock::Time;
use aws::{AccountId, Partition};
use policy::AttachedPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The principal that makes a call, and the credentials by which it does.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: CallerIdentity,
    /// The access key id that signed the request. Empty for a caller without one.
    pub access_key_id: String,
    /// The session that issued the credentials. `None` for a long-term key.
    pub session: Option<Arc<Session>>,
}

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerIdentity {
    /// The account's root principal, `arn:PARTITION:iam::ACCT:root`, UserId = ACCT.
    Administrator { account: AccountId },
    User {
        account: AccountId,
        /// The unique id, such as `AIDA…`.
        id: String,
        /// The path without its first slash and the name, such as `team/ann`.
        path_and_name: String,
    },
    RoleSession {
        account: AccountId,
        /// The role's unique id, such as `AROA…`.
        id: String,
        /// The role's path, such as `/` or `/team/`. It is a part of the role's ARN but not of its sessions' ARNs (`ECR.md` G.1).
        path: String,
        role: String,
        session: String,
    },
    FederatedUser {
        account: AccountId,
        name: String,
        /// The user or root principal that asked for the session.
        of: Box<CallerIdentity>,
    },
    /// Ecru itself, in a background job. The name is an AWS service's, such as `ecr.amazonaws.com`.
    Service { name: &'static str },
    /// A client without credentials.
    Nobody,
}

/// A session of STS: what its credentials are worth beside the rights of their principal.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub kind: SessionKind,
    /// `aws:TokenIssueTime`. AWS's "revoke sessions" denies by it.
    pub issued: Time,
    pub expires: Time,
    /// The session policies. If there are any, they limit the rights of the principal.
    pub policies: Vec<AttachedPolicy>,
    /// The session tags. As `aws:PrincipalTag/KEY` they win over the tags of the role or user.
    pub tags: BTreeMap<String, String>,
    /// The keys of the tags that a session which this one assumes inherits.
    pub transitive_tag_keys: BTreeSet<String>,
    /// `aws:SourceIdentity`. It can't change once it is set.
    pub source_identity: Option<String>,
}

/// The operation that made a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    AssumedRole,
    /// GetSessionToken: the same user or root principal.
    SessionToken,
    /// GetFederationToken.
    Federation,
}

impl Caller {
    /// The caller with a long-term access key.
    pub fn with_key(identity: CallerIdentity, access_key_id: impl Into<String>) -> Caller {
        Caller { identity, access_key_id: access_key_id.into(), session: None }
    }

    /// The root principal of an account with a long-term access key.
    pub fn administrator(account: AccountId, access_key_id: impl Into<String>) -> Caller {
        Caller::with_key(CallerIdentity::Administrator { account }, access_key_id)
    }

    /// A client without credentials.
    pub fn nobody() -> Caller {
        Caller::with_key(CallerIdentity::Nobody, "")
    }

    /// Ecru itself, in a background job.
    pub fn service(name: &'static str) -> Caller {
        Caller::with_key(CallerIdentity::Service { name }, "")
    }

    pub fn account(&self) -> Option<AccountId> {
        self.identity.account()
    }

    /// The ARN, as denials, events and GetCallerIdentity print it. An account is in the partition in which it makes the call.
    pub fn arn(&self, partition: Partition) -> String {
        self.identity.arn(partition)
    }

    /// The `UserId` of GetCallerIdentity. Tokens contain it.
    pub fn user_id(&self) -> String {
        match &self.identity {
            CallerIdentity::Administrator { account } => account.to_string(),
            CallerIdentity::User { id, .. } => id.clone(),
            CallerIdentity::RoleSession { id, session, .. } => format!("{id}:{session}"),
            CallerIdentity::FederatedUser { account, name, .. } => format!("{account}:{name}"),
            CallerIdentity::Service { name } => (*name).to_owned(),
            CallerIdentity::Nobody => String::new(),
        }
    }
}

impl CallerIdentity {
    pub fn account(&self) -> Option<AccountId> {
        match self {
            CallerIdentity::Administrator { account }
            | CallerIdentity::User { account, .. }
            | CallerIdentity::RoleSession { account, .. }
            | CallerIdentity::FederatedUser { account, .. } => Some(*account),
            CallerIdentity::Service { .. } | CallerIdentity::Nobody => None,
        }
    }

    /// See [`Caller::arn`].
    pub fn arn(&self, partition: Partition) -> String {
        match self {
            CallerIdentity::Administrator { account } => format!("arn:{partition}:iam::{account}:root"),
            CallerIdentity::User { account, path_and_name, .. } => {
                format!("arn:{partition}:iam::{account}:user/{path_and_name}")
            }
            CallerIdentity::RoleSession { account, role, session, .. } => {
                format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}")
            }
            CallerIdentity::FederatedUser { account, name, .. } => {
                format!("arn:{partition}:sts::{account}:federated-user/{name}")
            }
            CallerIdentity::Service { name } => (*name).to_owned(),
            CallerIdentity::Nobody => "anonymous".to_owned(),
        }
    }

    /// The unique id of the user or role, such as `AIDA…`. For a federated user it is the user's. `None` for everybody else.
    pub fn unique_id(&self) -> Option<&str> {
        match self {
            CallerIdentity::User { id, .. } | CallerIdentity::RoleSession { id, .. } => Some(id),
            CallerIdentity::FederatedUser { of, .. } => of.unique_id(),
            CallerIdentity::Administrator { .. } | CallerIdentity::Service { .. } | CallerIdentity::Nobody => None,
        }
    }

    /// A key that is equal for two callers if their ARNs are. It costs no allocation.
    pub fn key(&self) -> impl std::hash::Hash {
        match self {
            CallerIdentity::Administrator { account } => ("root", Some(*account), "", ""),
            CallerIdentity::User { account, path_and_name, .. } => ("user", Some(*account), path_and_name.as_str(), ""),
            CallerIdentity::RoleSession { account, role, session, .. } => {
                ("role", Some(*account), role.as_str(), session.as_str())
            }
            CallerIdentity::FederatedUser { account, name, .. } => ("federated", Some(*account), name.as_str(), ""),
            CallerIdentity::Service { name } => ("service", None, *name, ""),
            CallerIdentity::Nobody => ("nobody", None, "", ""),
        }
    }

    /// The principal as policies see it.
    pub(super) fn principal(&self, partition: Partition) -> policy::Principal {
        let kind = match self {
            CallerIdentity::Administrator { .. } => policy::PrincipalKind::Root,
            CallerIdentity::User { .. } => policy::PrincipalKind::User,
            CallerIdentity::RoleSession { account, path, role, .. } => {
                policy::PrincipalKind::RoleSession { role: format!("arn:{partition}:iam::{account}:role{path}{role}") }
            }
            CallerIdentity::FederatedUser { of, .. } => policy::PrincipalKind::FederatedUser { of: of.arn(partition) },
            CallerIdentity::Service { .. } => policy::PrincipalKind::Service,
            CallerIdentity::Nobody => policy::PrincipalKind::Anonymous,
        };
        let unique_id = self.unique_id().map(str::to_owned);
        policy::Principal { account: self.account(), unique_id, arn: self.arn(partition), kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::PrincipalKind;

    #[test]
    fn a_sessions_principal_has_the_sessions_arn_and_the_arn_of_its_role_or_user() {
        let account = AccountId::DEFAULT;
        let session = |path: &str| CallerIdentity::RoleSession {
            account,
            id: "AROAEXAMPLE".to_owned(),
            path: path.to_owned(),
            role: "deployer".to_owned(),
            session: "ci".to_owned(),
        };
        let user = "arn:aws:iam::000000000000:user/team/ann";
        let of = CallerIdentity::User { account, id: "AIDAEXAMPLE".to_owned(), path_and_name: "team/ann".to_owned() };
        let federated = CallerIdentity::FederatedUser { account, name: "ann".to_owned(), of: Box::new(of) };
        let role = |arn: &str| PrincipalKind::RoleSession { role: arn.to_owned() };
        for (identity, arn, kind) in [
            (
                session("/"),
                "arn:aws:sts::000000000000:assumed-role/deployer/ci",
                role("arn:aws:iam::000000000000:role/deployer"),
            ),
            (
                session("/team/build/"),
                "arn:aws:sts::000000000000:assumed-role/deployer/ci",
                role("arn:aws:iam::000000000000:role/team/build/deployer"),
            ),
            (
                federated,
                "arn:aws:sts::000000000000:federated-user/ann",
                PrincipalKind::FederatedUser { of: user.to_owned() },
            ),
        ] {
            let known = identity.principal(Partition::Aws);
            assert_eq!((known.arn.as_str(), known.kind), (arn, kind));
            // Called in China, everybody is of China.
            let known = identity.principal(Partition::AwsCn);
            assert_eq!(known.arn, arn.replacen("arn:aws:", "arn:aws-cn:", 1));
        }
    }
}
