//! OCI types: digests, repository names, tags, media types, manifests and byte ranges.
//!
//! The crate is pure: it does no I/O, reads no clock, and depends on no other crate of the workspace.
//!
//! Sources: OCI image-spec 1.1, OCI distribution-spec 1.1, `ECR.md` 0 and B.

mod digest;
mod manifest;
mod media_type;
mod name;
mod range;

pub use digest::{Algorithm, Digest, Hasher, InvalidDigest, InvalidHashState};
pub use manifest::{Descriptor, InvalidManifest, Manifest, ManifestKind, Platform};
pub use media_type::MediaType;
pub use name::{InvalidName, InvalidTag, Reference, RepositoryName, Tag};
pub use range::{ByteRange, ChunkRange, InvalidRange};
