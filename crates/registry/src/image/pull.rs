//! Pulls: an image with its manifest, and the time of its last pull (`ECR.md` A.3 BatchGetImage, B.5, K.2).
use super::{Failure, ImageId, PulledImage, digest_of, distinct, find};
use crate::repository::read;
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
        tx.manifest_get(row.id)?.ok_or_else(|| Error::server(std::io::Error::other("an image has no manifest")))?;
    let image = PulledImage { digest: digest_of(row)?, tag, media_type: row.media_type.clone(), manifest };
    Ok(Found { image, id: row.id, pulled_at: tx.image_pull_get(row.id)? })
}

/// One image for the docker door; counts as a pull unless `head`. `None` when there is no such image;
/// [`Error::RepositoryNotFound`] without its repository.
pub async fn pull(
    cx: &Cx,
    name: &RepositoryName,
    reference: &Reference,
    head: bool,
) -> Result<Option<PulledImage>, Error> {
    let wanted = reference.clone();
    let found = read(cx, name, move |tx, row| {
        let (found, tag) = match &wanted {
            Reference::Tag(tag) => (tx.image_by_tag(row.id, tag.as_str())?, Some(tag.to_string())),
            Reference::Digest(digest) => (tx.image_by_digest(row.id, &digest.to_bytes())?, None),
        };
        found.map(|image| load(tx, &image, tag)).transpose()
    })
    .await?;
    let Some(found) = found else { return Ok(None) };
    if !head {
        record(cx, std::slice::from_ref(&found)).await;
    }
    Ok(Some(found.image))
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
    record(cx, &found).await;
    Ok((found.into_iter().map(|found| found.image).collect(), failures))
}

/// Records the pulls that are due to be. A pull does not depend on that: with a full disk it goes on all the same.
async fn record(cx: &Cx, found: &[Found]) {
    let now = cx.now();
    let due = now.minus(PULL_RECORD_INTERVAL).0;
    let is_due = |found: &&Found| found.pulled_at.is_none_or(|at| at <= due);
    let ids: Vec<[u8; 16]> = found.iter().filter(is_due).map(|found| found.id).collect();
    if ids.is_empty() {
        return;
    }
    let recorded = cx.db.write(move |tx| ids.iter().try_for_each(|id| tx.image_pull_put(*id, now.0))).await;
    if let Err(error) = recorded {
        let error: &meta::Error = &error;
        tracing::warn!(error = error as &dyn std::error::Error, "the time of a pull was not recorded");
    }
}
