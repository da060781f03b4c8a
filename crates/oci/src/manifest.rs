//! Manifests and indexes: read leniently, kept as the bytes that came.
use crate::{Digest, MediaType};
use std::collections::BTreeMap;

/// What a manifest says of itself, read once from its bytes. The bytes themselves stay the truth and are never re-serialized.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub kind: ManifestKind,
    /// The type under which it is stored: its own `mediaType`, else the one that came with it (Content-Type or `imageManifestMediaType`).
    pub media_type: MediaType,
    /// The config of an image manifest; `None` for an index.
    pub config: Option<Descriptor>,
    /// The layers of an image manifest.
    pub layers: Vec<Descriptor>,
    /// The children of an index.
    pub manifests: Vec<Descriptor>,
    pub subject: Option<Descriptor>,
    /// `artifactType` as the manifest states it.
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

    /// Reads a manifest. `given` is the media type that came beside it.
    ///
    /// Refuses: bytes that are not UTF-8 JSON with one object and nothing behind it, duplicate keys at any level,
    /// nesting deeper than 64, a `schemaVersion` other than 2, a type that is no manifest's, `mediaType` and `given` that
    /// contradict each other, a body whose members contradict its type (`layers` in an index, `manifests` in an image: the
    /// "ambiguous manifest" attack, GHSA-mc8v-mgrf-8f4m), descriptors without mediaType, digest or size, negative sizes.
    pub fn parse(_bytes: &[u8], _given: Option<&str>) -> Result<Manifest, InvalidManifest> { todo!() }

    /// The artifact type that referrers lists show: `artifactType`, else the config's media type (OCI distribution-spec "Listing Referrers").
    pub fn referrer_artifact_type(&self) -> Option<&str> { todo!() }

    /// Every blob that must be present: the config and the layers, without non-distributable ones that have `urls`; each digest once, in order.
    pub fn required_blobs(&self) -> Vec<&Descriptor> { todo!() }

    /// The sum in bytes of config and layers of an image (`imageSizeInBytes`); 0 for an index.
    pub fn image_size(&self) -> u64 { todo!() }
}

/// Why bytes are not a manifest that can be stored.
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
