//! Verifies a docker token, and finds its principal (`ECR.md` G.6).
//!
//! Every request to `/v2/` needs this, so results are cached for [`KNOWN_TIME`], and a check costs one look-up.

use crate::clock::Time;
use crate::credential::{self, ProcessKeys};
use crate::token::{self, InvalidToken, Token};
use crate::{Capability, CommonError, System, lock};
use kernel::access::Caller;
use oci::{Algorithm, Digest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The lifetime of a cached result. A key that is revoked on any node is refused on all nodes within a second (DESIGN "Caches").
pub const KNOWN_TIME: Duration = Duration::from_millis(500);
/// The most cached tokens, so that a client that fetches a token for each call can't fill the memory.
const KNOWN_TOKENS: usize = 4096;

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
#[derive(Default)]
struct Logins(Mutex<HashMap<Digest, Known>>);

#[derive(Clone)]
struct Known {
    login: Arc<Login>,
    since: Time,
}

impl Known {
    fn holds(&self, now: Time) -> bool {
        // If the clock was set back, the age is unknown.
        self.since <= now && now < self.since.plus(KNOWN_TIME)
    }
}

/// Verifies a password and finds its principal. The access key must still exist and belong to the principal in the token.
pub async fn login(system: &System, process: &ProcessKeys, password: &str) -> Result<Arc<Login>, NoLogin> {
    let now = system.now();
    let key = Digest::of(Algorithm::Sha256, password.as_bytes());
    if let Some(known) = Logins::of(system).get(&key).filter(|known| known.holds(now)) {
        known.login.token.check_expiry(now)?;
        return Ok(known.login);
    }
    let token = token::verify(system, password)?;
    let found = credential::caller(system, process, &token.access_key_id).await?;
    let same =
        |caller: &Caller| caller.account() == Some(token.registry.account) && caller.user_id() == token.principal;
    let caller = found.filter(same).ok_or(NoLogin::Gone)?;
    let login = Arc::new(Login { token, caller: caller.into() });
    Logins::of(system).put(key, Known { login: login.clone(), since: now }, now);
    Ok(login)
}

impl Logins {
    fn of(system: &System) -> &Logins {
        system.state()
    }

    fn get(&self, key: &Digest) -> Option<Known> {
        lock(&self.0).get(key).cloned()
    }

    fn put(&self, key: Digest, known: Known, now: Time) {
        let mut all = lock(&self.0);
        if all.len() >= KNOWN_TOKENS {
            all.retain(|_, known| known.holds(now));
        }
        if all.len() < KNOWN_TOKENS {
            all.insert(key, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegistryId;
    use aws::AccountId;

    fn known(since: i64) -> Known {
        let registry = RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap());
        let (issued, expires) = (Time(0), Time(i64::MAX));
        let token = Token { registry, principal: "p".to_owned(), access_key_id: "k".to_owned(), issued, expires };
        Known { login: Arc::new(Login { token, caller: Caller::nobody().into() }), since: Time(since) }
    }

    #[test]
    fn a_cached_token_is_valid_for_its_time_and_not_after_the_clock_was_set_back() {
        let time = i64::try_from(KNOWN_TIME.as_micros()).unwrap();
        for (now, holds) in [(999, false), (1000, true), (1000 + time - 1, true), (1000 + time, false)] {
            assert_eq!(known(1000).holds(Time(now)), holds, "{now}");
        }
    }

    #[test]
    fn cached_tokens_are_bounded_and_stale_ones_are_evicted() {
        let logins = Logins::default();
        let key = |number: usize| Digest::of(Algorithm::Sha256, number.to_string().as_bytes());
        for number in 0..=KNOWN_TOKENS {
            logins.put(key(number), known(0), Time(0));
        }
        assert_eq!(logins.0.lock().unwrap().len(), KNOWN_TOKENS);
        assert!(logins.get(&key(KNOWN_TOKENS)).is_none());
        let later = Time(0).plus(KNOWN_TIME);
        logins.put(key(KNOWN_TOKENS), known(later.0), later);
        assert_eq!(logins.0.lock().unwrap().len(), 1);
        assert!(logins.get(&key(KNOWN_TOKENS)).is_some());
    }
}
