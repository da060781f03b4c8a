//! Why an import or an export fails.

use crate::cli::ClientError;
use crate::cli::credentials::CredentialsError;
use http::StatusCode;
use listen::outbound::OutboundError;
use oci::{Digest, InvalidManifest};
use std::io;
use std::path::{Path, PathBuf};

/// Characters of another server's message at most that an error repeats.
const MESSAGE_LENGTH: usize = 400;

#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The command line or the environment asks for something that can't be done; the text says what to do instead.
    #[error("{0}")]
    Usage(String),
    #[error("{path}: can't be read or written", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    /// A registry refuses a request, in its own words.
    #[error("{host} refuses {what}: {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Refused { host: String, what: String, status: StatusCode, message: String },
    #[error("{host} wants a login: {hint}")]
    Login { host: String, hint: String },
    #[error(
        "{host} refuses the password of {user}; log in again with `docker login`, or give another by --from-username and --from-password-stdin"
    )]
    Password { host: String, user: String },
    /// A registry's answer breaks the protocol.
    #[error("{host}: {reason}")]
    Protocol { host: String, reason: String },
    #[error("{from} has no {what}")]
    Missing { from: String, what: String },
    #[error("the repository {0} does not exist")]
    NoRepository(String),
    #[error("{what} has the digest {}, not {}: it was changed or cut on its way", digests.actual, digests.expected)]
    Digest { what: String, digests: Box<Mismatch> },
    #[error("{what} has {actual} bytes or more, not {expected}")]
    Size { what: String, expected: u64, actual: u64 },
    #[error("{what} is not a manifest that can be stored")]
    Manifest { what: String, source: InvalidManifest },
    #[error("{path}: {reason}", path = path.display())]
    Archive { path: PathBuf, reason: String },
    /// Several images failed; each was reported when it did.
    #[error("{failed} of {total} images failed; what is above says why. Run the command again: it skips what is there")]
    Some { failed: usize, total: usize },
}

/// The digest that content must have, and the one that it has.
#[derive(Debug)]
pub struct Mismatch {
    pub expected: Digest,
    pub actual: Digest,
}

impl TransferError {
    pub fn digest(what: String, expected: Digest, actual: Digest) -> TransferError {
        TransferError::Digest { what, digests: Box::new(Mismatch { expected, actual }) }
    }

    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> TransferError {
        let path = path.to_owned();
        move |source| TransferError::Io { path, source }
    }

    pub fn archive(path: &Path, reason: impl Into<String>) -> TransferError {
        TransferError::Archive { path: path.to_owned(), reason: reason.into() }
    }

    /// True where the next image may succeed: the failure is about one image alone.
    pub fn is_of_one_image(&self) -> bool {
        use TransferError::{Digest, Manifest, Missing, Refused, Size};
        match self {
            Refused { status, .. } => status.is_client_error() && *status != StatusCode::UNAUTHORIZED,
            Missing { .. } | Digest { .. } | Size { .. } | Manifest { .. } => true,
            _ => false,
        }
    }

    /// True where the same request may succeed when it is sent again.
    pub fn is_passing(&self) -> bool {
        match self {
            TransferError::Outbound(error) => matches!(
                error,
                OutboundError::Broken { .. } | OutboundError::Slow { .. } | OutboundError::Connect { .. }
            ),
            TransferError::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// Names at most that an error lists.
const LISTED: usize = 10;

/// What there is, for an error about what is missing: `; it has v1, v2`.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let first: Vec<String> = names.iter().take(LISTED).map(|name| shown(name)).collect();
    match names.len().saturating_sub(LISTED) {
        _ if names.is_empty() => String::new(),
        0 => format!("; it has {}", first.join(", ")),
        more => format!("; it has {} and {more} more", first.join(", ")),
    }
}

/// Another party's text as an error may show it: in one line, without control characters, cut at [`MESSAGE_LENGTH`].
pub fn shown(text: &str) -> String {
    text.trim().chars().take(MESSAGE_LENGTH).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
