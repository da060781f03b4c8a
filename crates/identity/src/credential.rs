//! Access keys, which sign calls, and their owners: long-term keys and those of sessions.

use crate::keys::Purpose;
use crate::{CommonError, System, session};
use aws::AccountId;
use kernel::access::{Caller, CallerIdentity};
use kernel::clock::Time;
use meta::records::{self, access_key};
use oci::{Algorithm, Digest};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// An access key with its owner. It has no `Debug`, because it contains the secret.
pub struct Credential {
    pub caller: Caller,
    pub secret: Zeroizing<String>,
    /// What a request must prove beside its signature. `None` for a long-term key.
    pub session: Option<SessionProof>,
}

/// What is known of the session token that belongs to a session's access key.
pub struct SessionProof {
    /// The token's SHA-256.
    pub(crate) token_hash: Vec<u8>,
    pub(crate) expires: Time,
}

/// Why a request's session token is refused. The texts are AWS's (`ECR.md` 0, P).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSessionToken {
    /// It is not the key's token, it is missing, or the key has none.
    #[error("The security token included in the request is invalid.")]
    Wrong,
    #[error("The security token included in the request is expired")]
    Expired,
}

impl Credential {
    /// Checks the session token of a request that this key signs, in constant time.
    pub fn check_session_token(&self, token: Option<&str>, now: Time) -> Result<(), InvalidSessionToken> {
        let proof = match (&self.session, token) {
            (None, None) => return Ok(()),
            (Some(proof), Some(token)) if proof.is_token(token) => proof,
            _ => return Err(InvalidSessionToken::Wrong),
        };
        if proof.expires <= now { Err(InvalidSessionToken::Expired) } else { Ok(()) }
    }
}

impl SessionProof {
    fn is_token(&self, token: &str) -> bool {
        Digest::of(Algorithm::Sha256, token.as_bytes()).hash().ct_eq(&self.token_hash).into()
    }
}

/// Keys that exist only in this process and are never stored.
#[derive(Clone, Default)]
pub struct ProcessKeys {
    /// `--dev`: `test`/`test` is the administrator of the default account. Any 12-digit id with the secret `test` is the administrator of
    /// that account.
    pub dev: bool,
    /// ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY: the administrator of the default account.
    pub admin: Option<(String, Zeroizing<String>)>,
}

/// The well-known key id and secret of `--dev`.
pub const DEV_KEY: &str = "test";

/// The most characters of an access key id (IAM's AccessKeyId type).
const MAX_ID_LENGTH: usize = 128;

impl ProcessKeys {
    /// Whether there is such a key.
    pub(crate) fn has(&self, access_key_id: &str) -> bool {
        self.find(access_key_id).is_some()
    }

    fn find(&self, access_key_id: &str) -> Option<Credential> {
        let administrator = |account, secret: &str| Credential {
            caller: Caller::administrator(account, access_key_id),
            secret: Zeroizing::new(secret.to_owned()),
            session: None,
        };
        if let Some((_, secret)) = self.admin.as_ref().filter(|(id, _)| id == access_key_id) {
            return Some(administrator(AccountId::DEFAULT, secret));
        }
        if self.dev && access_key_id == DEV_KEY {
            return Some(administrator(AccountId::DEFAULT, DEV_KEY));
        }
        let account = access_key_id.parse().ok().filter(|_| self.dev)?;
        Some(administrator(account, DEV_KEY))
    }
}

/// Looks an access key up. `None` for one that is unknown or inactive. A session's key may have expired.
pub async fn find(
    system: &System,
    process: &ProcessKeys,
    access_key_id: &str,
) -> Result<Option<Credential>, CommonError> {
    if let Some(credential) = process.find(access_key_id) {
        return Ok(Some(credential));
    }
    if access_key_id.len() > MAX_ID_LENGTH {
        return Ok(None);
    }
    if access_key_id.starts_with(session::ID_PREFIX) {
        return session::credential(system, process, access_key_id).await;
    }
    let row = system.db.look_up(access_key::access_key(access_key_id)).await?;
    let Some(row) = row.filter(|row| row.active) else { return Ok(None) };
    let account = row.account.parse().map_err(CommonError::server)?;
    let user = row.user.as_ref().map(|(path, name)| (path.as_str(), name.as_str()));
    let Some(identity) = principal(account, &row.principal, user) else { return Ok(None) };
    let caller = Caller::with_key(identity, access_key_id);
    Ok(Some(Credential { caller, secret: opened(system, access_key_id, &row.secret)?, session: None }))
}

/// Returns the account of an access key, whether the key is active or not. `None` for one that is unknown.
pub(crate) async fn account(
    system: &System,
    process: &ProcessKeys,
    access_key_id: &str,
) -> Result<Option<AccountId>, CommonError> {
    if let Some(credential) = process.find(access_key_id) {
        return Ok(credential.caller.account());
    }
    let account = if access_key_id.starts_with(session::ID_PREFIX) {
        system.db.look_up(records::session::session(access_key_id)).await?.map(|found| found.row.account)
    } else {
        system.db.look_up(access_key::access_key(access_key_id)).await?.map(|row| row.account)
    };
    account.map(|account| account.parse().map_err(CommonError::server)).transpose()
}

/// Opens the sealed secret of a key.
pub(crate) fn opened(system: &System, access_key_id: &str, sealed: &[u8]) -> Result<Zeroizing<String>, CommonError> {
    let unsealable = || {
        CommonError::server(std::io::Error::other(format!(
            "the secret of access key {access_key_id} can't be opened with the root keys given"
        )))
    };
    let secret = system.keys.open(Purpose::Credential, access_key_id.as_bytes(), sealed).ok_or_else(unsealable)?;
    String::from_utf8(secret.to_vec()).map(Zeroizing::new).map_err(|_| unsealable())
}

/// The root principal or user with a unique id. `user` has the path and the name of the user. `None` if the user is gone.
pub(crate) fn principal(account: AccountId, id: &str, user: Option<(&str, &str)>) -> Option<CallerIdentity> {
    if id == account.as_str() {
        return Some(CallerIdentity::Administrator { account });
    }
    let (path, name) = user?;
    let path_and_name = format!("{}{name}", path.trim_start_matches('/'));
    Some(CallerIdentity::User { account, id: id.to_owned(), path_and_name })
}

/// Returns the owner of an access key that a token names, if the key exists and is active.
pub async fn caller(
    system: &System,
    process: &ProcessKeys,
    access_key_id: &str,
) -> Result<Option<Caller>, CommonError> {
    Ok(find(system, process, access_key_id).await?.map(|credential| credential.caller))
}
