//! The contents of a manifest that is pushed: its layers and, for an index, its entries. They must be in the repository.

use super::Put;
use crate::quirks::Behaviour;
use crate::{Error, LayersNotFoundBy};
use meta::records;
use meta::{LayerId, PendingRow, RepositoryId, Tx};
use oci::Descriptor;

/// The entries of an index.
#[derive(Default)]
pub(super) struct Children<'a> {
    /// The images, including missing ones, which a sparse index may have.
    pub(super) images: Vec<&'a Descriptor>,
    /// The layers that the index lists directly, with their records.
    pub(super) layers: Vec<(&'a Descriptor, LayerId)>,
    /// The digests of entries that are neither an image nor a layer in the repository.
    pub(super) missing: Vec<String>,
    /// The size in bytes for DescribeImages.
    pub(super) size: i64,
}

impl Put {
    /// Returns the records of all layers in the manifest, or the error that names the missing ones.
    pub(super) fn all_found<'a>(
        &self,
        tx: &mut Tx<'_>,
        asked: Vec<(&'a Descriptor, PendingRow<LayerId>)>,
    ) -> Result<Vec<(&'a Descriptor, LayerId)>, Error> {
        let mut found = Vec::with_capacity(asked.len());
        let mut missing = Vec::new();
        for (blob, asked) in asked {
            match tx.answer(asked)? {
                Some(layer) => found.push((blob, layer)),
                None => missing.push(blob.digest.to_string()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        Err(self.layers_not_found(&missing))
    }

    pub(super) fn layers_not_found(&self, missing: &[String]) -> Error {
        Error::LayersNotFound {
            by: LayersNotFoundBy::Manifest,
            digests: digests(missing),
            name: self.name.clone(),
            account: self.registry.account.clone(),
        }
    }

    /// Finds the entries of an index in the repository.
    pub(super) fn find_children(&self, tx: &mut Tx<'_>, repository: RepositoryId) -> Result<Children<'_>, Error> {
        let mut found = Children::default();
        let (mut largest, mut layers) = (0, 0_i64);
        let listed: Vec<Vec<u8>> = self.manifest.manifests.iter().map(|child| child.digest.to_bytes()).collect();
        let images = tx.images_by_digest(repository, &listed)?;
        for (child, image) in self.manifest.manifests.iter().zip(images) {
            if let Some(image) = image {
                largest = largest.max(image.image_size);
            } else if let Some(layer) = self.listed_layer(tx, repository, child)? {
                layers = layers.saturating_add(i64::try_from(child.size).unwrap_or(i64::MAX));
                found.layers.push((child, layer));
                continue;
            } else {
                found.missing.push(child.digest.to_string());
            }
            found.images.push(child);
        }
        // The size of an index is the size of its largest image (ECR.md A.3 DescribeImages). Layers that it lists directly count as one image.
        found.size = largest.max(layers);
        Ok(found)
    }

    /// Fails if an entry of the index is missing, unless sparse indexes are allowed.
    pub(super) fn none_missing(&self, children: &Children<'_>) -> Result<(), Error> {
        if children.missing.is_empty() || self.sparse_index == Behaviour::Fixed {
            return Ok(());
        }
        Err(Error::ReferencedImagesNotFound {
            digests: digests(&children.missing),
            name: self.name.clone(),
            account: self.registry.account.clone(),
        })
    }

    /// Finds the layer of an index's entry. `BuildKit` writes indexes that list the layers of a cache and its config.
    fn listed_layer(
        &self,
        tx: &mut Tx<'_>,
        repository: RepositoryId,
        entry: &Descriptor,
    ) -> Result<Option<LayerId>, Error> {
        if self.layer_index == Behaviour::Faithful || entry.media_type.is_manifest() {
            return Ok(None);
        }
        Ok(tx.look_up(records::image::layer_named(repository, &entry.digest.to_bytes()))?)
    }
}

/// Formats digests for a message: the first hundred, and the number of the others.
fn digests(all: &[String]) -> String {
    const MAX: usize = 100;
    match all.get(..MAX) {
        Some(some) if all.len() > MAX => format!("{}, and {} more", some.join(", "), all.len() - MAX),
        _ => all.join(", "),
    }
}
