//! Where images come from.

use super::TransferError;
use super::content::{self, Check, Content};
use super::files::FileSource;
use super::registry::{Registry, Stored};
use oci::{Descriptor, Digest};

/// Gives manifests and blobs. What it gives is checked against the digests that were asked for.
pub enum Source {
    Registry(Box<Registry>),
    Files(Box<FileSource>),
}

impl Source {
    /// For messages.
    pub fn display(&self) -> String {
        match self {
            Source::Registry(registry) => registry.display(),
            Source::Files(files) => files.display(),
        }
    }

    /// A manifest by its digest.
    pub async fn manifest(&self, digest: &Digest) -> Result<Stored, TransferError> {
        let found = match self {
            Source::Registry(registry) => registry.manifest(&digest.to_string()).await?,
            Source::Files(files) => files.manifest(digest)?,
        };
        found.ok_or_else(|| TransferError::Missing { from: self.display(), what: format!("manifest {digest}") })
    }

    /// The bytes of a blob from `offset` on, which end with an error where they are not the blob's.
    pub async fn blob(&self, blob: &Descriptor, offset: u64) -> Result<Content, TransferError> {
        let content = match self {
            Source::Registry(registry) => registry.blob(&blob.digest, offset).await?,
            Source::Files(files) => files.blob(&blob.digest, offset)?,
        };
        let what = format!("the layer {} of {}", blob.digest, self.display());
        Ok(Check { what, digest: blob.digest, size: blob.size, offset }.on(content))
    }

    /// A small blob as a whole, such as a configuration. Fails beyond `limit` bytes.
    pub async fn small_blob(&self, blob: &Descriptor, limit: usize) -> Result<bytes::Bytes, TransferError> {
        content::collect(self.blob(blob, 0).await?, limit, &format!("{} of {}", blob.digest, self.display())).await
    }

    /// The digest that a tag holds.
    pub async fn tagged(&self, tag: &str) -> Result<Option<Digest>, TransferError> {
        match self {
            Source::Registry(registry) => registry.digest_of(tag).await,
            Source::Files(files) => {
                let image =
                    files.images.iter().find(|image| image.tag.as_ref().is_some_and(|held| held.as_str() == tag));
                Ok(image.map(|image| image.digest))
            }
        }
    }

    /// Who refers to a manifest.
    pub async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, TransferError> {
        match self {
            Source::Registry(registry) => registry.referrers(subject).await,
            Source::Files(files) => Ok(files.referrers.get(subject).cloned().unwrap_or_default()),
        }
    }
}
