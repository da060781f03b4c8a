//! AWS Signature Version 4: verification (header and presigned) and signing.
//!
//! Verification has three steps, so that a body is read only when nothing but its signature can still be wrong:
//! [`Presented::read`] takes what the request head claims, [`Presented::check`] holds it to the clock, the scope and the
//! head, [`Checked::verify`] to the secret and the body.
//!
//! Sources: the SigV4 chapter of the AWS IAM user guide, the published AWS test suite, botocore's `auth.py` for what the
//! guide leaves open, `ECR.md` 0 and P for names and texts.

mod canonical;
mod date;
mod present;
mod sign;
mod verify;

pub use present::Presented;
pub use sign::{SigningKey, presign, sign};
pub use verify::Checked;

/// The one algorithm of Signature Version 4.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The last element of every credential scope.
const TERMINATOR: &str = "aws4_request";
/// What stands in the place of the body's hash when the body is not signed; no service here takes that.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The largest head that is verified, in bytes of method, path, query and headers: the request head limit of the listener.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The longest credential, in bytes: an access key id of 128 (IAM API, `accessKeyIdType`) and its scope.
pub const MAX_CREDENTIAL_BYTES: usize = 256;
/// The largest number of signed headers; an HTTP/1 head of the listener holds no more headers than that.
pub const MAX_SIGNED_HEADERS: usize = 100;
/// The longest life of a presigned request, in seconds: 7 days (IAM user guide, `X-Amz-Expires`).
pub const MAX_EXPIRES_SECONDS: i64 = 604_800;

/// The head of a request, as it stands on the wire.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a str,
    /// The path before any decoding, such as `/` or `/v2/a%2Fb`.
    pub path: &'a str,
    /// The query string before any decoding, without `?`.
    pub query: &'a str,
    /// (lower-case name, value bytes) in the order of the wire; repeated headers stay repeated. `host` is among them,
    /// also where HTTP/2 calls it `:authority`.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a signature is refused; Display is the message that AWS gives (`ECR.md` 0). Names differ by service (JSON services
/// and STS): the doors choose them. No message repeats a signature or a session token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// MissingAuthenticationTokenException
    #[error("Missing Authentication Token")]
    Missing,
    /// IncompleteSignatureException
    #[error("{0}")]
    Incomplete(String),
    /// InvalidSignatureException with AWS's skew texts: `Signature expired: 20261121T100000Z is now earlier than
    /// 20261121T101500Z (20261121T103000Z - 15 min.)`
    #[error("{0}")]
    Time(String),
    /// InvalidSignatureException
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// InvalidSignatureException: scope of another service or date, unsigned host or body …
    #[error("{0}")]
    Scope(String),
}
