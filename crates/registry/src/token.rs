//! Docker tokens: `v1.` payload `.` MAC, no row each and no rights inside (DESIGN "Keys and tokens", `ECR.md` G.6).
use crate::clock::Time;
use crate::{Cx, RegistryId, System};

/// What a token says once its MAC was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The principal's account and the region that the token is good for.
    pub registry: RegistryId,
    /// The principal's unique id.
    pub principal: String,
    pub access_key_id: String,
    pub issued: Time,
    pub expires: Time,
}

/// A password for `docker login` that speaks for the caller in the call's region, and when it ends.
pub fn mint(_cx: &Cx) -> (String, Time) { todo!() }

/// Why a password is no token. None of these says whether a principal exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("not a token of this installation")]
    Unknown,
    #[error("Your authorization token has expired. Reauthenticate and try again.")]
    Expired,
}

/// Reads and verifies a password at the current time.
pub fn verify(_system: &System, _password: &str) -> Result<Token, InvalidToken> { todo!() }
