//! Where images go: our registry, an OCI layout in a directory, or an archive that `docker load` takes.

mod archive;
mod index;
mod layout;
mod ours;

pub use archive::ArchiveSink;
pub use layout::LayoutSink;
pub use ours::OurSink;

use super::TransferError;
use super::progress::Progress;
use super::registry::Stored;
use super::source::Source;
use oci::{Descriptor, Digest, Manifest, Tag};

/// What a manifest is in the place that it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Part of an index.
    Child,
    /// What the tag holds.
    Tagged(&'a Tag),
    /// Asked for by digest, or a referrer.
    Untagged,
}

/// How a blob came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was there before.
    Here,
    /// The registry had it in another repository.
    Mounted,
    Copied,
}

/// Stores manifests and blobs; a manifest only after all below it.
pub enum Sink {
    Ours(Box<OurSink>),
    Layout(LayoutSink),
    Archive(Box<ArchiveSink>),
}

impl Sink {
    /// Blobs at most that are stored at once.
    pub fn parallel(&self) -> usize {
        match self {
            Sink::Ours(_) | Sink::Layout(_) => 4,
            // A tar archive is written from its start to its end.
            Sink::Archive(_) => 1,
        }
    }

    /// A manifest that is there with everything below it.
    pub async fn manifest(&self, digest: &Digest) -> Result<Option<Stored>, TransferError> {
        match self {
            Sink::Ours(ours) => ours.registry.manifest(&digest.to_string()).await,
            Sink::Layout(layout) => layout.manifest(digest),
            Sink::Archive(archive) => Ok(archive.manifest(digest)),
        }
    }

    /// Whether a manifest already is what it shall be there.
    pub async fn holds(&self, digest: &Digest, role: Role<'_>) -> Result<bool, TransferError> {
        match (self, role) {
            (Sink::Ours(ours), Role::Tagged(tag)) => Ok(ours.registry.digest_of(tag.as_str()).await? == Some(*digest)),
            (Sink::Ours(ours), _) => Ok(ours.registry.digest_of(&digest.to_string()).await?.is_some()),
            (Sink::Layout(layout), role) => layout.holds(digest, role),
            (Sink::Archive(archive), role) => Ok(archive.holds(digest, role)),
        }
    }

    /// Finds out which of some blobs need not be fetched.
    pub async fn prepare(&self, blobs: &[&Descriptor]) -> Result<(), TransferError> {
        match self {
            Sink::Ours(ours) => ours.prepare(blobs).await,
            Sink::Layout(_) | Sink::Archive(_) => Ok(()),
        }
    }

    /// Stores a blob, unless it is there.
    pub async fn blob(
        &self,
        source: &Source,
        blob: &Descriptor,
        progress: &Progress,
    ) -> Result<BlobOutcome, TransferError> {
        match self {
            Sink::Ours(ours) => ours.blob(source, blob, progress).await,
            Sink::Layout(layout) => layout.blob(source, blob, progress).await,
            Sink::Archive(archive) => archive.blob(source, blob, progress).await,
        }
    }

    /// Stores a manifest.
    pub async fn put(&self, stored: &Stored, parsed: &Manifest, role: Role<'_>) -> Result<(), TransferError> {
        match (self, role) {
            (Sink::Ours(ours), Role::Tagged(tag)) => ours.registry.put_manifest(tag.as_str(), stored).await,
            (Sink::Ours(ours), _) => ours.registry.put_manifest(&stored.digest.to_string(), stored).await,
            (Sink::Layout(layout), role) => layout.put(stored, parsed, role),
            (Sink::Archive(archive), role) => archive.put(stored, parsed, role),
        }
    }

    /// Writes what stands at the end, after the last image.
    pub fn finish(self) -> Result<(), TransferError> {
        match self {
            Sink::Ours(_) => Ok(()),
            Sink::Layout(layout) => layout.finish(),
            Sink::Archive(archive) => archive.finish(),
        }
    }
}
