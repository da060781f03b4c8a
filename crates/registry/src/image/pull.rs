//! Pulls: an image with its manifest, and the time of its last pull (`ECR.md` A.3 BatchGetImage, B.5, K.2).
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

/// A pull is recorded when the last recorded one is older than this, so that pulls write rarely.
const PULL_RECORD_INTERVAL: Duration = Duration::from_secs(3600);

/// What one read of a pull found.
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

/// What a HEAD tells of one image, for the docker door; no pull. `None` when there is no such image;
/// [`Error::RepositoryNotFound`] without its repository.
pub async fn head(cx: &Cx, name: &RepositoryName, reference: &Reference) -> Result<Option<ImageHead>, Error> {
    let Some(row) = find_for_pull(cx, name, reference, image::head_named).await? else { return Ok(None) };
    let size = u64::try_from(row.manifest_size).unwrap_or(0);
    Ok(Some(ImageHead { digest: stored_digest(&row.digest)?, media_type: row.media_type, size }))
}

/// One image for the docker door; counts as a pull. As [`head`] in what it misses.
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

/// Images of a batch, one per satisfied id; counts as a pull of each.
///
/// An image asked by tag whose type is not among `accepted` is not found: nothing is converted. By digest any type goes.
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

/// Has the pulls recorded that are due to be, without waiting for it.
fn record(cx: &Cx, found: &[Found]) {
    let now = cx.now();
    let due = now.minus(PULL_RECORD_INTERVAL).0;
    let is_due = |found: &&Found| found.pulled_at.is_none_or(|at| at <= due);
    PullTimes::of(cx).add(found.iter().filter(is_due).map(|found| found.id), now.0);
}
