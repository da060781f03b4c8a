//! What an installation needs before its first call: the root key's proof, the default account, its administrator.
use crate::keys::{Keys, Purpose};
use crate::{Error, System};
use aws::AccountId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The administrator's key pair of a first start; handed out once, to be written to the credentials file.
pub struct NewAdministrator {
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The given root key is not the one that this store was made with.
    #[error("root key {0} is not the one that this store was made with")]
    WrongRootKey(u32),
    /// A secret is sealed by a root key that is not given.
    #[error(
        "root key {0} is missing, and secrets of this store are sealed with it: give it as {0}:KEY beside the newer ones, \
         a line each, in root.key or in the setting that takes its place"
    )]
    MissingRootKey(u32),
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<meta::Error> for BootstrapError {
    fn from(error: meta::Error) -> BootstrapError {
        BootstrapError::Store(error.into())
    }
}

/// A root key's number, and what proves that a key is the one of that number.
type Proof = (u32, [u8; 32]);

fn proofs(keys: &Keys) -> Vec<Proof> {
    let proof = |number| Some((number, keys.mac(number, Purpose::Proof, b"ecru root key proof")?));
    keys.numbers().filter_map(proof).collect()
}

/// Proves the root keys against the store, recording the proof of a new one.
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

/// Proves the root keys against a store, and changes nothing.
pub async fn check_root_keys(db: &meta::Db, keys: &Keys) -> Result<(), BootstrapError> {
    let proofs = proofs(keys);
    db.read(move |tx| judge(tx, &proofs).map(drop)).await
}

/// The proofs that the store does not have yet.
fn judge(tx: &mut meta::Tx<'_>, proofs: &[Proof]) -> Result<Vec<Proof>, BootstrapError> {
    let mut new = Vec::new();
    for (number, proof) in proofs {
        match tx.root_key_get(*number)? {
            Some(stored) if bool::from(stored.as_slice().ct_eq(proof)) => {}
            Some(_) => return Err(BootstrapError::WrongRootKey(*number)),
            None => new.push((*number, *proof)),
        }
    }
    // New numbers are a rotation, which needs one of the old keys beside them.
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

/// A key pair for the administrator of the default account; `None` when there is one already.
///
/// It is good only after [`add_administrator`], so that it can be written down before: a crash between the two costs nothing.
pub async fn new_administrator(system: &System) -> Result<Option<NewAdministrator>, BootstrapError> {
    let account = AccountId::DEFAULT.to_string();
    if system.db.read(move |tx| tx.access_key_count(&account, &account)).await? > 0 {
        return Ok(None);
    }
    Ok(Some(NewAdministrator { access_key_id: access_key_id(system), secret: secret(system) }))
}

/// Makes the default account with its administrator; false when another node was first, whose keys hold.
pub async fn add_administrator(system: &System, new: &NewAdministrator) -> Result<bool, BootstrapError> {
    let id = new.access_key_id.clone();
    let sealed = system
        .keys
        .seal(Purpose::Credential, id.as_bytes(), new.secret.as_bytes(), system.random.as_ref())
        .ok_or_else(|| Error::server(std::io::Error::other("the administrator's secret can't be sealed")))?;
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

/// 20 characters as AWS's: `AKIA` and sixteen of A-Z and 2-7.
fn access_key_id(system: &System) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut chance = [0_u8; 16];
    system.random.fill(&mut chance);
    let letters = chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    "AKIA".chars().chain(letters).collect()
}

/// 40 characters of base64, as AWS's: 240 bits of chance.
fn secret(system: &System) -> Zeroizing<String> {
    let mut chance = Zeroizing::new([0_u8; 30]);
    system.random.fill(chance.as_mut());
    Zeroizing::new(STANDARD_NO_PAD.encode(chance.as_slice()))
}
