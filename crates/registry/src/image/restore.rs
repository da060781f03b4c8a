//! Deleted images within their window: what there is, how one comes back, and how one goes for good at once. ECR has nothing of it.

use super::{cursor, stored_digest};
use crate::clock::Time;
use crate::event::{self, Event};
use crate::quota::{Quota, QuotaSubject};
use crate::repository::{self, Page};
use crate::{Cx, Error};
use meta::records::deleted::DeletedImageRow;
use meta::records::image::PushCursor;
use meta::{RepositoryId, Tx};
use oci::{Digest, RepositoryName};
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};

/// A deleted image.
#[derive(Clone, Debug)]
pub struct DeletedImage {
    pub digest: Digest,
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// Bytes of its layers.
    pub size: u64,
    pub pushed_at: Time,
    pub deleted_at: Time,
    /// Until when it can be restored.
    pub until: Time,
    /// The tags that it had.
    pub tags: Vec<String>,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredImages {
    /// The images that came back: the one asked for first, then the images that an index lists, and referrers. Empty if the image was
    /// not deleted.
    pub images: Vec<Digest>,
    /// The tags that name them again.
    pub tags: Vec<String>,
    /// Tags that they had, which name other images now.
    pub taken: Vec<String>,
    /// Images that a restored index lists and that can't be restored, such as purged ones.
    pub missing: Vec<Digest>,
}

/// What a purge did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgedImage {
    /// Bytes of the layers that nothing else references.
    pub freed: u64,
    /// The layers that other images reference, deleted ones included. Their bytes stay.
    pub shared: Vec<Digest>,
}

/// Lists the deleted images of a repository that can still be restored, ordered by digest.
pub async fn list_deleted(
    cx: &Cx,
    name: &RepositoryName,
    after: Option<Vec<u8>>,
    limit: u32,
) -> Result<Page<DeletedImage>, Error> {
    let window = Window::of(cx);
    let after = match after {
        Some(bytes) => cursor::read(&bytes).ok_or_else(cursor::invalid)?,
        None => PushCursor { pushed_at: i64::MIN, digest: Vec::new() },
    };
    let rows = repository::read(cx, name, move |tx, row| {
        let images = tx.deleted_images(row.id, (&after.digest, after.pushed_at), limit.saturating_add(1))?;
        images.into_iter().map(|image| Ok((tx.tag_deleted_list(image.id)?, image))).collect::<Result<Vec<_>, Error>>()
    });
    let page = Page::cut(rows.await?, limit, |(_, image)| {
        cursor::write(&PushCursor { pushed_at: image.deleted_at, digest: image.digest.clone() })
    });
    let lasting = page.items.into_iter().filter(|(_, image)| window.lasts(image));
    let items = lasting.map(|(tags, image)| window.described(image, tags)).collect::<Result<Vec<_>, _>>()?;
    Ok(Page { items, next: page.next })
}

/// Brings a deleted image back, with those of its tags that are free. An index brings the images that it lists, and every image its
/// referrers, if they were deleted too. It counts as activated now. Does nothing if the digest is not deleted.
///
/// # Errors
/// [`Error::ImageNotFound`] if no image of this digest can be restored.
pub async fn restore(cx: &Cx, name: &RepositoryName, digest: &Digest) -> Result<RestoredImages, Error> {
    let window = Window::of(cx);
    let (wanted, missing) = (*digest, super::no_such_digest(cx, name, digest));
    let call = cx.clone();
    let (_, restored) = repository::change(cx, name, move |tx, row| {
        if tx.image_by_digest(row.id, &wanted.to_bytes())?.is_some() {
            return Ok(Some(RestoredImages::default()));
        }
        let mut restored = RestoredImages::default();
        let (mut queue, mut seen) = (VecDeque::from([(wanted.to_bytes(), false)]), BTreeSet::new());
        while let Some((digest, is_child)) = queue.pop_front() {
            if !seen.insert(digest.clone()) || tx.image_by_digest(row.id, &digest)?.is_some() {
                continue;
            }
            let Some(image) = tx.deleted_image(row.id, &digest)?.filter(|image| window.lasts(image)) else {
                if is_child {
                    restored.missing.push(stored_digest(&digest)?);
                }
                continue;
            };
            let tags = bring_back(tx, row.id, &image, window.now, &mut restored)?;
            let detail = json!({ "deletedAt": image.deleted_at, "tags": tags });
            let event = Event::new(&call, "image.restore", Some(row.id));
            event::record(tx, Event { digest: Some(stored_digest(&digest)?), detail, ..event })?;
            queue.extend(tx.deleted_image_children(image.id)?.into_iter().map(|child| (child, true)));
            queue.extend(tx.deleted_referrers(row.id, &digest)?.into_iter().map(|referrer| (referrer, false)));
        }
        Ok((!restored.images.is_empty()).then_some(restored))
    })
    .await?;
    // A restore is not refused by the quota of images, but counts.
    let subject = QuotaSubject::Images { registry: cx.registry.clone(), repository: name.clone() };
    Quota::of(cx).forget(&subject);
    restored.ok_or(missing)
}

