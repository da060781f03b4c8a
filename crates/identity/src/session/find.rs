//! Finds the credentials of a session, and the policies that limit it.

use super::detail::Detail;
use crate::credential::{Credential, ProcessKeys, SessionProof, opened, principal};
use crate::managed_policy::PolicyArn;
use crate::{CommonError, System};
use aws::AccountId;
use kernel::access::{Caller, CallerIdentity, Session, SessionKind};
use kernel::clock::Time;
use meta::records::iam::EntityKind;
use meta::records::session::{self, FoundSession};
use policy::{AttachedPolicy, Document, Grammar};
use std::sync::Arc;

/// The column `kind` of sessions.
const KINDS: [(SessionKind, &str); 3] = [
    (SessionKind::AssumedRole, "role"),
    (SessionKind::SessionToken, "session-token"),
    (SessionKind::Federation, "federation"),
];

/// The name by which a decision calls the inline session policy.
const INLINE_NAME: &str = "session policy";

/// Stands in for a managed session policy that is gone: it allows nothing.
const ALLOWS_NOTHING: &str =
    r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "NotAction": "*", "Resource": "*"}}"#;

/// A kind as the column `kind` holds it.
pub(super) fn kind_name(kind: SessionKind) -> &'static str {
    KINDS.into_iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

/// Looks a session up, also an expired one. `None` if it does not exist, or if its role, its user or the key that began it is gone or
/// inactive.
pub(crate) async fn credential(
    system: &System,
    process: &ProcessKeys,
    access_key_id: &str,
) -> Result<Option<Credential>, CommonError> {
    let Some(found) = system.db.look_up(session::session(access_key_id)).await? else { return Ok(None) };
    let began_by_active_key = found.made_by_active.unwrap_or_else(|| process.has(&found.row.made_by));
    let Some((kind, identity)) = identity(&found)?.filter(|_| began_by_active_key) else { return Ok(None) };
    let row = found.row;
    let detail = Detail::read(&row.detail)?;
    let session = Session {
        kind,
        issued: Time(row.issued_at),
        expires: Time(row.expires_at),
        policies: policies(system, row.account.parse().map_err(CommonError::server)?, &detail).await?,
        tags: detail.tags,
        transitive_tag_keys: detail.transitive_tag_keys,
        source_identity: detail.source_identity,
    };
    let expires = session.expires;
    let caller = Caller { identity, access_key_id: access_key_id.to_owned(), session: Some(Arc::new(session)) };
    let secret = opened(system, access_key_id, &row.secret)?;
    Ok(Some(Credential { caller, secret, session: Some(SessionProof { token_hash: row.token_hash, expires }) }))
}

/// Whose session it is. `None` if the role or user is gone.
fn identity(found: &FoundSession) -> Result<Option<(SessionKind, CallerIdentity)>, CommonError> {
    let row = &found.row;
    let unknown = || CommonError::server(std::io::Error::other(format!("a session is of the kind {}", row.kind)));
    let (kind, _) = KINDS.into_iter().find(|(_, name)| *name == row.kind).ok_or_else(unknown)?;
    let account = row.account.parse().map_err(CommonError::server)?;
    let user = || {
        let user = found.principal.as_ref().filter(|principal| principal.kind == EntityKind::User);
        principal(account, &row.principal, user.map(|user| (user.path.as_str(), user.name.as_str())))
    };
    let identity = match kind {
        SessionKind::AssumedRole => {
            let role = found.principal.as_ref().filter(|principal| principal.kind == EntityKind::Role);
            role.map(|role| CallerIdentity::RoleSession {
                account,
                id: row.principal.clone(),
                path: role.path.clone(),
                role: role.name.clone(),
                session: row.name.clone(),
            })
        }
        SessionKind::SessionToken => user(),
        SessionKind::Federation => {
            user().map(|of| CallerIdentity::FederatedUser { account, name: row.name.clone(), of: Box::new(of) })
        }
    };
    Ok(identity.map(|identity| (kind, identity)))
}

/// The session policies as they are now. A managed policy that is gone allows nothing.
async fn policies(system: &System, account: AccountId, detail: &Detail) -> Result<Vec<AttachedPolicy>, CommonError> {
    let parse = |text: &str| Document::parse(text, Grammar::Identity).map_err(CommonError::server);
    let mut policies = Vec::new();
    if let Some(text) = &detail.policy {
        policies.push(AttachedPolicy::new(INLINE_NAME, parse(text)?));
    }
    for (arn, text) in managed(system, account, detail.policy_arns.clone()).await? {
        policies.push(AttachedPolicy::new(arn, parse(text.as_deref().unwrap_or(ALLOWS_NOTHING))?));
    }
    Ok(policies)
}

/// The default versions of managed policies of an account and of AWS, by ARN. `None` for one that does not exist.
pub(super) async fn managed(
    system: &System,
    account: AccountId,
    arns: Vec<String>,
) -> Result<Vec<(String, Option<String>)>, CommonError> {
    if arns.is_empty() {
        return Ok(Vec::new());
    }
    let read = system.db.read(move |tx| {
        let mut found = Vec::new();
        for arn in &arns {
            found.push((arn.clone(), managed_policy(tx, account, arn)?));
        }
        Ok::<_, meta::Error>(found)
    });
    Ok(read.await?)
}

fn managed_policy(tx: &mut meta::Tx<'_>, account: AccountId, arn: &str) -> Result<Option<String>, meta::Error> {
    let Ok(arn) = PolicyArn::parse(arn.to_owned()) else { return Ok(None) };
    match arn.in_account(account).find(tx)? {
        Some(policy) => policy.document(tx),
        None => Ok(None),
    }
}
