//! How the docker door says what failed, and what to do about it (`ECR.md` B.10 and its end, B.2).
//!
//! `translate` maps every failure to an OCI code. `cure` says what would let the call succeed, where that depends on the caller
//! and the call.

mod cure;
mod translate;

pub use cure::About;
pub use translate::{refuse, unauthenticated};

use super::path::InvalidPath;
use cure::Cure;
use http::{HeaderName, HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use kernel::quirks::{Behaviour, Quirks};
use listen::access_log::RefusedFor;
use listen::body::{self, Response};
use registry::Error;
use registry::push_log;
use serde_json::json;

/// Maximum characters of a reason phrase (`ECR.md` B.2).
const MAX_REASON: usize = 200;

/// An error response of this door, before it is encoded. `translate` and the constructors here make it; `cured` adds what depends
/// on the call.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    /// An error code of the OCI distribution-spec.
    pub code: &'static str,
    /// AWS's sentence, if AWS has one, followed by further detail.
    pub message: String,
    /// The text of the reason phrase, which is all that some clients show; `None` uses the message. [`Refusal::cured`] appends
    /// the cure if it fits.
    cause: Option<Box<str>>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    cure: Option<Box<Cure>>,
    /// Whether the caller lacks a permission.
    denied: bool,
    /// The underlying error, if the server is at fault.
    pub fault: Option<Box<Error>>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
            cause: None,
            headers: Vec::new(),
            cure: None,
            denied: false,
            fault: None,
        }
    }

    pub fn header(mut self, name: HeaderName, value: &str) -> Refusal {
        // An invalid header value is left out: the body says the same.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Sets the cause: a shorter form of the message.
    fn cause(mut self, cause: impl Into<String>) -> Refusal {
        self.cause = Some(cause.into().into());
        self
    }

    fn cure(mut self, cure: Cure) -> Refusal {
        self.cure = Some(Box::new(cure));
        self
    }

    /// Says what would let the call succeed, as a clause that begins in lower case: `push another tag`.
    pub fn say(self, clause: impl Into<String>) -> Refusal {
        self.cure(Cure::Said(clause.into()))
    }

    /// Returns what the push log records about this refusal.
    pub fn logged(&self) -> push_log::PushRefusal {
        let Refusal { status, code, message, denied, .. } = self;
        push_log::PushRefusal { status: status.as_u16(), code, message: message.clone(), denied: *denied }
    }

    pub fn method_not_allowed(allow: &'static str) -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("This path has only the methods {allow}"))
            .header(header::ALLOW, allow)
    }

    pub fn manifest_unknown() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found").cure(Cure::Image)
    }

    /// The manifest's reference is neither a tag nor a digest, so no manifest can have it.
    pub fn manifest_unnamable(reference: &str) -> Refusal {
        let cause = format!("'{}' is neither a tag nor a digest", excerpt(reference));
        Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", format!("Requested image not found: {cause}"))
            .cause(cause)
    }

    pub fn manifest_too_large() -> Refusal {
        let message = oci::InvalidManifest::TooLarge.to_string();
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
            .say("move what its annotations hold into a layer, or split the index")
    }

    pub fn digest_invalid(text: &str, quirks: &Quirks) -> Refusal {
        let message =
            format!("'{}' is not a digest: sha256: and 64, or sha512: and 128 lower-case hex digits", excerpt(text));
        invalid(quirks, "DIGEST_INVALID", message)
    }

    pub fn path(path: InvalidPath, quirks: &Quirks) -> Refusal {
        match path {
            InvalidPath::Unknown => {
                Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "There is no such path in the registry API").say(
                    "the paths are /v2/, /v2/_catalog, and below /v2/NAME/: manifests/REFERENCE, blobs/DIGEST, \
                     blobs/uploads/, tags/list, referrers/DIGEST",
                )
            }
            InvalidPath::Name(text) => name_invalid(&text, quirks),
            InvalidPath::Tag(text) => {
                invalid(quirks, "TAG_INVALID", format!("'{}' is not a tag: {}", excerpt(&text), oci::InvalidTag))
            }
            InvalidPath::Digest(text) => Refusal::digest_invalid(&text, quirks),
        }
    }

    /// Encodes the refusal: headers, reason phrase and JSON envelope.
    pub fn into_response(self) -> Response {
        let envelope = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = http::Response::new(body::full(format!("{envelope}\n")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.extend(self.headers);
        let cause = self.cause.as_deref().unwrap_or(&self.message);
        response.extensions_mut().insert(RefusedFor::new(self.code, cause));
        give_reason(&mut response, reason(self.status, cause, &[]));
        response
    }
}

/// Sets a response's reason phrase (`ECR.md` B.2).
pub fn give_reason(response: &mut Response, phrase: String) {
    if let Ok(phrase) = ReasonPhrase::try_from(phrase.into_bytes()) {
        response.extensions_mut().insert(phrase);
    }
}

/// Returns the standard phrase, a colon, the cause, and the first cure that fits, as one line of printable ASCII.
pub fn reason(status: StatusCode, cause: &str, cures: &[&str]) -> String {
    let cause = with_cure(status, cause, cures);
    let printable = cause.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' });
    beginning(status).chars().chain(printable).take(MAX_REASON).collect()
}

/// Returns the cause followed by the first cure that fits completely. A cure is never cut, because half a command would be wrong.
fn with_cure(status: StatusCode, cause: &str, cures: &[&str]) -> String {
    let room = MAX_REASON.saturating_sub(beginning(status).len());
    let both = cures.iter().map(|cure| format!("{cause}; {cure}"));
    both.into_iter().find(|text| text.chars().count() <= room).unwrap_or_else(|| cause.to_owned())
}

fn beginning(status: StatusCode) -> String {
    format!("{}: ", status.canonical_reason().unwrap_or("Refused"))
}

/// Returns the beginning of a client's text, for use in a message.
fn excerpt(text: &str) -> String {
    const MAX: usize = 101;
    kernel::abridged(text, MAX)
}

/// A failure that AWS answers with 405 UNSUPPORTED, and the specification with 400 and a specific code.
fn invalid(quirks: &Quirks, code: &'static str, message: impl Into<String>) -> Refusal {
    match quirks.registry_errors {
        Behaviour::Fixed => Refusal::new(StatusCode::BAD_REQUEST, code, message),
        Behaviour::Faithful => Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message),
    }
}

