//! Accounts. The default account is the management account: its administrator creates the others and limits them by control policies.

use crate::access_key;
use crate::error::Error;
use crate::{CommonError, Cx, policies};
use aws::AccountId;
use kernel::event::{self, Event};
use meta::records::policy::account_exists;
use serde_json::json;
use zeroize::Zeroizing;

pub use meta::records::account::AccountRow as Account;

/// The account that manages the others. Control policies never bind it, as they never bind AWS's management account.
pub const MANAGEMENT: AccountId = AccountId::DEFAULT;

/// How often a random account id is chosen before the call fails. Each attempt meets an existing account with a probability of the
/// number of accounts in 10^12.
const MAX_ATTEMPTS: usize = 8;

/// A new account with the key pair of its administrator. The secret is returned once.
pub struct NewAccount {
    pub id: AccountId,
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
}

/// Creates an account and a key pair for its administrator, the root principal. Without an id, a random one is chosen.
///
/// # Errors
/// [`Error::EntityAlreadyExists`] if there is an account with this id.
pub async fn create(cx: &Cx, id: Option<AccountId>) -> Result<NewAccount, Error> {
    let id = match id {
        Some(id) => id,
        None => unused_id(cx).await?,
    };
    let new = NewAccount { id, access_key_id: access_key::new_id(cx), secret: access_key::new_secret(cx) };
    let key = new.access_key_id.clone();
    let sealed = access_key::seal(cx, &key, &new.secret)?;
    let event = Event { detail: json!({ "account": id, "key": key }), ..Event::new(cx, "account.create", None) };
    let now = cx.now().0;
    let created: Result<(), Error> = cx
        .db
        .write(move |tx| {
            if tx.look_up(account_exists(id.as_str()))?.is_some() {
                return Err(Error::EntityAlreadyExists(format!("The account {id} already exists.")));
            }
            tx.account_insert(id.as_str(), now)?;
            tx.access_key_insert(&key, id.as_str(), id.as_str(), &sealed, now)?;
            Ok(event::record(tx, event.clone())?)
        })
        .await;
    policies::forget(cx);
    created.map(|()| new)
}

/// Chooses an id that no account has.
async fn unused_id(cx: &Cx) -> Result<AccountId, Error> {
    for _ in 0..MAX_ATTEMPTS {
        let mut chance = [0_u8; 8];
        cx.random.fill(&mut chance);
        let id = random_id(u64::from_le_bytes(chance))?;
        if cx.db.look_up(account_exists(id.as_str())).await?.is_none() {
            return Ok(id);
        }
    }
    Err(CommonError::Busy.into())
}

/// An id between 100000000000 and 999999999999.
fn random_id(chance: u64) -> Result<AccountId, CommonError> {
    (100_000_000_000 + chance % 900_000_000_000).to_string().parse().map_err(CommonError::server)
}

/// Lists at most `limit` accounts after an id, ordered by id, and tells whether there are more.
pub async fn list(cx: &Cx, after: Option<AccountId>, limit: u32) -> Result<(Vec<Account>, bool), Error> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let listed: Result<_, CommonError> = cx.db.read(move |tx| Ok(tx.account_list(&after, limit + 1)?)).await;
    let mut listed = listed?;
    let more = listed.len() > limit as usize;
    listed.truncate(limit as usize);
    Ok((listed, more))
}

/// Deletes an account with its administrator's keys, its sessions, settings, registry policies and control policies. Policies of other
/// accounts that name it stay, and apply again if an account with the same id is created.
///
/// # Errors
/// [`Error::NoSuchEntity`], [`Error::InvalidInput`] for the default account, [`Error::DeleteConflict`] while the account has
/// repositories or identities.
pub async fn delete(cx: &Cx, id: AccountId) -> Result<(), Error> {
    if id == MANAGEMENT {
        return Err(Error::InvalidInput(format!("The account {id} is the default account, which can't be deleted.")));
    }
    let event = Event { detail: json!({ "account": id }), ..Event::new(cx, "account.delete", None) };
    let deleted: Result<(), Error> = cx
        .db
        .write_to_free(move |tx| {
            find(tx, id)?;
            if tx.account_has_repository(id.as_str())? {
                return Err(Error::DeleteConflict("must delete its repositories first."));
            }
            if tx.account_has_identity(id.as_str())? {
                return Err(Error::DeleteConflict(
                    "must delete its users, groups, roles, instance profiles and policies first.",
                ));
            }
            tx.account_delete(id.as_str())?;
            Ok(event::record(tx, event.clone())?)
        })
        .await;
    policies::forget(cx);
    deleted
}

/// Fails with [`Error::NoSuchEntity`] if the account does not exist.
pub(crate) fn find(tx: &mut meta::Tx<'_>, id: AccountId) -> Result<(), Error> {
    let found = tx.look_up(account_exists(id.as_str()))?;
    found.ok_or_else(|| Error::NoSuchEntity(format!("The account {id} cannot be found.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_has_twelve_digits_of_which_the_first_is_not_zero() {
        for (chance, id) in [
            (0, "100000000000"),
            (899_999_999_999, "999999999999"),
            (900_000_000_000, "100000000000"),
            (u64::MAX, "373709551615"),
        ] {
            assert_eq!(random_id(chance).unwrap().to_string(), id, "{chance}");
        }
    }
}
