//! How the docker door says what failed: the one translation into OCI codes (`ECR.md` B.10 and its end, B.2).
use super::path::InvalidPath;
use crate::authenticate::basic::Unauthenticated;
use crate::body::{self, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;
use registry::quirks::{Behaviour, Quirks};
use registry::{Constraint, Error, LayersNotFoundBy};
use serde_json::json;

/// Characters of a reason phrase at most (`ECR.md` B.2).
const MAX_REASON: usize = 200;
/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "1";

/// An answer that is a refusal.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    /// A code of the OCI distribution-spec.
    pub code: &'static str,
    pub message: String,
    /// For the reason phrase, which is all that some clients show; the message where there is nothing shorter.
    pub cause: Option<String>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The command that would let a push succeed.
    cure: Option<Box<str>>,
    /// What failed beneath, where it is ours.
    pub fault: Option<Box<Error>>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, code, message: message.into(), cause: None, headers: Vec::new(), cure: None, fault: None }
    }

    pub fn header(mut self, name: HeaderName, value: &str) -> Refusal {
        // What can't be a header's value is left out: the body says it too.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn cause(mut self, cause: String) -> Refusal {
        self.cause = Some(cause);
        self
    }

    fn cure(mut self, cure: String) -> Refusal {
        self.cure = Some(cure.into());
        self
    }

    /// The same refusal with the command that would let this succeed, where there is one. Only a push wants it: to make a
    /// missing repository cures no pull.
    pub fn with_cure(mut self) -> Refusal {
        if let Some(cure) = self.cure.take() {
            self.message = format!("{}. Create it with: {cure}", self.message);
            self.cause = self.cause.map(|cause| format!("{cause}; create it with: {cure}"));
        }
        self
    }

    pub fn method_not_allowed(allow: &'static str) -> Refusal {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("This path has only the methods {allow}"))
            .header(header::ALLOW, allow)
    }

    pub fn manifest_unknown() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "Requested image not found")
    }

    pub fn manifest_too_large() -> Refusal {
        let message = oci::InvalidManifest::TooLarge.to_string();
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", message)
    }

    pub fn digest_invalid(text: &str, quirks: &Quirks) -> Refusal {
        let message =
            format!("'{}' is not a digest: sha256: and 64, or sha512: and 128 lower-case hex digits", excerpt(text));
        invalid(quirks, "DIGEST_INVALID", message)
    }

    pub fn path(path: InvalidPath, quirks: &Quirks) -> Refusal {
        match path {
            InvalidPath::Unknown => {
                Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "There is no such path in the registry API")
            }
            InvalidPath::Name(text) => invalid(
                quirks,
                "NAME_INVALID",
                format!(
                    "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '{}'': '{}'",
                    oci::RepositoryName::PATTERN,
                    excerpt(&text)
                ),
            ),
            InvalidPath::Tag(text) => {
                invalid(quirks, "TAG_INVALID", format!("'{}' is not a tag: {}", excerpt(&text), oci::InvalidTag))
            }
            InvalidPath::Digest(text) => Refusal::digest_invalid(&text, quirks),
        }
    }

    /// The answer with its headers, its reason phrase and its envelope.
    pub fn into_response(self) -> Response {
        let envelope = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        let mut response = http::Response::new(body::full(format!("{envelope}\n")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.extend(self.headers);
        give_reason(&mut response, self.cause.as_deref().unwrap_or(&self.message));
        response
    }
}

/// Says the cause in the reason phrase (`ECR.md` B.2).
pub fn give_reason(response: &mut Response, cause: &str) {
    if let Ok(phrase) = ReasonPhrase::try_from(reason(response.status(), cause).into_bytes()) {
        response.extensions_mut().insert(phrase);
    }
}

/// The standard phrase, a colon, and the cause, in one line of printable ASCII.
fn reason(status: StatusCode, cause: &str) -> String {
    let standard = status.canonical_reason().unwrap_or("Refused");
    let printable = cause.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' });
    format!("{standard}: ").chars().chain(printable).take(MAX_REASON).collect()
}

/// The beginning of a client's text, for messages.
fn excerpt(text: &str) -> String {
    const MAX: usize = 100;
    let mut kept: String = text.chars().take(MAX).collect();
    if kept.len() < text.len() {
        kept.push('…');
    }
    kept
}

/// What AWS answers with 405 UNSUPPORTED and the specification with 400 and a code of its own.
fn invalid(quirks: &Quirks, code: &'static str, message: impl Into<String>) -> Refusal {
    match quirks.registry_errors {
        Behaviour::Fixed => Refusal::new(StatusCode::BAD_REQUEST, code, message),
        Behaviour::Faithful => Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message),
    }
}

