//! AWS Signature Version 4: verification (header and presigned) and signing.
//!
//! Verification has three steps, so that a request's body is read only after all other checks. [`PresentedSignature::read`] parses the claim in
//! the request's head. [`PresentedSignature::check`] checks the time, the scope and the signed headers. [`CheckedSignature::verify`] checks the signature
//! and the body's hash.
//!
//! Sources: the SigV4 chapter of the AWS IAM user guide, the published AWS test suite, botocore's `auth.py` for details that the guide
//! does not define, `ECR.md` 0 and P for names and texts.

mod canonical;
mod date;
mod present;
mod sign;
mod verify;

pub use present::PresentedSignature;
pub use sign::{SigningKey, presign, sign};
pub use verify::CheckedSignature;

/// The algorithm of Signature Version 4.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The last element of every credential scope.
const TERMINATOR: &str = "aws4_request";
/// The value in place of the body's hash if the body is not signed. No service here accepts it.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The size limit of a request's head in bytes: method, path, query and headers. The listener has the same limit.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The length limit of a credential in bytes: an access key id of 128 (IAM API, `accessKeyIdType`) and a scope.
pub const MAX_CREDENTIAL_BYTES: usize = 256;
/// The largest number of signed headers. The listener accepts no more headers in an HTTP/1 head.
pub const MAX_SIGNED_HEADERS: usize = 100;
/// The longest life of a presigned request, in seconds: 7 days (IAM user guide, `X-Amz-Expires`).
pub const MAX_EXPIRES_SECONDS: i64 = 604_800;

/// The head of a request, before any decoding.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a str,
    /// The path, such as `/` or `/v2/a%2Fb`.
    pub path: &'a str,
    /// The query string without `?`.
    pub query: &'a str,
    /// The headers as pairs of a lower-case name and a value, in the order of the request. Repeated headers stay repeated. `host` must be
    /// present; for HTTP/2 it has the value of `:authority`.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// The reason why a signature is refused. Its text is AWS's (`ECR.md` 0), and never contains a signature or a session token. The name of
/// the error differs between JSON services and STS, so the doors choose it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRejection {
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
    /// InvalidSignatureException: the scope has another service or date, the host or the body is not signed, …
    #[error("{0}")]
    Scope(String),
}
