//! Maps every failure to an OCI error code (`ECR.md` B.10).

use super::cure::Cure;
use super::{Refusal, invalid};
use crate::basic::{NoToken, Unauthenticated};
use http::{StatusCode, header};
use jiff::Timestamp;
use kernel::clock::Time;
use kernel::quirks::{Behaviour, Quirks};
use kernel::{CommonError, Constraint};
use oci::{Digest, InvalidManifest};
use registry::{Error, LayersNotFoundBy};

/// Seconds after which a client may try again.
const RETRY_AFTER: &str = "1";

/// Maps a failed authentication. `Err` means the challenge, whose body is not an error envelope.
pub fn unauthenticated(error: Unauthenticated, quirks: &Quirks) -> Result<Refusal, NoToken> {
    let message = error.to_string();
    let denied = |message| Refusal::new(StatusCode::FORBIDDEN, "DENIED", message);
    Ok(match error {
        Unauthenticated::Challenge(why) => return Err(why),
        Unauthenticated::Expired { at } => {
            let at = moment(at);
            denied(format!("{message} The token expired at {at}."))
                .cause(format!("the token expired at {at}"))
                .cure(Cure::Login)
        }
        Unauthenticated::Realm { token, registry } => denied(message)
            .cause(format!("the token is for {token:#}, this registry is in {registry}"))
            .cure(Cure::Login),
        Unauthenticated::NotServed { default, .. } => denied(message).say(format!(
            "use the default registry, in {default}, or have the region added to the server's setting regions"
        )),
        Unauthenticated::Failed(error) => refuse(error.into(), quirks),
    })
}

