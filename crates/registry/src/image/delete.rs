//! Deletes tags and images (`ECR.md` A.3 BatchDeleteImage). There is no other way to delete an image.

use super::{ImageFailure, ImageFailureCode, ImageRef, digest_of, distinct, find};
use crate::event::{self, Event};
use crate::quota::{Quota, QuotaSubject};
use crate::{Cx, Error};
use meta::RepositoryId;
use meta::Tx;
use meta::records::image::ImageRow;
use oci::{Digest, RepositoryName};
use serde_json::json;

/// The most indexes that a refusal names.
const MAX_PARENTS: u32 = 100;

/// Deletes tags and images. Returns the deleted ids and the failures.
///
/// An id with a tag deletes the tag, and the image with its last tag. An id with a digest deletes the image and all of its tags. An id
/// with both deletes only that tag. An image is not deleted while an index lists it. The order within one call does not matter.
pub async fn delete_batch(
    cx: &Cx,
    name: &RepositoryName,
    ids: Vec<ImageRef>,
) -> Result<(Vec<ImageRef>, Vec<ImageFailure>), Error> {
    let ids = distinct(ids);
    let registry = cx.registry.key();
    let text = name.to_string();
    let call = cx.clone();
    let outcome = cx
        .db
        .write_to_free(move |tx| {
            let Some(repository) = tx.repository_by_name(&registry, &text)? else { return Ok::<_, Error>(None) };
            let mut deletion = Deletion { cx: &call, repository: repository.id, images: 0 };
            let (deleted, failures) = deletion.all(tx, ids.clone())?;
            Ok(Some((deleted, failures, deletion.images)))
        })
        .await?;
    let (deleted, failures, images) = outcome.ok_or_else(|| crate::repository::not_found(cx, name))?;
    let subject = QuotaSubject::Images { registry: cx.registry.clone(), repository: name.clone() };
    Quota::of(cx).deleted(&subject, images);
    Ok((deleted, failures))
}

struct Deletion<'a> {
    cx: &'a Cx,
    repository: RepositoryId,
    /// The number of deleted images.
    images: u64,
}

impl Deletion<'_> {
    /// Repeats over the blocked ids as long as a pass deletes something, because an image can be deleted only after the indexes that list
    /// it.
    fn all(&mut self, tx: &mut Tx<'_>, mut wanted: Vec<ImageRef>) -> Result<(Vec<ImageRef>, Vec<ImageFailure>), Error> {
        let mut deleted = Vec::new();
        let mut failures = Vec::new();
        loop {
            let before = deleted.len();
            let mut blocked: Vec<ImageFailure> = Vec::new();
            for id in wanted {
                match self.one(tx, &id)? {
                    Ok(gone) => deleted.extend(gone),
                    Err(failure) if failure.code == ImageFailureCode::ImageReferencedByManifestList => {
                        blocked.push(failure)
                    }
                    Err(failure) => failures.push(failure),
                }
            }
            if blocked.is_empty() || deleted.len() == before {
                failures.extend(blocked);
                return Ok((deleted, failures));
            }
            wanted = blocked.into_iter().map(|failure| failure.id).collect();
        }
    }

    fn one(&mut self, tx: &mut Tx<'_>, id: &ImageRef) -> Result<Result<Vec<ImageRef>, ImageFailure>, Error> {
        let row = match find(tx, self.repository, id)? {
            Ok(row) => row,
            Err(failure) => return Ok(Err(failure)),
        };
        let digest = digest_of(&row)?;
        // A tag that is not the last one goes alone.
        let last = row.tag_count <= 1;
        if let Some(tag) = id.tag.as_ref().filter(|_| !last) {
            tx.tag_delete(self.repository, tag)?;
            tx.image_add_tags(row.id, -1)?;
            self.record(tx, &row, Some(tag), false)?;
            return Ok(Ok(vec![ImageRef { digest: Some(digest.to_string()), tag: Some(tag.clone()) }]));
        }
        // An image that an index lists stays.
        let parents = tx.image_parents(self.repository, &row.digest, MAX_PARENTS)?;
        if !parents.is_empty() {
            return Ok(Err(ImageFailure {
                id: id.clone(),
                code: ImageFailureCode::ImageReferencedByManifestList,
                reason: referenced_by(&parents)?,
            }));
        }
        // Delete the image and all of its tags, with an event for each.
        let tags = tx.tag_of_image(row.id)?;
        tx.image_delete(row.id, self.cx.now().0)?;
        self.images += 1;
        let tags: Vec<Option<String>> = if tags.is_empty() { vec![None] } else { tags.into_iter().map(Some).collect() };
        for tag in &tags {
            self.record(tx, &row, tag.as_deref(), true)?;
        }
        let gone = tags.into_iter().map(|tag| ImageRef { digest: Some(digest.to_string()), tag });
        Ok(Ok(gone.collect()))
    }

    fn record(&self, tx: &mut Tx<'_>, row: &ImageRow, tag: Option<&str>, with_image: bool) -> Result<(), Error> {
        let event = Event {
            digest: Some(digest_of(row)?),
            tag: tag.map(str::to_owned),
            detail: json!({ "imageDeleted": with_image, "mediaType": row.media_type }),
            ..Event::new(self.cx, "image.delete", Some(self.repository))
        };
        event::record(tx, event)?;
        Ok(())
    }
}

/// Returns the text of `ECR.md` A.3 BatchDeleteImage.
fn referenced_by(parents: &[Vec<u8>]) -> Result<String, Error> {
    let digests: Result<Vec<String>, _> =
        parents.iter().map(|bytes| Digest::from_bytes(bytes).map(|digest| digest.to_string())).collect();
    Ok(format!("Requested image referenced by manifest list: [{}]", digests.map_err(Error::server)?.join(", ")))
}
