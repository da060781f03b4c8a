//! The access keys of users and of the root principal (`ECR.md` P; IAM API reference).

use crate::entity::{self, letters};
use crate::error::Error;
use crate::keys::Purpose;
use crate::{CommonError, Cx, System, policies};
use aws::AccountId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use kernel::event::{self, Event};
use meta::Tx;
use meta::records::access_key::{self, CredentialUseRow, ListedKeyRow};
use meta::records::iam::EntityKind;
use serde_json::json;
use zeroize::Zeroizing;

/// The most access keys of a user.
pub const MAX_KEYS: usize = 2;

/// What the id of every stored key begins with.
pub(crate) const ID_PREFIX: &str = "AKIA";

/// The characters of an id after [`ID_PREFIX`].
const ID_LETTERS: usize = 16;

/// Who owns the keys that an operation is about.
#[derive(Clone, Debug)]
pub enum KeyOwner {
    /// The user with this name.
    User(String),
    /// The account's root principal.
    Root,
}

impl KeyOwner {
    /// The unique id of the owner.
    fn find(&self, tx: &mut Tx<'_>, account: AccountId) -> Result<String, Error> {
        match self {
            KeyOwner::User(name) => Ok(entity::find(tx, account, EntityKind::User, name)?.id),
            KeyOwner::Root => Ok(account.to_string()),
        }
    }
}

/// A key without its secret.
pub type ListedKey = ListedKeyRow;

/// A new key. It has no `Debug`, because it contains the secret. The secret can't be read again.
pub struct NewKey {
    pub listed: ListedKey,
    pub secret: Zeroizing<String>,
}

/// The owner of a key and its last use.
#[derive(Debug)]
pub struct KeyUse {
    /// `None` for the root principal.
    pub user_name: Option<String>,
    pub last: Option<CredentialUseRow>,
}

/// Makes the id of a key, in AWS's form: `AKIA` and sixteen of A-Z and 2-7.
pub(crate) fn new_id(system: &System) -> String {
    format!("{ID_PREFIX}{}", letters(system, ID_LETTERS))
}

/// Makes a secret, in AWS's form: 40 characters of base64, with 240 random bits.
pub(crate) fn new_secret(system: &System) -> Zeroizing<String> {
    let mut chance = Zeroizing::new([0_u8; 30]);
    system.random.fill(chance.as_mut());
    Zeroizing::new(STANDARD_NO_PAD.encode(chance.as_slice()))
}

/// Encrypts the secret of a key under the newest root key.
pub(crate) fn seal(system: &System, id: &str, secret: &str) -> Result<Vec<u8>, CommonError> {
    system
        .keys
        .seal(Purpose::Credential, id.as_bytes(), secret.as_bytes(), system.random.as_ref())
        .ok_or_else(|| CommonError::server(std::io::Error::other(format!("the secret of {id} can't be sealed"))))
}

/// Creates a key.
///
/// # Errors
/// [`Error::NoSuchEntity`] for an unknown user; [`Error::LimitExceeded`] if it has [`MAX_KEYS`] keys.
pub async fn create(cx: &Cx, owner: KeyOwner) -> Result<NewKey, Error> {
    let (account, now) = (cx.registry.account, cx.now().0);
    let listed = ListedKey { id: new_id(cx), active: true, created_at: now };
    let secret = new_secret(cx);
    let sealed = seal(cx, &listed.id, &secret)?;
    let (event, id) = (Event::new(cx, "iam.access_key.create", None), listed.id.clone());
    let created: Result<(), Error> = cx
        .db
        .write(move |tx| {
            let principal = owner.find(tx, account)?;
            let count = tx.access_key_count(account.as_str(), &principal)?;
            if usize::try_from(count).is_ok_and(|count| count >= MAX_KEYS) {
                return Err(Error::over("AccessKeysPerUser", MAX_KEYS));
            }
            tx.access_key_insert(&id, account.as_str(), &principal, &sealed, now)?;
            Ok(record(tx, &event, &id, &principal, json!({}))?)
        })
        .await;
    created?;
    Ok(NewKey { listed, secret })
}

/// Lists the keys of an owner, ordered by id.
pub async fn list(cx: &Cx, owner: KeyOwner) -> Result<Vec<ListedKey>, Error> {
    let account = cx.registry.account;
    let listed: Result<_, Error> = cx
        .db
        .read(move |tx| {
            let principal = owner.find(tx, account)?;
            Ok(tx.access_key_list(account.as_str(), &principal)?)
        })
        .await;
    let mut listed = listed?;
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(listed)
}

/// Activates or deactivates a key. Fails with [`Error::NoSuchEntity`] if the owner has no such key.
pub async fn update(cx: &Cx, owner: KeyOwner, id: String, active: bool) -> Result<(), Error> {
    change(cx, owner, id, "iam.access_key.update", json!({ "active": active }), move |tx, id, account, principal| {
        tx.access_key_update(id, account, principal, active)
    })
    .await
}

/// Deletes a key. Fails with [`Error::NoSuchEntity`] if the owner has no such key.
pub async fn delete(cx: &Cx, owner: KeyOwner, id: String) -> Result<(), Error> {
    change(cx, owner, id, "iam.access_key.delete", json!({}), |tx, id, account, principal| {
        tx.access_key_delete(id, account, principal)
    })
    .await
}

/// Changes a key. `change` gets the id, the account and the principal, and returns false if there is no such key.
async fn change(
    cx: &Cx,
    owner: KeyOwner,
    id: String,
    what: &'static str,
    detail: serde_json::Value,
    change: impl Fn(&mut Tx<'_>, &str, &str, &str) -> Result<bool, meta::Error> + Send + Sync + 'static,
) -> Result<(), Error> {
    let account = cx.registry.account;
    let event = Event::new(cx, what, None);
    let changed = cx.db.write(move |tx| {
        let principal = owner.find(tx, account)?;
        if !change(tx, &id, account.as_str(), &principal)? {
            return Err(no_such_key(&id));
        }
        Ok(record(tx, &event, &id, &principal, detail.clone())?)
    });
    let changed = changed.await;
    policies::forget(cx);
    changed
}

/// Returns the owner of a key and its last use. A key that the account does not have is denied, as in AWS.
pub async fn last_used(cx: &Cx, id: String) -> Result<KeyUse, Error> {
    let account = cx.registry.account;
    let denial = policy::Denial {
        principal: cx.caller_arn(),
        action: "iam:GetAccessKeyLastUsed".to_owned(),
        resource: format!("access key {id}"),
        cause: policy::Cause::NoAllow(policy::PolicyKind::Identity),
        statement: None,
    };
    let found: Result<_, Error> = cx
        .db
        .read(move |tx| {
            let key = tx.look_up(access_key::access_key(&id))?.filter(|key| key.account == account.as_str());
            let Some(key) = key else { return Ok(None) };
            Ok(Some(KeyUse { user_name: key.user.map(|(_, name)| name), last: tx.credential_use_get(&id)? }))
        })
        .await;
    found?.ok_or_else(|| CommonError::AccessDenied(denial.into()).into())
}

fn no_such_key(id: &str) -> Error {
    Error::NoSuchEntity(format!("The Access Key with id {id} cannot be found."))
}

/// Writes an event about a key.
fn record(
    tx: &mut Tx<'_>,
    event: &Event,
    id: &str,
    principal: &str,
    detail: serde_json::Value,
) -> Result<(), meta::Error> {
    let detail = json!({ "access_key_id": id, "principal": principal, "detail": detail });
    event::record(tx, Event { detail, ..event.clone() })
}
