//! Docker tokens: `v1.` payload `.` MAC (DESIGN "Keys and tokens", `ECR.md` G.6). They are not stored.
//!
//! A token only names a principal. Its rights are those of the principal at the moment of use.

use crate::clock::Time;
use crate::keys::Purpose;
use crate::{Cx, Realm, RegistryId, System};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// The most characters of a token. A longer password is not parsed.
pub const MAX_LENGTH: usize = 4096;

const PREFIX: &str = "v1.";

/// A token whose MAC was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The principal's account, and the realm in which the token is valid: a region, or ECR Public.
    pub registry: RegistryId,
    /// The principal's unique id.
    pub principal: String,
    pub access_key_id: String,
    pub issued: Time,
    pub expires: Time,
}

/// The written payload. It is a format, so the names of its members must not change.
#[derive(Serialize, Deserialize)]
struct Payload {
    /// The root key's number.
    k: u32,
    account: String,
    principal: String,
    key: String,
    region: String,
    issued: i64,
    expires: i64,
}

/// Returns a password for `docker login` as the caller in the call's region, and its expiry.
pub fn mint(cx: &Cx) -> (String, Time) {
    let now = cx.now();
    let expires = now.plus(cx.limits.token_life);
    let account = cx.caller.account().unwrap_or(cx.registry.account);
    let payload = Payload {
        k: cx.keys.current(),
        account: account.to_string(),
        principal: cx.caller.user_id(),
        key: cx.caller.access_key_id.clone(),
        region: cx.registry.key().region().to_owned(),
        issued: now.0,
        expires: expires.0,
    };
    let text = serde_json::json!(payload).to_string();
    let body = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(text));
    let mac = cx.keys.mac_current(Purpose::Token, body.as_bytes());
    (format!("{body}.{}", URL_SAFE_NO_PAD.encode(mac)), expires)
}

/// Why a password is not a valid token. No variant reveals whether a principal exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("the password is not a token")]
    NotAToken,
    /// The form is valid but the MAC is not: another installation made the token, its root key is gone, or it was changed.
    #[error("the token was not made by this server")]
    Foreign,
    #[error("Your authorization token has expired. Reauthenticate and try again.")]
    Expired { at: Time },
}

/// Parses and verifies a password at the current time.
pub fn verify(system: &System, password: &str) -> Result<Token, InvalidToken> {
    let token = read(system, password)?;
    token.check_expiry(system.now())?;
    Ok(token)
}

impl Token {
    /// Fails with [`InvalidToken::Expired`] if the token has expired.
    pub(crate) fn check_expiry(&self, now: Time) -> Result<(), InvalidToken> {
        if self.expires <= now { Err(InvalidToken::Expired { at: self.expires }) } else { Ok(()) }
    }
}

fn read(system: &System, password: &str) -> Result<Token, InvalidToken> {
    let Read { payload, body, mac } = parse(password).ok_or(InvalidToken::NotAToken)?;
    let right = system.keys.mac(payload.k, Purpose::Token, body.as_bytes()).ok_or(InvalidToken::Foreign)?;
    if !bool::from(right.as_slice().ct_eq(&mac)) {
        return Err(InvalidToken::Foreign);
    }
    let account = payload.account.parse().map_err(|_| InvalidToken::NotAToken)?;
    let realm = Realm::from_key(&payload.region).ok_or(InvalidToken::NotAToken)?;
    Ok(Token {
        registry: RegistryId { account, realm },
        principal: payload.principal,
        access_key_id: payload.key,
        issued: Time(payload.issued),
        expires: Time(payload.expires),
    })
}

/// A parsed token that is not verified yet.
struct Read<'a> {
    payload: Payload,
    /// The text that the MAC covers.
    body: &'a str,
    mac: Vec<u8>,
}

fn parse(password: &str) -> Option<Read<'_>> {
    if password.len() > MAX_LENGTH {
        return None;
    }
    let (body, mac) = password.rsplit_once('.')?;
    let mac = URL_SAFE_NO_PAD.decode(mac).ok()?;
    let text = URL_SAFE_NO_PAD.decode(body.strip_prefix(PREFIX)?).ok()?;
    Some(Read { payload: serde_json::from_slice(&text).ok()?, body, mac })
}
