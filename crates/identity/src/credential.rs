//! Access keys, which sign calls, and their owners.

use crate::keys::Purpose;
use crate::{CommonError, System};
use aws::AccountId;
use kernel::access::{Caller, CallerIdentity};
use meta::records::access_key::{self, AccessKeyRow};
use zeroize::Zeroizing;

/// An access key with its owner. It has no `Debug`, because it contains the secret.
pub struct Credential {
    pub caller: Caller,
    pub secret: Zeroizing<String>,
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
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        let administrator = |account, secret: &str| Credential {
            caller: Caller::administrator(account, access_key_id),
            secret: Zeroizing::new(secret.to_owned()),
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

/// Looks an access key up. `None` for one that is unknown or inactive.
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
    let row = system.db.look_up(access_key::access_key(access_key_id)).await?;
    let Some(row) = row.filter(|row| row.active) else { return Ok(None) };
    let Some(identity) = owner(&row)? else { return Ok(None) };
    let secret = system
        .keys
        .open(Purpose::Credential, access_key_id.as_bytes(), &row.secret)
        .ok_or_else(|| unsealable(access_key_id))?;
    let secret = String::from_utf8(secret.to_vec()).map_err(|_| unsealable(access_key_id))?;
    let caller = Caller::with_key(identity, access_key_id);
    Ok(Some(Credential { caller, secret: Zeroizing::new(secret) }))
}

/// The owner of a stored key. `None` if its user is gone.
fn owner(row: &AccessKeyRow) -> Result<Option<CallerIdentity>, CommonError> {
    let account: AccountId = row.account.parse().map_err(CommonError::server)?;
    if row.principal == account.as_str() {
        return Ok(Some(CallerIdentity::Administrator { account }));
    }
    let Some((path, name)) = &row.user else { return Ok(None) };
    let path_and_name = format!("{}{name}", path.trim_start_matches('/'));
    Ok(Some(CallerIdentity::User { account, id: row.principal.clone(), path_and_name }))
}

/// Returns the owner of an access key that a token names, if the key exists and is active.
pub async fn caller(
    system: &System,
    process: &ProcessKeys,
    access_key_id: &str,
) -> Result<Option<Caller>, CommonError> {
    Ok(find(system, process, access_key_id).await?.map(|credential| credential.caller))
}

fn unsealable(access_key_id: &str) -> CommonError {
    CommonError::server(std::io::Error::other(format!(
        "the secret of access key {access_key_id} can't be opened with the root keys given"
    )))
}