/// Maps a failure of the registry. Has no `_` arm, so that a new failure must state here its code and its cure.
pub fn refuse(error: Error, quirks: &Quirks) -> Refusal {
    use StatusCode as S;
    let message = error.to_string();
    match &error {
        Error::Common(common) => {
            let refusal = refuse_common(common, message, quirks);
            // Server faults are logged, or counted as an outage.
            let is_ours = matches!(common, CommonError::Unavailable { .. } | CommonError::Server(_));
            Refusal { fault: is_ours.then(|| Box::new(error)), ..refusal }
        }
        // AWS says only "Invalid JSON syntax"; Ecru says what is wrong.
        Error::InvalidManifest(_) if quirks.registry_errors == Behaviour::Faithful => {
            invalid(quirks, "UNSUPPORTED", message)
        }
        Error::InvalidManifest(reason) => manifest_invalid(reason),
        Error::Validation(_) | Error::InvalidTagParameter { .. } | Error::TooManyTags { .. } => {
            invalid(quirks, "UNSUPPORTED", message)
        }
        Error::RepositoryNotFound { name, account } => Refusal::new(S::NOT_FOUND, "NAME_UNKNOWN", message)
            .cause(format!("no repository '{name}' in the registry '{account}'"))
            .cure(Cure::Repository(name.clone())),
        Error::RepositoryAlreadyExists { .. } | Error::RepositoryNotEmpty { .. } => {
            Refusal::new(S::CONFLICT, "DENIED", message)
        }
        Error::RepositoryPolicyNotFound { .. } | Error::RegistryPolicyNotFound { .. } => {
            Refusal::new(S::NOT_FOUND, "UNSUPPORTED", message)
        }
        Error::Kms { .. } => Refusal::new(S::FORBIDDEN, "DENIED", message),
        Error::LimitExceeded { setting, .. } => limited(message, *setting),
        Error::ImageAlreadyExists { .. } => Refusal::new(S::BAD_REQUEST, "TAG_INVALID", message),
        Error::ImageTagAlreadyExists { tag, name, held, since } => tag_exists(message, (name, tag), held, *since),
        Error::ImageNotFound { .. } => Refusal::manifest_unknown(),
        Error::ImageDigestDoesNotMatch { given, computed } => mismatch(message, given, computed)
            .say("put the manifest by its own digest or by a tag, byte for byte as it was made"),
        Error::InvalidLayer { given, computed } => {
            mismatch(message, given, computed).say("upload the layer again, byte for byte as it was made")
        }
        Error::ReferencedImagesNotFound { digests, name, .. } => {
            missing(message, "MANIFEST_BLOB_UNKNOWN", ("images", digests, name))
                .say("push what an index lists to this repository first, and the index last")
        }
        Error::LayersNotFound { by: LayersNotFoundBy::Manifest, digests, name, .. } => {
            missing(message, "MANIFEST_BLOB_UNKNOWN", ("layers", digests, name))
                .say("push them to this repository first: it sees only its own layers")
        }
        Error::LayersNotFound { by: LayersNotFoundBy::Read, digests, name, .. } => {
            missing(message, "BLOB_UNKNOWN", ("layers", digests, name))
                .say("push it to this repository, which sees only its own layers")
        }
        Error::LayerDamaged { digest } => damaged(message, digest),
        Error::LayerInaccessible { .. } => Refusal::new(S::NOT_FOUND, "BLOB_UNKNOWN", message),
        Error::LayerInUse { digest, name } => Refusal::new(S::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
            .cause(format!("the layer '{}' is in use by an image of the repository '{name}'", first(digest)))
            .say("delete the images that stand on it first"),
        Error::LayerAlreadyExists { .. } => Refusal::new(S::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message),
        Error::UploadNotFound { id, .. } => Refusal::new(S::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", message)
            .cause(format!("the upload '{id}' does not exist"))
            .cure(Cure::Upload),
        Error::InvalidLayerPart { last_valid_byte, .. } => {
            let next = last_valid_byte.map_or(0, |last| last.saturating_add(1));
            Refusal::new(S::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message).say(format!("go on at byte {next}"))
        }
        Error::LayerPartTooSmall { .. } | Error::EmptyUpload { .. } => {
            Refusal::new(S::BAD_REQUEST, "SIZE_INVALID", message)
        }
        Error::BodyTruncated(_) => {
            Refusal::new(S::BAD_REQUEST, "SIZE_INVALID", message).say("send it again, with all its bytes")
        }
    }
}

/// Maps a failure that every service has.
fn refuse_common(error: &CommonError, message: String, quirks: &Quirks) -> Refusal {
    use StatusCode as S;
    match error {
        CommonError::AccessDenied(denial) => denied(message, denial),
        CommonError::InvalidParameter { member, constraint } => invalid_parameter(member, constraint, message, quirks),
        CommonError::Busy => Refusal::new(S::SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", message)
            .header(header::RETRY_AFTER, RETRY_AFTER)
            .say(format!("a second try may come after {RETRY_AFTER} s")),
        CommonError::Unavailable { cure, .. } => {
            Refusal::new(S::SERVICE_UNAVAILABLE, "UNKNOWN", message).header(header::RETRY_AFTER, RETRY_AFTER).say(*cure)
        }
        CommonError::Server(_) => Refusal::new(S::INTERNAL_SERVER_ERROR, "UNKNOWN", message)
            .say("the server's log says why, at this answer's x-request-id"),
    }
}

/// AWS's text (`ECR.md` G.5), with a shorter form of the permission as the cause.
fn denied(message: String, denial: &policy::Denial) -> Refusal {
    let resource = match denial.resource.rsplit_once(":repository/") {
        Some((_, name)) => format!("repository {name}"),
        None => format!("resource {}", denial.resource),
    };
    let refusal = Refusal::new(StatusCode::FORBIDDEN, "DENIED", message)
        .cause(format!("not authorized: {} on {resource}", denial.action))
        .cure(Cure::Permission(Box::new(denial.clone())));
    Refusal { denied: true, ..refusal }
}

fn missing(message: String, code: &'static str, (what, digests, name): (&str, &str, &str)) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, code, message)
        .cause(format!("{what} {} do not exist in the repository '{name}'", first(digests)))
}

fn damaged(message: String, digest: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", message)
        .cause(format!("the stored bytes of the layer {} are damaged", first(digest)))
        .say("push it again")
}

fn limited(message: String, setting: Option<&'static str>) -> Refusal {
    let cure = match setting {
        Some(setting) => format!("the server's setting limits.{setting} raises this"),
        None => "this limit is fixed".to_owned(),
    };
    Refusal::new(StatusCode::FORBIDDEN, "DENIED", message).say(cure)
}

fn mismatch(message: String, given: &str, computed: &str) -> Refusal {
    let cause = format!("digest {} does not match {}", first(given), first(computed));
    Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message).cause(cause)
}

fn invalid_parameter(member: &str, constraint: &Constraint, message: String, quirks: &Quirks) -> Refusal {
    match constraint {
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

fn manifest_invalid(reason: &InvalidManifest) -> Refusal {
    let cure = match reason {
        InvalidManifest::TooLarge => return Refusal::manifest_too_large(),
        InvalidManifest::Json(_) => "send the manifest's own bytes, whole",
        InvalidManifest::NoMediaType => "name its type in Content-Type",
        InvalidManifest::UnsupportedMediaType(_) => {
            "push an OCI image or index, or a Docker schema 2 image or list (skopeo copy --format oci makes one)"
        }
        InvalidManifest::MediaTypeMismatch { .. } => "send as Content-Type what the manifest's mediaType says",
        InvalidManifest::Member { .. } => "build the image again with a tool that writes this right",
    };
    // Clients print "manifest invalid" before the message.
    Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", reason.clause()).say(cure)
}

/// AWS's sentence, followed by the digest that the tag points to and the time since it does (`ECR.md` R 4).
fn tag_exists(message: String, (name, tag): (&str, &str), held: &Digest, since: Time) -> Refusal {
    let since = moment(since);
    let day = since.get(..10).unwrap_or_default();
    let cause = format!("tag {tag} is immutable and holds {} since {day}", first(&held.to_string()));
    Refusal::new(StatusCode::BAD_REQUEST, "TAG_INVALID", format!("{message} It holds {held} since {since}."))
        .cause(cause)
        .cure(Cure::Tag { name: name.to_owned(), tag: tag.to_owned() })
}

/// `2026-11-21T10:00:00Z`
fn moment(time: Time) -> String {
    Timestamp::from_microsecond(time.0).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Shortens a list of digests to its first one with the beginning of its hash: `sha256:0123456789ab and others`.
fn first(digests: &str) -> String {
    /// Characters of a hash that docker shows.
    const SHOWN: usize = 12;
    let (first, others) = digests.split_once(", ").map_or((digests, ""), |(first, _)| (first, " and others"));
    match first.split_once(':') {
        Some((algorithm, hash)) => format!("{algorithm}:{}{others}", hash.get(..SHOWN).unwrap_or(hash)),
        None => format!("{first}{others}"),
    }
}

#[cfg(test)]
mod tests;
