//! Access keys: what signs a call and who is behind it.
use crate::access::Caller;
use crate::{Error, System};
use zeroize::Zeroizing;

/// A key that may sign. `Debug` shows no secret.
pub struct Credential {
    pub caller: Caller,
    pub secret: Zeroizing<String>,
}

/// Keys that exist only in this process: `--dev`, ECRU_ADMIN_*.
#[derive(Clone, Default)]
pub struct ProcessKeys {
    /// `--dev`: `test`/`test` is the administrator of the default account, and any 12-digit id with the secret `test` that of its account.
    pub dev: bool,
    /// ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY: the administrator of the default account.
    pub admin: Option<(String, Zeroizing<String>)>,
}

/// Looks an access key up. `None` for one that is unknown or inactive.
pub async fn find(_system: &System, _process: &ProcessKeys, _access_key_id: &str) -> Result<Option<Credential>, Error> { todo!() }

/// The caller behind an access key that a token names, if it still exists; see `token`.
pub async fn caller(_system: &System, _process: &ProcessKeys, _access_key_id: &str) -> Result<Option<Caller>, Error> { todo!() }
