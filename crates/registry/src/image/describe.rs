//! Describes images (`ECR.md` A.3 DescribeImages).

use super::pull_times::PullTimes;
use super::{ImageDetail, ImageFailureCode, ImageRef, StatusFilter, TagStatus, cursor, digest_of, find, is_index};
use crate::clock::Time;
use crate::repository::{Page, read};
use crate::{Constraint, Cx, Error};
use meta::Tx;
use meta::records::image::{ImageRow, PushCursor, Tagged};
use oci::{Digest, RepositoryName};

/// The most tags of all images in one answer. An image may have a thousand.
pub const ANSWER_TAGS: i64 = 10_000;

/// An image with its tags and its last recorded pull.
struct Described {
    image: ImageRow,
    pulled_at: Option<i64>,
    tags: Vec<String>,
}

/// Describes images without ids, ordered by push time, then by digest. A page may be shorter than `limit` even if more follow.
pub async fn describe(
    cx: &Cx,
    name: &RepositoryName,
    tags: TagStatus,
    status: StatusFilter,
    after: Option<Vec<u8>>,
    limit: u32,
) -> Result<Page<ImageDetail>, Error> {
    let after = match &after {
        None => PushCursor::START,
        Some(bytes) => cursor::read(bytes).ok_or_else(cursor::invalid)?,
    };
    let tagged = match tags {
        TagStatus::Any => Tagged::Any,
        TagStatus::Tagged => Tagged::Tagged,
        TagStatus::Untagged => Tagged::Untagged,
    };
    // Wait for queued pull times, so that a client sees its own pulls.
    // The times of pulls are written in the background: wait for those of earlier pulls.
    PullTimes::of(cx).written().await;
    let described = read(cx, name, move |tx, row| {
        if !status.selects_active() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let images = tx.image_page(row.id, tagged, &after, limit.saturating_add(1))?;
        let page = cut(images, limit);
        let described = page.items.into_iter().map(|image| with_tags(tx, image)).collect::<Result<_, Error>>()?;
        Ok(Page { items: described, next: page.next })
    })
    .await?;
    Ok(Page { items: described.items.into_iter().map(detail).collect::<Result<_, _>>()?, next: described.next })
}

/// Cuts a page to `limit` images with at most [`ANSWER_TAGS`] tags in total, but at least one image.
fn cut(images: Vec<ImageRow>, limit: u32) -> Page<ImageRow> {
    let mut tags: i64 = 0;
    let fits = images.iter().take_while(|image| {
        // Count the tags before they are read.
        tags = tags.saturating_add(image.tag_count);
        tags <= ANSWER_TAGS
    });
    let fits = u32::try_from(fits.count().max(1)).unwrap_or(u32::MAX);
    Page::cut(images, limit.min(fits), |image| {
        cursor::write(&PushCursor { pushed_at: image.pushed_at, digest: image.digest.clone() })
    })
}

fn with_tags(tx: &mut Tx<'_>, image: ImageRow) -> Result<Described, Error> {
    let tags = if image.tag_count > 0 { tx.tag_of_image(image.id)? } else { Vec::new() };
    Ok(Described { pulled_at: tx.image_pull_get(image.id)?, tags, image })
}

fn is_missing(code: ImageFailureCode) -> bool {
    matches!(code, ImageFailureCode::ImageNotFound | ImageFailureCode::ImageTagDoesNotMatchDigest)
}

/// Describes the images with some ids: a detail for each distinct digest. Fails if one of them is missing. Fails with an invalid
/// parameter if the images have more than [`ANSWER_TAGS`] tags in total, because such a call has no pages.
pub async fn describe_batch(cx: &Cx, name: &RepositoryName, ids: Vec<ImageRef>) -> Result<Vec<ImageDetail>, Error> {
    let account = cx.registry.account.to_string();
    let repository_name = name.to_string();
    PullTimes::of(cx).written().await;
    let described = read(cx, name, move |tx, row| {
        let mut described: Vec<Described> = Vec::new();
        let mut tags: i64 = 0;
        for id in &ids {
            // An image that is missing fails the call.
            let image = match find(tx, row.id, id)? {
                Ok(image) => image,
                Err(failure) if is_missing(failure.code) => {
                    return Err(Error::ImageNotFound {
                        digest: id.digest.clone().unwrap_or_else(|| "null".to_owned()),
                        tag: id.tag.clone().unwrap_or_else(|| "null".to_owned()),
                        name: repository_name.clone(),
                        account: account.clone(),
                    });
                }
                Err(failure) => return Err(Error::invalid("imageIds", Constraint::Text(failure.reason.into()))),
            };
            // Several ids may name one image.
            if described.iter().any(|known| known.image.id == image.id) {
                continue;
            }
            tags = tags.saturating_add(image.tag_count);
            if tags > ANSWER_TAGS {
                let told =
                    format!("The images have more than {ANSWER_TAGS} tags together; name fewer images in a call");
                return Err(Error::invalid("imageIds", Constraint::Text(told.into())));
            }
            described.push(with_tags(tx, image)?);
        }
        Ok(described)
    })
    .await?;
    described.into_iter().map(detail).collect()
}

fn detail(described: Described) -> Result<ImageDetail, Error> {
    let image = described.image;
    let subject = image.subject.as_deref().map(Digest::from_bytes).transpose().map_err(Error::server)?;
    Ok(ImageDetail {
        digest: digest_of(&image)?,
        tags: described.tags,
        size: u64::try_from(image.image_size).unwrap_or(0),
        pushed_at: Time(image.pushed_at),
        pulled_at: described.pulled_at.map(Time),
        artifact_media_type: image.artifact_type.filter(|_| !is_index(&image.media_type)),
        media_type: image.media_type,
        subject,
        status: "ACTIVE",
    })
}
