//! Prepares an installation for its first call: the proof of the root key, the default account, and its administrator.

use crate::keys::{Keys, Purpose};
use crate::{CommonError, System, access_key};
use aws::AccountId;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The administrator's key pair of a first start. It is returned once, to be written to the credentials file.
pub struct NewAdministrator {
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The configured root key is not the one that this store was made with.
    #[error(
        "root key {0} is not the one that this store was made with: give the store's own, from root.key of its data directory or \
         of a backup"
    )]
    WrongRootKey(u32),
    /// A secret was encrypted with a root key that is not configured.
    #[error(
        "root key {0} is missing, and secrets of this store are sealed with it: give it as {0}:KEY beside the newer ones, \
         a line each, in root.key or in the setting that takes its place"
    )]
    MissingRootKey(u32),
    #[error(transparent)]
    Store(#[from] CommonError),
}

impl From<meta::Error> for BootstrapError {
    fn from(error: meta::Error) -> BootstrapError {
        BootstrapError::Store(error.into())
    }
}

/// The number of a root key, and a MAC that proves that a key is the one with that number.
type Proof = (u32, [u8; 32]);

fn proofs(keys: &Keys) -> Vec<Proof> {
    let proof = |number| Some((number, keys.mac(number, Purpose::Proof, b"ecru root key proof")?));
    keys.numbers().filter_map(proof).collect()
}

/// Checks the root keys against the store, and stores the proofs of new ones.
pub async fn prove_root_keys(system: &System) -> Result<(), BootstrapError> {
    let now = system.now().0;
    let proofs = proofs(&system.keys);
    system
        .db
        .write(move |tx| {
            for (number, proof) in judge(tx, &proofs)? {
                tx.root_key_insert(number, &proof, now)?;
            }
            Ok(())
        })
        .await
}

/// Checks the root keys against a store, and changes nothing.
pub async fn check_root_keys(db: &meta::Db, keys: &Keys) -> Result<(), BootstrapError> {
    let proofs = proofs(keys);
    db.read(move |tx| judge(tx, &proofs).map(drop)).await
}

/// Checks the proofs, and returns those that the store does not have yet.
fn judge(tx: &mut meta::Tx<'_>, proofs: &[Proof]) -> Result<Vec<Proof>, BootstrapError> {
    let mut new = Vec::new();
    for (number, proof) in proofs {
        match tx.root_key_get(*number)? {
            Some(stored) if bool::from(stored.as_slice().ct_eq(proof)) => {}
            Some(_) => return Err(BootstrapError::WrongRootKey(*number)),
            None => new.push((*number, *proof)),
        }
    }
    // A rotation adds new numbers beside an old key. Only new numbers are the keys of another store.
    let rotation = new.len() < proofs.len();
    if let Some((number, _)) = new.first().filter(|_| !rotation)
        && tx.root_key_count()? > 0
    {
        return Err(BootstrapError::WrongRootKey(*number));
    }
    let given = |number: &u32| proofs.iter().any(|(given, _)| given == number);
    match tx.root_keys_used()?.into_iter().find(|number| !given(number)) {
        Some(missing) => Err(BootstrapError::MissingRootKey(missing)),
        None => Ok(new),
    }
}

/// Makes a key pair for the administrator of the default account. Returns `None` if there is one already.
///
/// The pair is valid only after [`add_administrator`], so that the caller can write it to a file first. A crash between the two does no
/// harm.
pub async fn new_administrator(system: &System) -> Result<Option<NewAdministrator>, BootstrapError> {
    let account = AccountId::DEFAULT.to_string();
    if system.db.read(move |tx| tx.access_key_count(&account, &account)).await? > 0 {
        return Ok(None);
    }
    Ok(Some(NewAdministrator { access_key_id: access_key::new_id(system), secret: access_key::new_secret(system) }))
}

/// Creates the default account with its administrator. Returns false if another node has done so already. Then that node's keys are valid.
pub async fn add_administrator(system: &System, new: &NewAdministrator) -> Result<bool, BootstrapError> {
    let id = new.access_key_id.clone();
    let sealed = access_key::seal(system, &id, &new.secret)?;
    let now = system.now().0;
    let account = AccountId::DEFAULT.to_string();
    system
        .db
        .write(move |tx| {
            tx.account_insert(&account, now)?;
            if tx.access_key_count(&account, &account)? > 0 {
                return Ok(false);
            }
            tx.access_key_insert(&id, &account, &account, &sealed, now)?;
            Ok(true)
        })
        .await
}
