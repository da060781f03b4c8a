//! Verifies a docker token, and finds its principal (`ECR.md` G.6).
//!
//! Every request to `/v2/` needs this, so a verified token is kept for a moment ([`kernel::recent`]), and a check costs one look-up.

use crate::credential::{self, ProcessKeys};
use crate::token::{self, InvalidToken, Token};
use crate::{Capability, CommonError, System};
use kernel::access::Caller;
use kernel::recent::Recently;
use oci::{Algorithm, Digest};
use std::sync::Arc;

/// The most cached tokens, so that a client that fetches a token for each call can't fill the memory.
const KNOWN_TOKENS: usize = 4096;

/// The weight of a session policy in the cache, whose bound is [`KNOWN_TOKENS`]: a parsed policy takes up to 120 KiB, a token some
/// hundred bytes.
const POLICY_WEIGHT: usize = 64;

/// A verified token with its principal.
#[derive(Debug)]
pub struct Login {
    pub token: Token,
    pub caller: Arc<Caller>,
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum NoLogin {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("the credentials that the token was made for are gone")]
    Gone,
    #[error(transparent)]
    Failed(#[from] CommonError),
}

/// The cache of verified tokens in a process.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<Logins>();

/// The tokens that this node has verified recently, by their SHA-256.
struct Logins(Recently<Digest, Arc<Login>>);

impl Default for Logins {
    fn default() -> Logins {
        Logins(Recently::new(KNOWN_TOKENS, KNOWN_TOKENS))
    }
}

/// Verifies a password and finds its principal. The access key must still exist and belong to the principal in the token.
pub async fn login(system: &System, process: &ProcessKeys, password: &str) -> Result<Arc<Login>, NoLogin> {
    let now = system.now();
    let logins = &system.state::<Logins>().0;
    let key = Digest::of(Algorithm::Sha256, password.as_bytes());
    let began = match logins.find(&key, now) {
        Ok(login) => {
            login.token.check_expiry(now)?;
            return Ok(login);
        }
        Err(began) => began,
    };
    let token = token::verify(system, password)?;
    let found = credential::caller(system, process, &token.access_key_id).await?;
    let same =
        |caller: &Caller| caller.account() == Some(token.registry.account) && caller.user_id() == token.principal;
    let caller = found.filter(same).ok_or(NoLogin::Gone)?;
    let login = Arc::new(Login { token, caller: caller.into() });
    let policies = login.caller.session.as_ref().map_or(0, |session| session.policies.len());
    logins.keep(key, login.clone(), 1 + policies * POLICY_WEIGHT, began);
    Ok(login)
}

/// Forgets all verified tokens of this node. Called after a change of keys or sessions.
pub(crate) fn forget(system: &System) {
    system.state::<Logins>().0.forget();
}