/// Brings one image back. Returns the tags that name it again.
fn bring_back(
    tx: &mut Tx<'_>,
    repository: RepositoryId,
    image: &DeletedImageRow,
    now: Time,
    restored: &mut RestoredImages,
) -> Result<Vec<String>, Error> {
    let mut tags = Vec::new();
    for tag in tx.tag_deleted_list(image.id)? {
        if tx.image_by_tag(repository, &tag)?.is_some() {
            restored.taken.push(tag);
        } else {
            tx.tag_put(repository, &tag, image.id, now.0, None)?;
            tags.push(tag);
        }
    }
    let count = i64::try_from(tags.len()).unwrap_or(i64::MAX);
    tx.deleted_image_restore(repository, image.id, count, now.0)?;
    tx.tag_deleted_forget(image.id)?;
    restored.images.push(stored_digest(&image.digest)?);
    restored.tags.extend(tags.iter().cloned());
    Ok(tags)
}

/// Ends the window of a deleted image at once: it can't be restored any more. The grace of layers that nothing else references begins.
///
/// # Errors
/// [`Error::ImageNotFound`] if no deleted image has this digest, also if an image that is not deleted has it.
pub async fn purge(cx: &Cx, name: &RepositoryName, digest: &Digest) -> Result<PurgedImage, Error> {
    let now = cx.now();
    let (wanted, missing) = (*digest, super::no_such_digest(cx, name, digest));
    let event = Event::new(cx, "image.purge", None);
    let (_, purged) = repository::change_to_free(cx, name, move |tx, row| {
        let mut purged: Option<PurgedImage> = None;
        // The digest may have been deleted several times.
        while let Some(image) = tx.deleted_image(row.id, &wanted.to_bytes())? {
            let purged = purged.get_or_insert(PurgedImage { freed: 0, shared: Vec::new() });
            let layers = tx.deleted_image_layers(image.id)?;
            tx.collect_image(image.id, now.0)?;
            let digests = layers.iter().filter(|layer| layer.is_shared).map(|layer| stored_digest(&layer.digest));
            purged.shared = digests.collect::<Result<_, _>>()?;
            let own = layers.iter().filter(|layer| !layer.is_shared).map(|layer| layer.size);
            purged.freed += u64::try_from(own.sum::<i64>()).unwrap_or(0);
        }
        if purged.is_some() {
            event::record(tx, Event { repository: Some(row.id), digest: Some(wanted), ..event.clone() })?;
        }
        Ok(purged)
    })
    .await?;
    purged.ok_or(missing)
}

/// The window in which deleted images can be restored, at one moment.
#[derive(Clone, Copy)]
struct Window {
    now: Time,
    length: std::time::Duration,
}

impl Window {
    fn of(cx: &Cx) -> Window {
        Window { now: cx.now(), length: cx.limits.undelete_window }
    }

    fn until(self, image: &DeletedImageRow) -> Time {
        Time(image.deleted_at).plus(self.length)
    }

    fn lasts(self, image: &DeletedImageRow) -> bool {
        self.now < self.until(image)
    }

    fn described(self, image: DeletedImageRow, tags: Vec<String>) -> Result<DeletedImage, Error> {
        Ok(DeletedImage {
            digest: stored_digest(&image.digest)?,
            until: self.until(&image),
            media_type: image.media_type,
            artifact_type: image.artifact_type,
            size: u64::try_from(image.image_size).unwrap_or(0),
            pushed_at: Time(image.pushed_at),
            deleted_at: Time(image.deleted_at),
            tags,
        })
    }
}
