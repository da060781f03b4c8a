//! The users and roles that policies of resources and of roles name.
//!
//! A client names them by ARN. A stored policy names those of this installation by their unique ids instead, as AWS does, so that a user
//! or role that is created again under an old name gains nothing. A policy that is shown names them by ARN again. One that was deleted
//! meanwhile stays shown by its unique id (IAM user guide, "AWS JSON policy elements: Principal").

use aws::{AccountId, Arn, Partition};
use meta::Tx;
use meta::records::iam::{self, EntityKind, EntityRow};
use meta::records::policy::account_exists;
use policy::{Document, InvalidDocument};
use std::collections::BTreeMap;

/// Why a policy can't be stored.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    /// A statement, counted from 0, names a user or role that does not exist.
    #[error("Statement[{statement}].Principal.AWS: there is no {name}")]
    Unknown { statement: usize, name: String },
    #[error(transparent)]
    Text(#[from] InvalidDocument),
    #[error(transparent)]
    Store(#[from] meta::Error),
}

/// What the stores know of a name.
enum Resolved {
    /// Of another installation, or a kind of principal that is not stored. It can't be checked.
    Unchecked,
    Exists {
        unique_id: String,
    },
    Unknown,
}

/// The ARN of a user, group, role, instance profile or managed policy: `arn:PARTITION:iam::ACCT:KIND/PATH/NAME`.
pub fn arn(partition: Partition, entity: &EntityRow) -> String {
    let EntityRow { account, kind, path, name, .. } = entity;
    format!("arn:{partition}:iam::{account}:{}{path}{name}", kind.name())
}

/// The text to store of a valid policy. `text` is the document's text. `own` is the account that the policy belongs to.
///
/// # Errors
/// [`PrincipalError::Unknown`] if the policy names a user or role of an account of this installation that does not exist, or a unique id
/// that does not. Principals of other accounts are not checked.
pub fn to_stored(tx: &mut Tx<'_>, own: AccountId, document: &Document, text: &str) -> Result<String, PrincipalError> {
    let mut ids = BTreeMap::new();
    for (statement, name) in document.named_principals() {
        match resolve(tx, own, name)? {
            Resolved::Unchecked => {}
            Resolved::Exists { unique_id } => drop(ids.insert(name, unique_id)),
            Resolved::Unknown => return Err(PrincipalError::Unknown { statement, name: name.to_owned() }),
        }
    }
    if ids.is_empty() {
        return Ok(text.to_owned());
    }
    Ok(policy::with_principals(text, |name| ids.get(name).cloned())?)
}

/// The text to show of a stored policy: with ARNs of the partition.
pub fn to_shown(tx: &mut Tx<'_>, partition: Partition, stored: String) -> Result<String, PrincipalError> {
    // Most policies name no user or role of this installation.
    if !["\"AIDA", "\"AROA"].iter().any(|prefix| stored.contains(prefix)) {
        return Ok(stored);
    }
    let mut failed = None;
    let shown = policy::with_principals(&stored, |name| {
        let is_id = policy::is_unique_id(name) && failed.is_none();
        let found = is_id.then(|| tx.look_up(iam::entity_by_id(name)))?;
        let entity = found.unwrap_or_else(|error| {
            failed = Some(error);
            None
        });
        entity.map(|entity| arn(partition, &entity))
    })?;
    failed.map_or(Ok(shown), |error| Err(error.into()))
}

fn resolve(tx: &mut Tx<'_>, own: AccountId, name: &str) -> Result<Resolved, meta::Error> {
    let exists = |entity: Option<EntityRow>| {
        entity.map_or(Resolved::Unknown, |entity| Resolved::Exists { unique_id: entity.id })
    };
    if policy::is_unique_id(name) {
        return Ok(exists(tx.look_up(iam::entity_by_id(name))?));
    }
    let Ok(named) = name.parse::<Arn>() else { return Ok(Resolved::Unchecked) };
    let is_here = named.account == own.as_str() || tx.look_up(account_exists(&named.account))?.is_some();
    let Some((kind, path_and_name)) = named.resource.split_once('/').filter(|_| is_here) else {
        return Ok(Resolved::Unchecked);
    };
    let mut find = |kind, name: &str| tx.look_up(iam::entity_by_name(&named.account, kind, name));
    match kind {
        "user" | "role" => {
            let kind = if kind == "user" { EntityKind::User } else { EntityKind::Role };
            let found = find(kind, path_and_name.rsplit('/').next().unwrap_or_default())?;
            // Names are compared with case here, and the path must be the entity's.
            Ok(exists(found.filter(|entity| format!("{}{}", entity.path, entity.name) == format!("/{path_and_name}"))))
        }
        // The session can't be checked, but its role can. The policy keeps the session's ARN.
        "assumed-role" => {
            let role = path_and_name.split('/').next().unwrap_or_default();
            Ok(if find(EntityKind::Role, role)?.is_some() { Resolved::Unchecked } else { Resolved::Unknown })
        }
        _ => Ok(Resolved::Unchecked),
    }
}
