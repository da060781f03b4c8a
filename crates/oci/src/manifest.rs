//! Manifests and indexes: parsed once, and stored as the bytes that the client sent.

mod check;
mod descriptor;
mod object;
mod parse;
#[cfg(test)]
mod tests;

use crate::{Digest, MediaType};
use std::collections::{BTreeMap, HashSet};

/// The parsed form of a manifest or an index.
///
/// The bytes stay the source of truth: a manifest is never serialized again from this type.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub kind: ManifestKind,
    /// The type under which the manifest is stored, without parameters: its own `mediaType`, else the one in the request
    /// (Content-Type or `imageManifestMediaType`).
    pub media_type: MediaType,
    /// The config of an image manifest; `None` for an index.
    pub config: Option<Descriptor>,
    /// The layers of an image manifest.
    pub layers: Vec<Descriptor>,
    /// The children of an index.
    pub manifests: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    /// `artifactType` as the manifest states it. An empty one counts as absent (OCI distribution-spec "Listing Referrers").
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// An OCI image manifest or a Docker schema 2 manifest.
    Image,
    /// An OCI index or a Docker manifest list.
    Index,
}

/// A descriptor (OCI image-spec "Content Descriptors").
#[derive(Clone, Debug)]
pub struct Descriptor {
    pub media_type: MediaType,
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    pub urls: Vec<String>,
    pub annotations: BTreeMap<String, String>,
    pub artifact_type: Option<String>,
    pub platform: Option<Platform>,
}

/// The platform that an image runs on (OCI image-spec "Image Index"). A missing `os` or `architecture` is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
    pub os_version: Option<String>,
}

impl Manifest {
    /// The largest manifest in bytes (`ECR.md` M.1).
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;
    /// The deepest nesting of objects and arrays; real manifests have five levels.
    pub const MAX_DEPTH: usize = 64;
    /// The most JSON values in one manifest, which bounds the memory that parsing needs. An index of the largest size, full of the
    /// smallest descriptors, has about 150,000.
    pub const MAX_VALUES: usize = Manifest::MAX_BYTES / 16;
    /// The largest size in bytes that a descriptor may state. OCI defines the size as an int64.
    pub const MAX_SIZE: u64 = i64::MAX as u64;

    /// Parses a manifest. `given` is the media type in the request. Its parameters are ignored, and an empty one counts as absent.
    ///
    /// Refuses:
    /// - bytes that are not exactly one JSON object in UTF-8,
    /// - duplicate keys at any level, and nesting deeper than 64 levels,
    /// - a `schemaVersion` other than 2,
    /// - a media type that is not a manifest's, and a `mediaType` that differs from `given`,
    /// - members that contradict the type: `layers` in an index, `manifests` in an image (the "ambiguous manifest" attack,
    ///   GHSA-mc8v-mgrf-8f4m),
    /// - members that differ from known ones only in case, because Go clients would read them as the known ones,
    /// - descriptors without mediaType, digest or size, and negative sizes.
    ///
    /// Docker's schema 1 is retired and OCI's artifact manifest was withdrawn. Both are [`InvalidManifest::UnsupportedMediaType`].
    /// Unknown members are ignored. A known member that is `null` counts as absent. An absent `layers` or `manifests` is an
    /// empty list, but an image must have a `config`.
    pub fn parse(bytes: &[u8], given: Option<&str>) -> Result<Manifest, InvalidManifest> {
        parse::manifest(bytes, given)
    }

    /// Returns the artifact type for lists of referrers: `artifactType`, else the config's media type (OCI distribution-spec
    /// "Listing Referrers").
    pub fn referrer_artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| self.config.as_ref().map(|c| c.media_type.as_str()))
    }

    /// Returns every blob that a push requires: the config, then the layers, each digest once.
    ///
    /// Non-distributable layers with `urls` are left out, because clients fetch those from elsewhere.
    pub fn required_blobs(&self) -> Vec<&Descriptor> {
        let elsewhere = |d: &Descriptor| d.media_type.is_non_distributable() && !d.urls.is_empty();
        let mut seen = HashSet::new();
        self.config
            .iter()
            .chain(self.layers.iter().filter(|layer| !elsewhere(layer)))
            .filter(|blob| seen.insert(blob.digest))
            .collect()
    }

    /// Returns the total size in bytes of an image's config and layers (`imageSizeInBytes`), at most [`Manifest::MAX_SIZE`].
    /// An index has size 0.
    pub fn image_size(&self) -> u64 {
        self.config
            .iter()
            .chain(&self.layers)
            .fold(0, |sum: u64, blob| sum.saturating_add(blob.size))
            .min(Manifest::MAX_SIZE)
    }
}

/// Why bytes are not a manifest that Ecru stores. Quotes from the manifest are cut to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    #[error("the manifest is larger than 4194304 bytes")]
    TooLarge,
    #[error("the manifest is not JSON: {0}")]
    Json(String),
    #[error("the manifest's media type is unknown: neither its mediaType nor the request names it")]
    NoMediaType,
    #[error("{0} is not the media type of a manifest")]
    UnsupportedMediaType(String),
    #[error("the manifest says {own}, the request says {given}")]
    MediaTypeMismatch { own: String, given: String },
    #[error("{member}: {reason}")]
    Member { member: String, reason: String },
}

impl InvalidManifest {
    /// Returns the reason as a clause that names the manifest and starts in lower case.
    pub fn clause(&self) -> String {
        match self {
            InvalidManifest::Member { .. } => format!("the manifest's {self}"),
            other => other.to_string(),
        }
    }

    /// True for a manifest of Docker's schema 1, signed or not.
    pub fn is_docker_schema_1(&self) -> bool {
        match self {
            InvalidManifest::UnsupportedMediaType(media_type) => {
                [MediaType::DOCKER_SCHEMA_1, MediaType::DOCKER_SIGNED_SCHEMA_1].contains(&media_type.as_str())
            }
            _ => false,
        }
    }

    fn member(member: impl Into<String>, reason: impl Into<String>) -> InvalidManifest {
        InvalidManifest::Member { member: member.into(), reason: reason.into() }
    }
}

/// The longest quote from a client's text in an error, in characters.
const QUOTE_LENGTH: usize = 100;

/// Makes a client's text fit for an error: control characters become `?`, and the text is cut at [`QUOTE_LENGTH`].
fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String =
        characters.by_ref().take(QUOTE_LENGTH).map(|c| if c.is_control() { '?' } else { c }).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}
