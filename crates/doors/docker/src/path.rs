//! Parses paths below `/v2/` by hand, because repository names contain slashes (OCI distribution-spec "Endpoints").

use oci::{Digest, Reference, RepositoryName};

/// What a path below `/v2/` addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    Tags {
        name: RepositoryName,
    },
    /// A manifest. An invalid reference is kept as text, because reading such a manifest is a valid request that finds nothing.
    Manifest {
        name: RepositoryName,
        reference: Result<Reference, InvalidReference>,
    },
    Referrers {
        name: RepositoryName,
        digest: Digest,
    },
    Blob {
        name: RepositoryName,
        digest: Digest,
    },
    Uploads {
        name: RepositoryName,
    },
    /// An upload.
    Upload {
        name: RepositoryName,
        upload: UploadPath,
    },
}

/// The last segment of an upload's path: `ID`, or `ID.OFFSET` as in every Location. It is one segment, so that clients that take
/// the last segment as the upload's id, or match distribution's paths by a pattern, can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadPath {
    /// Parsed later by the handler, because a malformed id is reported as an unknown upload.
    pub id: String,
    /// Bytes that the upload had received when the Location was issued; `None` in a path that a client built itself.
    pub offset: Option<u64>,
}

impl UploadPath {
    fn parse(segment: &str) -> UploadPath {
        match segment.split_once('.') {
            Some((id, digits)) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                // An offset that overflows becomes the largest one, which no upload reaches.
                UploadPath { id: id.to_owned(), offset: Some(digits.parse().unwrap_or(u64::MAX)) }
            }
            _ => UploadPath { id: segment.to_owned(), offset: None },
        }
    }
}

/// The text of a reference that is neither a tag nor a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidReference(pub String);

impl From<InvalidReference> for InvalidPath {
    fn from(InvalidReference(text): InvalidReference) -> InvalidPath {
        if text.contains(':') { InvalidPath::Digest(text) } else { InvalidPath::Tag(text) }
    }
}

/// Why a path addresses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPath {
    Unknown,
    Name(String),
    Tag(String),
    Digest(String),
}

impl Endpoint {
    /// Parses a path as sent. Only `%3A` is decoded, which some clients write in digests, so no name can contain `%2F`, `..` or
    /// empty segments.
    pub fn parse(path: &str) -> Result<Endpoint, InvalidPath> {
        let rest = match path.strip_prefix("/v2") {
            Some("" | "/") => return Ok(Endpoint::Base),
            Some("/_catalog") => return Ok(Endpoint::Catalog),
            Some(rest) => rest.strip_prefix('/').ok_or(InvalidPath::Unknown)?,
            None => return Err(InvalidPath::Unknown),
        };
        let (before, last) = rest.rsplit_once('/').ok_or(InvalidPath::Unknown)?;
        // The kind is the segment before the last. A repository may be named like a kind, so only the rightmost one counts.
        let (names, kind) = before.rsplit_once('/').ok_or(InvalidPath::Unknown)?;
        match (kind, last) {
            ("manifests", reference) => {
                Ok(Endpoint::Manifest { name: name(names)?, reference: self::reference(reference) })
            }
            ("tags", "list") => Ok(Endpoint::Tags { name: name(names)? }),
            ("referrers", digest) => Ok(Endpoint::Referrers { name: name(names)?, digest: self::digest(digest)? }),
            ("uploads", id) => {
                let name = name(names.strip_suffix("/blobs").ok_or(InvalidPath::Unknown)?)?;
                Ok(if id.is_empty() {
                    Endpoint::Uploads { name }
                } else {
                    Endpoint::Upload { name, upload: UploadPath::parse(id) }
                })
            }
            ("blobs", "uploads") => Ok(Endpoint::Uploads { name: name(names)? }),
            ("blobs", digest) => Ok(Endpoint::Blob { name: name(names)?, digest: self::digest(digest)? }),
            _ => Err(InvalidPath::Unknown),
        }
    }
}

fn name(text: &str) -> Result<RepositoryName, InvalidPath> {
    text.parse().map_err(|_| InvalidPath::Name(text.to_owned()))
}

fn digest(text: &str) -> Result<Digest, InvalidPath> {
    decode_colon(text).parse().map_err(|_| InvalidPath::Digest(text.to_owned()))
}

fn reference(text: &str) -> Result<Reference, InvalidReference> {
    let text = decode_colon(text);
    text.parse().map_err(|_| InvalidReference(text))
}

