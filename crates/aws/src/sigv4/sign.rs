//! Signing of requests, by header or by query string.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::canonical::{self, Canonical, SIGNATURE_PARAMETER, Scope};
use super::{ALGORITHM, Head, TERMINATOR, date};

/// Headers that are never signed, because a client or proxy may change them later, or because signing adds them.
const NOT_SIGNED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amz-date",
    "x-amz-security-token",
];

/// An access key to sign with. `Debug` shows only its id.
#[derive(Clone, Copy)]
pub struct SigningKey<'a> {
    pub access_key_id: &'a str,
    pub secret: &'a str,
    pub session_token: Option<&'a str>,
}

impl fmt::Debug for SigningKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// Signs a request and returns the headers to add: `x-amz-date`, `x-amz-security-token` if the key has a token, `authorization`.
///
/// They replace headers with these names in `head`. `head` must have `host`. If it has `x-amz-content-sha256`, this value is signed
/// instead of `body_sha256`. `now_us` is in microseconds since 1970.
pub fn sign(
    head: &Head<'_>,
    body_sha256: [u8; 32],
    key: &SigningKey<'_>,
    region: &str,
    service: &str,
    now_us: i64,
) -> Vec<(&'static str, String)> {
    let amz_date = date::format(now_us.div_euclid(1_000_000));
    let mut added = vec![("x-amz-date", amz_date.clone())];
    if let Some(token) = key.session_token {
        added.push(("x-amz-security-token", token.to_owned()));
    }
    let mut headers = signable_headers(head);
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let head = Head { headers: &headers, ..*head };

    let scope = Scope { date: amz_date.get(..8).unwrap_or_default(), region, service };
    let query = canonical::query_strict(head.query);
    let (names, signature) = signature_over(&head, &query, body_sha256, key.secret, &scope, &amz_date);
    added.push((
        "authorization",
        format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            key.access_key_id,
            scope.text()
        ),
    ));
    added
}

/// Presigns a request and returns its query string: the query of `head`, followed by the parameters of the signature.
///
/// The result is valid for `expires_seconds` from `now_us` (microseconds since 1970), and for the headers in `head`, which must have
/// `host`.
pub fn presign(
    head: &Head<'_>,
    body_sha256: [u8; 32],
    key: &SigningKey<'_>,
    region: &str,
    service: &str,
    now_us: i64,
    expires_seconds: u32,
) -> String {
    let amz_date = date::format(now_us.div_euclid(1_000_000));
    let scope = Scope { date: amz_date.get(..8).unwrap_or_default(), region, service };
    let headers = signable_headers(head);
    let credential = format!("{}/{}", key.access_key_id, scope.text());
    let expires = expires_seconds.to_string();
    let signed_headers = canonical::names(&header_names(&headers));
    let mut parameters = vec![
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", credential.as_str()),
        ("X-Amz-Date", amz_date.as_str()),
        ("X-Amz-Expires", expires.as_str()),
        ("X-Amz-SignedHeaders", signed_headers.as_str()),
    ];
    parameters.extend(key.session_token.map(|token| ("X-Amz-Security-Token", token)));
    let claim = canonical::query_encode(&parameters);
    let query = if head.query.is_empty() { claim } else { format!("{}&{claim}", head.query) };

    let head = Head { headers: &headers, query: &query, ..*head };
    let strict = canonical::query_strict(head.query);
    let (_, signature) = signature_over(&head, &strict, body_sha256, key.secret, &scope, &amz_date);
    format!("{query}&{SIGNATURE_PARAMETER}={signature}")
}

fn signable_headers<'a>(head: &Head<'a>) -> Vec<(&'a str, &'a [u8])> {
    head.headers.iter().copied().filter(|(name, _)| !NOT_SIGNED.contains(name)).collect()
}

fn header_names(headers: &[(&str, &[u8])]) -> BTreeSet<String> {
    headers.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Signs all headers of `head`. Returns their names and the signature.
fn signature_over(
    head: &Head<'_>,
    query: &str,
    body_sha256: [u8; 32],
    secret: &str,
    scope: &Scope<'_>,
    amz_date: &str,
) -> (String, String) {
    let declared = head.headers.iter().find(|(name, _)| *name == "x-amz-content-sha256");
    let payload = match declared {
        Some((_, value)) => String::from_utf8_lossy(value).trim_ascii().to_owned(),
        None => canonical::hex(&body_sha256),
    };
    let names = header_names(head.headers);
    let string_to_sign = Canonical::new(head, &names, &payload).string_to_sign(query, amz_date, scope);
    (canonical::names(&names), signature(&signing_key(secret, scope), &string_to_sign))
}

/// The signing key for one day, region and service.
pub(super) fn signing_key(secret: &str, scope: &Scope<'_>) -> Zeroizing<[u8; 32]> {
    let mut prefixed = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
    prefixed.extend_from_slice(b"AWS4");
    prefixed.extend_from_slice(secret.as_bytes());
    let date = hmac_sha256(&prefixed, scope.date);
    let region = hmac_sha256(date.as_slice(), scope.region);
    let service = hmac_sha256(region.as_slice(), scope.service);
    hmac_sha256(service.as_slice(), TERMINATOR)
}

/// The signature in lower-case hex.
pub(super) fn signature(key: &[u8; 32], string_to_sign: &str) -> String {
    canonical::hex(hmac_sha256(key, string_to_sign).as_slice())
}

fn hmac_sha256(key: &[u8], message: &str) -> Zeroizing<[u8; 32]> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes());
    let mut bytes = Zeroizing::new([0; 32]);
    bytes.copy_from_slice(tag.as_ref());
    bytes
}
