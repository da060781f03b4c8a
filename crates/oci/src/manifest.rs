//! Manifests and indexes: read leniently, kept as the bytes that came.

mod check;
mod descriptor;
mod object;
mod parse;
#[cfg(test)]
mod tests;

use crate::{Digest, MediaType};
use std::collections::{BTreeMap, HashSet};

/// What a manifest says of itself, read once from its bytes. The bytes themselves stay the truth and are never re-serialized.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub kind: ManifestKind,
    /// The type under which it is stored, without parameters: its own `mediaType`, else the one that came with it (Content-Type or `imageManifestMediaType`).
    pub media_type: MediaType,
    /// The config of an image manifest; `None` for an index.
    pub config: Option<Descriptor>,
    /// The layers of an image manifest.
    pub layers: Vec<Descriptor>,
    /// The children of an index.
    pub manifests: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    /// `artifactType` as the manifest states it; an empty one counts as absent (OCI distribution-spec "Listing Referrers").
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
    /// Bytes.
    pub size: u64,
    pub urls: Vec<String>,
    pub annotations: BTreeMap<String, String>,
    pub artifact_type: Option<String>,
    pub platform: Option<Platform>,
}

/// What an image runs on (OCI image-spec "Image Index"); members that are missing are empty.
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
    /// The most JSON values in one manifest, which bounds the memory that reading takes; an index of the largest size, full of the smallest descriptors, has about 150,000.
    pub const MAX_VALUES: usize = Manifest::MAX_BYTES / 16;
    /// The largest size in bytes that a descriptor may state; OCI defines it as int64.
    pub const MAX_SIZE: u64 = i64::MAX as u64;

    /// Reads a manifest. `given` is the media type that came beside it; parameters of it are ignored, and an empty one is none.
    ///
    /// Refuses: bytes that are not UTF-8 JSON with one object and nothing behind it, duplicate keys at any level,
    /// nesting deeper than 64, a `schemaVersion` other than 2, a type that is no manifest's, `mediaType` and `given` that
    /// contradict each other, a body whose members contradict its type (`layers` in an index, `manifests` in an image: the
    /// "ambiguous manifest" attack, GHSA-mc8v-mgrf-8f4m), members that differ from known ones in case alone (which Go's
    /// clients would read as those), descriptors without mediaType, digest or size, negative sizes.
    ///
    /// Docker's schema 1 is retired and OCI's artifact manifest was withdrawn: both are [`InvalidManifest::UnsupportedMediaType`].
    /// Unknown members are ignored, and a known one that is `null` counts as absent. An absent `layers` or `manifests` is an
    /// empty list; an image's `config` is required.
    pub fn parse(bytes: &[u8], given: Option<&str>) -> Result<Manifest, InvalidManifest> {
        parse::manifest(bytes, given)
    }

    /// The artifact type that referrers lists show: `artifactType`, else the config's media type (OCI distribution-spec "Listing Referrers").
    pub fn referrer_artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| self.config.as_ref().map(|c| c.media_type.as_str()))
    }

    /// Every blob that must be present: the config and the layers, without non-distributable ones that have `urls`; each digest once, in order.
    pub fn required_blobs(&self) -> Vec<&Descriptor> {
        let elsewhere = |d: &Descriptor| d.media_type.is_non_distributable() && !d.urls.is_empty();
        let mut seen = HashSet::new();
        self.config
            .iter()
            .chain(self.layers.iter().filter(|layer| !elsewhere(layer)))
            .filter(|blob| seen.insert(blob.digest))
            .collect()
    }

    /// The sum in bytes of config and layers of an image (`imageSizeInBytes`); 0 for an index. Never over [`Manifest::MAX_SIZE`].
    pub fn image_size(&self) -> u64 {
        self.config
            .iter()
            .chain(&self.layers)
            .fold(0, |sum: u64, blob| sum.saturating_add(blob.size))
            .min(Manifest::MAX_SIZE)
    }
}

/// Why bytes are not a manifest that can be stored. What it quotes of the manifest is cut to a line's length.
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
    /// The reason as a clause that stands alone: it names the manifest, and begins in lower case.
    pub fn clause(&self) -> String {
        match self {
            InvalidManifest::Member { .. } => format!("the manifest's {self}"),
            other => other.to_string(),
        }
    }

    fn member(member: impl Into<String>, reason: impl Into<String>) -> InvalidManifest {
        InvalidManifest::Member { member: member.into(), reason: reason.into() }
    }
}

/// The longest piece of a client's text that an error repeats, in characters.
const QUOTE_LENGTH: usize = 100;

/// A client's text as an error may show it: in one line, without control characters, cut at [`QUOTE_LENGTH`].
fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String =
        characters.by_ref().take(QUOTE_LENGTH).map(|c| if c.is_control() { '?' } else { c }).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}