/// A caller that could not be told. `None`: the challenge, which is no envelope.
pub fn unauthenticated(error: Unauthenticated, quirks: &Quirks) -> Option<Refusal> {
    let message = error.to_string();
    match error {
        Unauthenticated::Challenge => None,
        Unauthenticated::Expired | Unauthenticated::Region { .. } | Unauthenticated::NotServed(_) => {
            Some(Refusal::new(StatusCode::FORBIDDEN, "DENIED", message))
        }
        Unauthenticated::Failed(error) => Some(refuse(error, quirks)),
    }
}

/// The translation. No `_`: a new failure of the domain has to say here what it is to a docker client.
pub fn refuse(error: Error, quirks: &Quirks) -> Refusal {
    use StatusCode as S;
    let message = error.to_string();
    match &error {
        Error::AccessDenied(_) => Refusal::new(S::FORBIDDEN, "DENIED", message),
        Error::InvalidParameter { member, constraint } => invalid_parameter(member, constraint, message, quirks),
        Error::Validation(_) | Error::InvalidTagParameter { .. } | Error::TooManyTags { .. } => {
            invalid(quirks, "UNSUPPORTED", message)
        }
        Error::RepositoryNotFound { name, .. } => Refusal::new(S::NOT_FOUND, "NAME_UNKNOWN", message)
            .cause(format!("no repository {name} in this registry"))
            .cure(format!("aws ecr create-repository --repository-name {name}")),
        Error::RepositoryAlreadyExists { .. } | Error::RepositoryNotEmpty { .. } => {
            Refusal::new(S::CONFLICT, "DENIED", message)
        }
        Error::Kms { .. } => Refusal::new(S::FORBIDDEN, "DENIED", message),
        Error::LimitExceeded(_) => Refusal::new(S::FORBIDDEN, "DENIED", message),
        Error::ImageAlreadyExists { .. } => Refusal::new(S::BAD_REQUEST, "TAG_INVALID", message),
        Error::ImageTagAlreadyExists { tag, held, since, .. } => tag_exists(message, tag, held, *since),
        Error::ImageNotFound { .. } => Refusal::manifest_unknown(),
        Error::ImageDigestDoesNotMatch { .. } | Error::InvalidLayer { .. } => {
            Refusal::new(S::BAD_REQUEST, "DIGEST_INVALID", message)
        }
        Error::ReferencedImagesNotFound { .. } | Error::LayersNotFound { by: LayersNotFoundBy::Manifest, .. } => {
            Refusal::new(S::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message)
        }
        Error::LayersNotFound { by: LayersNotFoundBy::Read, .. } | Error::LayerInaccessible { .. } => {
            Refusal::new(S::NOT_FOUND, "BLOB_UNKNOWN", message)
        }
        Error::LayerInUse { .. } => Refusal::new(S::METHOD_NOT_ALLOWED, "UNSUPPORTED", message),
        Error::LayerAlreadyExists { .. } => Refusal::new(S::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message),
        Error::UploadNotFound { .. } => Refusal::new(S::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message),
        Error::InvalidLayerPart { .. } => Refusal::new(S::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message),
        Error::LayerPartTooSmall { .. } | Error::EmptyUpload { .. } => {
            Refusal::new(S::BAD_REQUEST, "SIZE_INVALID", message)
        }
        Error::BodyTruncated(_) => Refusal::new(S::BAD_REQUEST, "SIZE_INVALID", message),
        Error::Busy => {
            Refusal::new(S::SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", message).header(header::RETRY_AFTER, RETRY_AFTER)
        }
        Error::Unavailable { .. } => Refusal {
            fault: Some(Box::new(error)),
            ..Refusal::new(S::SERVICE_UNAVAILABLE, "UNKNOWN", message).header(header::RETRY_AFTER, RETRY_AFTER)
        },
        Error::Server(_) => {
            Refusal { fault: Some(Box::new(error)), ..Refusal::new(S::INTERNAL_SERVER_ERROR, "UNKNOWN", message) }
        }
    }
}

fn invalid_parameter(member: &str, constraint: &Constraint, message: String, quirks: &Quirks) -> Refusal {
    match constraint {
        // AWS says no more than "Invalid JSON syntax"; Ecru says what is wrong.
        Constraint::Manifest(_) if quirks.registry_errors == Behaviour::Faithful => {
            invalid(quirks, "UNSUPPORTED", message)
        }
        Constraint::Manifest(oci::InvalidManifest::TooLarge) => Refusal::manifest_too_large(),
        Constraint::Manifest(reason) => {
            Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", format!("manifest invalid: {reason}"))
        }
        Constraint::Pattern(_)
        | Constraint::MinLength(_)
        | Constraint::MaxLength(_)
        | Constraint::MinValue(_)
        | Constraint::MaxValue(_)
        | Constraint::Enum(_)
        | Constraint::Null
        | Constraint::Text(_) => match member {
            "repositoryName" => invalid(quirks, "NAME_INVALID", message),
            "imageTag" => invalid(quirks, "TAG_INVALID", message),
            _ => invalid(quirks, "UNSUPPORTED", message),
        },
    }
}

/// AWS's sentence, and what the tag holds since when (`ECR.md` R 4).
fn tag_exists(message: String, tag: &str, held: &oci::Digest, since: registry::clock::Time) -> Refusal {
    let since = Timestamp::from_microsecond(since.0).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let hex = held.hex();
    let short = &hex[..12.min(hex.len())];
    let algorithm = held.algorithm().name();
    let day = since.get(..10).unwrap_or_default();
    let cause = format!("tag {tag} is immutable and holds {algorithm}:{short} since {day}");
    Refusal::new(StatusCode::BAD_REQUEST, "TAG_INVALID", format!("{message} It holds {held} since {since}."))
        .cause(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_printable_ascii_and_not_long() {
        let text = reason(StatusCode::BAD_REQUEST, &format!("tag\r\nX: é {}", "x".repeat(300)));
        assert!(text.starts_with("Bad Request: tag??X: ? xxx"), "{text}");
        assert_eq!(text.len(), MAX_REASON);
    }

    #[test]
    fn an_immutable_tag_says_what_it_holds() {
        let held = oci::Digest::of(oci::Algorithm::Sha256, b"");
        let error = Error::ImageTagAlreadyExists {
            tag: "v1".to_owned(),
            name: "app".to_owned(),
            held: Box::new(held),
            since: registry::clock::Time(1_795_258_800_000_000),
        };
        let refusal = refuse(error, &Quirks::default());
        assert_eq!((refusal.status, refusal.code), (StatusCode::BAD_REQUEST, "TAG_INVALID"));
        assert!(refusal.message.contains("cannot be overwritten because the tag is immutable. It holds sha256:e3b0"));
        let response = refusal.into_response();
        let phrase = response.extensions().get::<ReasonPhrase>().unwrap().as_bytes();
        assert_eq!(
            String::from_utf8_lossy(phrase),
            "Bad Request: tag v1 is immutable and holds sha256:e3b0c44298fc since 2026-11-21"
        );
    }

    /// Status and code of a failure, by default and under the faithful quirk.
    fn codes(error: impl Fn() -> Error) -> [(u16, &'static str); 2] {
        let faithful = Quirks { registry_errors: Behaviour::Faithful, ..Quirks::default() };
        [Quirks::default(), faithful].map(|quirks| {
            let refusal = refuse(error(), &quirks);
            (refusal.status.as_u16(), refusal.code)
        })
    }

    #[test]
    fn every_failure_has_the_status_and_code_of_the_specification() {
        let text = || "x".to_owned();
        let layers = |by| move || Error::LayersNotFound { by, digests: text(), name: text(), account: text() };
        let missing = || Error::RepositoryNotFound { name: text(), account: text() };
        let part = || Error::InvalidLayerPart {
            reason: text(),
            account: text(),
            name: text(),
            id: text(),
            last_valid_byte: None,
        };
        let cases: [(&dyn Fn() -> Error, u16, &str); 17] = [
            (&|| Error::AccessDenied(text()), 403, "DENIED"),
            (&missing, 404, "NAME_UNKNOWN"),
            (&|| Error::LimitExceeded(text()), 403, "DENIED"),
            (
                &|| Error::ImageNotFound { digest: text(), tag: text(), name: text(), account: text() },
                404,
                "MANIFEST_UNKNOWN",
            ),
            (&|| Error::ImageDigestDoesNotMatch { given: text(), computed: text() }, 400, "DIGEST_INVALID"),
            (&|| Error::InvalidLayer { given: text(), computed: text() }, 400, "DIGEST_INVALID"),
            (
                &|| Error::ReferencedImagesNotFound { digests: text(), name: text(), account: text() },
                404,
                "MANIFEST_BLOB_UNKNOWN",
            ),
            (&layers(LayersNotFoundBy::Manifest), 404, "MANIFEST_BLOB_UNKNOWN"),
            (&layers(LayersNotFoundBy::Read), 404, "BLOB_UNKNOWN"),
            (&|| Error::LayerInaccessible { digest: text(), name: text(), account: text() }, 404, "BLOB_UNKNOWN"),
            (&|| Error::LayerInUse { digest: text(), name: text() }, 405, "UNSUPPORTED"),
            (&|| Error::UploadNotFound { id: text(), name: text(), account: text() }, 404, "BLOB_UPLOAD_UNKNOWN"),
            (&part, 416, "BLOB_UPLOAD_INVALID"),
            (&|| Error::BodyTruncated(text()), 400, "SIZE_INVALID"),
            (&|| Error::Busy, 503, "TOOMANYREQUESTS"),
            (&|| Error::Unavailable { message: "full", source: "disk".into() }, 503, "UNKNOWN"),
            (&|| Error::Server("disk".into()), 500, "UNKNOWN"),
        ];
        for (error, status, code) in cases {
            assert_eq!(codes(error), [(status, code); 2], "{}", error());
        }
    }

    #[test]
    fn what_the_client_wrote_wrong_is_405_under_the_faithful_quirk() {
        let faithful = (405, "UNSUPPORTED");
        let no_type = || Constraint::Manifest(oci::InvalidManifest::NoMediaType);
        for (member, code) in
            [("ImageManifest", "MANIFEST_INVALID"), ("repositoryName", "NAME_INVALID"), ("imageTag", "TAG_INVALID")]
        {
            let constraint = || if member == "ImageManifest" { no_type() } else { Constraint::Pattern("x") };
            assert_eq!(codes(|| Error::invalid(member, constraint())), [(400, code), faithful], "{member}");
        }
        let quirks = Quirks { registry_errors: Behaviour::Faithful, ..Quirks::default() };
        let message = refuse(Error::invalid("ImageManifest", no_type()), &quirks).message;
        assert_eq!(message, "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'");
        assert_eq!(Refusal::path(InvalidPath::Digest("x".to_owned()), &quirks).status, StatusCode::METHOD_NOT_ALLOWED);
    }

    #[test]
    fn a_push_to_a_missing_repository_is_told_the_command_that_makes_it() {
        let error = || Error::RepositoryNotFound { name: "app".to_owned(), account: "000000000000".to_owned() };
        let plain = "The repository with name 'app' does not exist in the registry with id '000000000000'";
        assert_eq!(refuse(error(), &Quirks::default()).message, plain);
        let cured = refuse(error(), &Quirks::default()).with_cure();
        let cure = "Create it with: aws ecr create-repository --repository-name app";
        assert_eq!(cured.message, format!("{plain}. {cure}"));
        assert!(cured.cause.is_some_and(|cause| cause.contains("aws ecr create-repository --repository-name app")));
    }

    #[test]
    fn what_is_ours_is_told_to_the_log_and_not_to_the_client() {
        let refusal = refuse(Error::Server("the password is hunter2".into()), &Quirks::default());
        assert!(refusal.fault.is_some());
        assert_eq!(refusal.message, "An internal error occurred");
    }
}