/// AWS's text and the name. The most common mistake is an upper-case letter.
///
/// A name that matches the specification's grammar but is too short or too long for ECR is answered with NAME_UNKNOWN. docker's
/// classic image store retries NAME_INVALID for 50 s, and its names can only be wrong in length.
fn name_invalid(text: &str, quirks: &Quirks) -> Refusal {
    let message = format!(
        "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '{}'': '{}'",
        oci::RepositoryName::PATTERN,
        excerpt(text)
    );
    let cure = match text.to_ascii_lowercase().parse::<oci::RepositoryName>() {
        Ok(name) => format!("write it in lower case: {name}"),
        Err(_) => "it has 2 to 256 lower-case letters and digits, with single . _ - and / between them".to_owned(),
    };
    let refusal = match (oci::RepositoryName::is_well_formed(text), quirks.registry_errors) {
        (true, Behaviour::Fixed) => Refusal::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message),
        _ => invalid(quirks, "NAME_INVALID", message),
    };
    refusal.cause(format!("invalid repositoryName '{}'", excerpt(text))).say(cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_printable_ascii_and_not_long() {
        let text = reason(StatusCode::BAD_REQUEST, &format!("tag\r\nX: é {}", "x".repeat(300)), &["mend it"]);
        assert!(text.starts_with("Bad Request: tag??X: ? xxx"), "{text}");
        assert_eq!(text.len(), MAX_REASON);
    }

    #[test]
    fn a_reason_has_the_first_cure_that_fits_whole() {
        let (long, short) = ("x".repeat(MAX_REASON), "short");
        for (cures, expected) in [
            (&[][..], "Not Found: gone"),
            (&["make it", short], "Not Found: gone; make it"),
            (&[&long, short], "Not Found: gone; short"),
            (&[&long], "Not Found: gone"),
        ] {
            assert_eq!(reason(StatusCode::NOT_FOUND, "gone", cures), expected);
        }
    }
}
