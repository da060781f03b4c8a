//! Pulls: an image with its manifest, and the time of its last pull (`ECR.md` A.3 BatchGetImage, B.5, K.2).
use super::{Failure, ImageHead, ImageId, PulledImage, digest_of, distinct, find};
use crate::repository::{not_found, read};
use crate::{Cx, Error};
use meta::Tx;
use meta::records::image::ImageRow;
use oci::{Reference, RepositoryName};
use std::time::Duration;

/// A pull is recorded when the last recorded one is older than this, so that pulls write rarely.
const PULL_RECORD_INTERVAL: Duration = Duration::from_secs(3600);

/// What one read of a pull found.
struct Found {
    image: PulledImage,
    id: [u8; 16],
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
    let row = look(cx, name, reference, |_, row| Ok(row)).await?;
    row.map(|row| {
        let size = u64::try_from(row.manifest_size).unwrap_or(0);
        Ok(ImageHead { digest: digest_of(&row)?, media_type: row.media_type, size })
    })
    .transpose()
}

/// One image for the docker door; counts as a pull. As [`head`] in what it misses.
pub async fn pull(cx: &Cx, name: &RepositoryName, reference: &Reference) -> Result<Option<PulledImage>, Error> {
    let tag = match reference {
        Reference::Tag(tag) => Some(tag.to_string()),
        Reference::Digest(_) => None,
    };
    let found = look(cx, name, reference, move |tx, row| load(tx, &row, tag.clone())).await?;
    let Some(found) = found else { return Ok(None) };
    record(cx, std::slice::from_ref(&found));
    Ok(Some(found.image))
}

/// What `more` reads of an image, in the same transaction.
async fn look<T, F>(cx: &Cx, name: &RepositoryName, reference: &Reference, more: F) -> Result<Option<T>, Error>
where
    T: Send + 'static,
    F: Fn(&mut Tx<'_>, ImageRow) -> Result<T, Error> + Send + 'static,
{
    let (registry, text, wanted) = (cx.registry.key(), name.to_string(), reference.clone());
    let found = cx.db.read(move |tx| {
        let found = match &wanted {
            Reference::Tag(tag) => tx.image_named_by_tag(&registry, &text, tag.as_str())?,
            Reference::Digest(digest) => tx.image_named_by_digest(&registry, &text, &digest.to_bytes())?,
        };
        match found {
            Some(image) => more(tx, image).map(|found| Some(Some(found))),
            None if tx.repository_by_name(&registry, &text)?.is_some() => Ok(Some(None)),
            None => Ok(None),
        }
    });
    found.await?.ok_or_else(|| not_found(cx, name))
}

/// Images of a batch, one per satisfied id; counts as a pull of each.
///
/// An image asked by tag whose type is not among `accepted` is not found: nothing is converted. By digest any type goes.
pub async fn get_batch(
    cx: &Cx,
    name: &RepositoryName,
    ids: Vec<ImageId>,
    accepted: Option<Vec<String>>,
) -> Result<(Vec<PulledImage>, Vec<Failure>), Error> {
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
                Ok(_) => failures.push(Failure::not_found(id)),
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
    cx.pull_times.add(found.iter().filter(is_due).map(|found| found.id), now.0);
}
