//! Media types of manifests, configs and layers.

#[cfg(test)]
mod tests;

/// A media type, verbatim as a manifest or a header spells it. To compare two without parameters, use [`MediaType::essence`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MediaType(String);

impl MediaType {
    pub const OCI_MANIFEST: &'static str = "application/vnd.oci.image.manifest.v1+json";
    pub const OCI_INDEX: &'static str = "application/vnd.oci.image.index.v1+json";
    pub const DOCKER_MANIFEST: &'static str = "application/vnd.docker.distribution.manifest.v2+json";
    pub const DOCKER_LIST: &'static str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker's schema 1, which is retired. Ecru refuses it.
    pub const DOCKER_SCHEMA_1: &'static str = "application/vnd.docker.distribution.manifest.v1+json";
    /// The same with a signature in it.
    pub const DOCKER_SIGNED_SCHEMA_1: &'static str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    pub const OCI_EMPTY: &'static str = "application/vnd.oci.empty.v1+json";
    pub const OCTET_STREAM: &'static str = "application/octet-stream";

    /// The types of manifests and indexes that Ecru stores.
    pub const MANIFESTS: [&'static str; 4] =
        [MediaType::OCI_MANIFEST, MediaType::OCI_INDEX, MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST];

    /// The longest media type in a manifest, in bytes: two names of 127 bytes (RFC 6838 4.2), a slash, and as much again for
    /// parameters.
    pub const MAX_LENGTH: usize = 512;

    pub fn new(text: impl Into<String>) -> MediaType {
        MediaType(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    /// Returns `type/subtype` in lower case, without parameters.
    pub fn essence(&self) -> String {
        let end = self.0.find(';').unwrap_or(self.0.len());
        self.0[..end].trim_matches([' ', '\t']).to_ascii_lowercase()
    }

    /// Returns true for `type/subtype` of token characters, with or without parameters (RFC 9110 8.3.1), of at most
    /// [`MediaType::MAX_LENGTH`] bytes.
    ///
    /// AWS refuses parameters (`ECR.md` B.5). Ecru accepts them, because tools such as cosign write them.
    pub fn is_well_formed(&self) -> bool {
        let (essence, parameters) = match self.0.split_once(';') {
            Some((essence, parameters)) => (essence, parameters),
            None => (self.0.as_str(), ""),
        };
        let printable = |c: u8| matches!(c, b'\t' | b' '..=b'~');
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_token);
        self.0.len() <= MediaType::MAX_LENGTH
            && parameters.bytes().all(printable)
            && essence
                .trim_end_matches([' ', '\t'])
                .split_once('/')
                .is_some_and(|(kind, subtype)| is_name(kind) && is_name(subtype))
    }

    /// Returns true for manifests and indexes, false for blobs.
    pub fn is_manifest(&self) -> bool {
        MediaType::MANIFESTS.contains(&self.essence().as_str())
    }

    /// Returns true for a layer whose bytes a registry need not store (OCI image-spec "Non-Distributable Layers", Docker's
    /// foreign layers).
    pub fn is_non_distributable(&self) -> bool {
        let essence = self.essence();
        essence.starts_with("application/vnd.oci.image.layer.nondistributable.")
            || essence.starts_with("application/vnd.docker.image.rootfs.foreign.")
    }
}

/// Returns true for a `tchar` (RFC 9110 5.6.2).
fn is_token(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c)
}
