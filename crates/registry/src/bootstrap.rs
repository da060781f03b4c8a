//! What an installation needs before its first call: the root key's proof, the default account, its administrator.
use crate::{Error, System};
use zeroize::Zeroizing;

/// The administrator's key pair of a first start; handed out once, to be written to the credentials file.
pub struct NewAdministrator {
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
}

/// The given root key is not the one that this store was made with.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("root key {0} is not the one that this store was made with")]
    WrongRootKey(u32),
    #[error(transparent)]
    Store(#[from] Error),
}

/// Proves the root keys against the store (recording the proof of a new one), and makes the default account and its
/// administrator where `administrator` is wanted and none exists yet.
pub async fn run(_system: &System, _administrator: bool) -> Result<Option<NewAdministrator>, BootstrapError> { todo!() }