fn decode_colon(text: &str) -> String {
    text.replace("%3A", ":").replace("%3a", ":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn every_endpoint_is_found_whatever_the_repository_is_called() {
        let digest: Digest = DIGEST.parse().unwrap();
        for text in ["app", "a1/b2/c3", "blobs/uploads", "manifests/v1", "tags/list", "referrers/x1", "uploads/blobs"] {
            let name = name(text);
            for (path, expected) in [
                (format!("{text}/tags/list"), Endpoint::Tags { name: name.clone() }),
                (
                    format!("{text}/manifests/v1"),
                    Endpoint::Manifest { name: name.clone(), reference: Ok("v1".parse().unwrap()) },
                ),
                (
                    format!("{text}/manifests/{}", DIGEST.replace(':', "%3A")),
                    Endpoint::Manifest { name: name.clone(), reference: Ok(Reference::Digest(digest)) },
                ),
                (format!("{text}/referrers/{DIGEST}"), Endpoint::Referrers { name: name.clone(), digest }),
                (format!("{text}/blobs/{DIGEST}"), Endpoint::Blob { name: name.clone(), digest }),
                (format!("{text}/blobs/uploads/"), Endpoint::Uploads { name: name.clone() }),
                (format!("{text}/blobs/uploads"), Endpoint::Uploads { name: name.clone() }),
                (
                    format!("{text}/blobs/uploads/x"),
                    Endpoint::Upload { name: name.clone(), upload: UploadPath::parse("x") },
                ),
            ] {
                assert_eq!(Endpoint::parse(&format!("/v2/{path}")), Ok(expected), "{path}");
            }
        }
    }

    #[test]
    fn tricks_mean_nothing() {
        for path in [
            "",
            "/",
            "/v1/",
            "/v2x/",
            "/v2/app",
            "/v2/app/manifests",
            "/v2/app/manifests/v1/",
            "/v2/app/manifests//v1",
            "/v2/app/unknown/v1",
            "/V2/",
            "v2/",
            "/v2/manifests/v1",
            "/v2/app/uploads/1",
            "/v2/blobs/uploads/1",
            "/v2/_catalog/",
            "/v2/app/tags/list/",
        ] {
            assert_eq!(Endpoint::parse(path), Err(InvalidPath::Unknown), "{path}");
        }
        for path in [
            "/v2//manifests/v1",
            "/v2//app/manifests/v1",
            "/v2/app//manifests/v1",
            "/v2/app//blobs/uploads/1",
            "/v2/app/../b2/manifests/v1",
            "/v2/App/manifests/v1",
            "/v2/a%2Fb/manifests/v1",
            "/v2/%61pp/manifests/v1",
            "/v2/app/./blobs/uploads/",
        ] {
            assert!(matches!(Endpoint::parse(path), Err(InvalidPath::Name(_))), "{path}");
        }
        for path in [
            "/v2/app/manifests/-x",
            "/v2/app/manifests/",
            "/v2/app/manifests/a%20b",
            "/v2/app/manifests/..%2Fv1",
            "/v2/app/manifests/md5:00",
        ] {
            let Ok(Endpoint::Manifest { reference: Err(invalid), .. }) = Endpoint::parse(path) else {
                panic!("{path}")
            };
            assert_eq!(matches!(invalid.into(), InvalidPath::Tag(_)), !path.contains(':'), "{path}");
        }
        for path in ["/v2/app/blobs/", "/v2/app/blobs/sha256:", "/v2/app/referrers/x1"] {
            assert!(matches!(Endpoint::parse(path), Err(InvalidPath::Digest(_))), "{path}");
        }
    }

    #[test]
    fn an_upload_is_named_with_the_offset_of_its_location_or_without() {
        for (segment, id, offset) in [
            ("x", "x", None),
            ("x.0", "x", Some(0)),
            ("x.17", "x", Some(17)),
            ("x.99999999999999999999", "x", Some(u64::MAX)),
            ("x.", "x.", None),
            ("x.-1", "x.-1", None),
            ("x.1.2", "x.1.2", None),
            ("x.1a", "x.1a", None),
        ] {
            assert_eq!(UploadPath::parse(segment), UploadPath { id: id.to_owned(), offset }, "{segment}");
        }
    }

    proptest! {
        #[test]
        fn no_path_panics(path in "(/v2)?[/a-z0-9._:%-]{0,80}|\\PC*") {
            let _ = Endpoint::parse(&path);
        }

        #[test]
        fn a_path_that_was_built_is_read_back(
            text in "[a-z0-9]{2,5}(/[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5})?){0,4}",
            tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}",
        ) {
            let expected = Endpoint::Manifest { name: name(&text), reference: Ok(tag.parse().unwrap()) };
            prop_assert_eq!(Endpoint::parse(&format!("/v2/{text}/manifests/{tag}")), Ok(expected));
        }
    }
}
