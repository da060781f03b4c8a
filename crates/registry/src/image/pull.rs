//! Reads images with their manifests, and records the time of their last pull (`ECR.md` A.3 BatchGetImage, B.5, K.2).

use super::pull_times::PullTimes;
use super::{ImageFailure, ImageHead, ImageRef, PulledImage, digest_of, distinct, find, stored_digest};
use crate::repository::{not_found, read};
use crate::{Cx, Error};
use meta::ImageId;
use meta::records::RegistryKey;
use meta::records::image::{self, ImageName, ImageRow};
use meta::{Lookup, Tx};
use oci::{Reference, RepositoryName};
use std::time::Duration;

/// A pull is recorded only if the last recorded one is older than this, so that pulls rarely write.
const PULL_RECORD_INTERVAL: Duration = Duration::from_secs(3600);

/// An image that a pull has read.
struct Found {
    image: PulledImage,
    id: ImageId,
    pulled_at: Option<i64>,
}

fn load(tx: &mut Tx<'_>, row: &ImageRow, tag: Option<String>) -> Result<Found, Error> {
    let manifest =
        tx.manifest_to_pull(row.id)?.ok_or_else(|| Error::server(std::io::Error::other("an image has no manifest")))?;
    let (digest, media_type) = (digest_of(row)?, row.media_type.clone());
    let image = PulledImage { digest, tag, media_type, manifest: manifest.bytes };
    Ok(Found { image, id: row.id, pulled_at: manifest.pulled_at })
}

/// Returns an image's digest, type and size, for a HEAD of the docker door. It does not count as a pull.
///
/// Returns `None` if there is no such image. Fails with [`Error::RepositoryNotFound`] if the repository does not exist.
pub async fn head(cx: &Cx, name: &RepositoryName, reference: &Reference) -> Result<Option<ImageHead>, Error> {
    let Some(row) = find_for_pull(cx, name, reference, image::head_named).await? else { return Ok(None) };
    let size = u64::try_from(row.manifest_size).unwrap_or(0);
    Ok(Some(ImageHead { digest: stored_digest(&row.digest)?, media_type: row.media_type, size }))
}

/// Returns an image for the docker door, and counts a pull. Missing images and repositories are as in [`head`].
pub async fn pull(cx: &Cx, name: &RepositoryName, reference: &Reference) -> Result<Option<PulledImage>, Error> {
    let tag = match reference {
        Reference::Tag(tag) => Some(tag.to_string()),
        Reference::Digest(_) => None,
    };
    let Some(row) = find_for_pull(cx, name, reference, image::pull_named).await? else { return Ok(None) };
    let (digest, media_type) = (stored_digest(&row.digest)?, row.media_type);
    let image = PulledImage { digest, tag, media_type, manifest: row.manifest };
    let found = Found { image, id: row.id, pulled_at: row.pulled_at };
    record(cx, std::slice::from_ref(&found));
    Ok(Some(found.image))
}

/// Finds an image by its tag or digest, with what `lookup` reads of it. [`Error::RepositoryNotFound`] without its repository.
async fn find_for_pull<T>(
    cx: &Cx,
    name: &RepositoryName,
    reference: &Reference,
    lookup: fn(&RegistryKey, &str, ImageName<'_>) -> Lookup<Option<T>>,
) -> Result<Option<T>, Error> {
    let registry = cx.registry.key();
    let lookup = match reference {
        Reference::Tag(tag) => lookup(&registry, name.as_str(), ImageName::Tag(tag.as_str())),
        Reference::Digest(digest) => lookup(&registry, name.as_str(), ImageName::Digest(&digest.to_bytes())),
    };
    cx.db.look_up(lookup).await?.ok_or_else(|| not_found(cx, name))
}

/// Returns the images of a batch, one for each id that was found, and counts a pull of each.
///
/// An image that is requested by tag is not found if its type is not in `accepted`, because manifests are not converted. By digest any
/// type is accepted.
pub async fn get_batch(
    cx: &Cx,
    name: &RepositoryName,
    ids: Vec<ImageRef>,
    accepted: Option<Vec<String>>,
) -> Result<(Vec<PulledImage>, Vec<ImageFailure>), Error> {
    let ids = distinct(ids);
    let (found, failures) = read(cx, name, move |tx, row| {
        let mut found = Vec::new();
        let mut failures = Vec::new();
        for id in &ids {
            let acceptable = |row: &ImageRow| {
                id.digest.is_some() || accepted.as_ref().is_none_or(|accepted| accepted.contains(&row.media_type))
            };
            match find(tx, row.id, id)? {
                Ok(image) if acceptable(&image) => found.push(load(tx, &image, id.tag.clone())?),
                Ok(_) => failures.push(ImageFailure::not_found(id)),
                Err(failure) => failures.push(failure),
            }
        }
        Ok((found, failures))
    })
    .await?;
    record(cx, &found);
    Ok((found.into_iter().map(|found| found.image).collect(), failures))
}

/// Queues the pulls that are due to be recorded.
fn record(cx: &Cx, found: &[Found]) {
    let now = cx.now();
    let due = now.minus(PULL_RECORD_INTERVAL).0;
    let is_due = |found: &&Found| found.pulled_at.is_none_or(|at| at <= due);
    PullTimes::of(cx).add(found.iter().filter(is_due).map(|found| found.id), now.0);
}
