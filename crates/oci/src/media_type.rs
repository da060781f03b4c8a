//! Media types of manifests and what is in them.

/// A media type as a manifest or a header spells it. Kept verbatim; compared without parameters by [`MediaType::essence`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType(String);

impl MediaType {
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    pub const DOCKER_MANIFEST: &'static str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_LIST: &'static str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub const OCI_EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    pub const OCTET_STREAM: &'static str = "application/octet-stream";

    pub fn new(text: impl Into<String>) -> MediaType { MediaType(text.into()) }
    pub fn as_str(&self) -> &str { &self.0 }
    /// `type/subtype` in lower case, without parameters.
    pub fn essence(&self) -> String { todo!() }
    /// True for a layer whose bytes a registry need not hold (OCI image-spec "Non-Distributable Layers", Docker's foreign layers).
    pub fn is_non_distributable(&self) -> bool { todo!() }
}
