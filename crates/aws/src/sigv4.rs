//! AWS Signature Version 4: verification (header and presigned) and signing.
//!
//! Verification has two steps, so that a body is read only after its credential was found to name a known key:
//! [`Presented::read`] takes what the request head claims, [`Presented::verify`] holds it to the secret and the body.

/// The head of a request, as it stands on the wire.
pub struct Head<'a> {
    pub method: &'a str,
    /// The path before any decoding, such as `/` or `/v2/a%2Fb`.
    pub path: &'a str,
    /// The query string before any decoding, without `?`.
    pub query: &'a str,
    /// (lower-case name, value bytes) in the order of the wire; repeated headers stay repeated.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// What a request claims about its signature.
#[derive(Clone)]
pub struct Presented {
    pub access_key_id: String,
    pub session_token: Option<String>,
    /// The credential scope's region and service.
    pub region: String,
    pub service: String,
    /// True when the claim came in the query string.
    pub presigned: bool,
    // private: scope date, amz date, signed header names, signature, expiry, payload hash header …
}

/// The body's part in the signature.
pub enum Payload {
    /// SHA-256 of the body that came.
    Sha256([u8; 32]),
    /// The body was not read; good only where the request says UNSIGNED-PAYLOAD.
    Unread,
}

impl Presented {
    /// Reads the claim. `Err(Rejection::Missing)` when the request carries no signature at all.
    pub fn read(_head: &Head<'_>) -> Result<Presented, Rejection> { todo!() }

    /// Verifies scope, time (± `max_skew_seconds`, or the presigned expiry of at most 7 days), that `host` and every `x-amz-*`
    /// header present are signed, the body hash, and the signature (compared in constant time).
    /// `services` are the service names that this endpoint accepts, `now_us` microseconds since 1970.
    pub fn verify(&self, _head: &Head<'_>, _secret: &str, _payload: Payload, _services: &[&str], _now_us: i64, _max_skew_seconds: i64) -> Result<(), Rejection> { todo!() }
}

/// Why a signature is refused; Display is the message that AWS gives (`ECR.md` 0). Names differ by service (JSON services and STS): the doors choose them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// MissingAuthenticationTokenException
    #[error("Missing Authentication Token")]
    Missing,
    /// IncompleteSignatureException
    #[error("{0}")]
    Incomplete(String),
    /// InvalidSignatureException with AWS's skew texts: `Signature expired: 20261121T100000Z is now earlier than 20261121T101500Z (20261121T103000Z - 15 min.)`
    #[error("{0}")]
    Time(String),
    /// InvalidSignatureException
    #[error("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")]
    Mismatch,
    /// InvalidSignatureException: scope of another service or date, unsigned host …
    #[error("{0}")]
    Scope(String),
}

/// A key pair to sign with. `Debug` shows the id only.
pub struct SigningKey<'a> {
    pub access_key_id: &'a str,
    pub secret: &'a str,
    pub session_token: Option<&'a str>,
}

/// The headers that sign a request: `x-amz-date`, `x-amz-security-token` if any, `authorization`.
pub fn sign(_head: &Head<'_>, _body_sha256: [u8; 32], _key: &SigningKey<'_>, _region: &str, _service: &str, _now_us: i64) -> Vec<(&'static str, String)> { todo!() }
