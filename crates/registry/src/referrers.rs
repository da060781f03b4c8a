//! Lists the referrers of a subject (`ECR.md` B.9, A.3 ListImageReferrers).

use crate::repository::{Page, read};
use crate::{Cx, Error, image};
use meta::Tx;
use meta::records::image::ImageRow;
use meta::{ImageId, RepositoryId};
use oci::{Digest, Manifest, RepositoryName};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
pub struct Referrer {
    pub digest: Digest,
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// The size of the manifest in bytes.
    pub size: u64,
    pub annotations: BTreeMap<String, String>,
}

/// Rows that are read at once.
const BATCH: u32 = 200;
/// The most bytes of manifests that one page reads. A page that needs more ends before its limit. Annotations may fill a manifest, and
/// the list itself is a manifest of at most [`Manifest::MAX_BYTES`] (OCI distribution-spec "Listing Referrers").
const PAGE_BYTES: i64 = Manifest::MAX_BYTES as i64;

/// Lists the artifacts whose subject is `subject`. The subject itself need not exist. If `artifact_types` is not empty, lists only artifacts
/// of these types.
///
/// A page may be shorter than `limit` even if more follow.
pub async fn list(
    cx: &Cx,
    name: &RepositoryName,
    subject: &Digest,
    artifact_types: Vec<String>,
    after: Option<Vec<u8>>,
    limit: u32,
) -> Result<Page<Referrer>, Error> {
    let subject = subject.to_bytes();
    // Remove duplicate types, because the rows of each type are read separately.
    let artifact_types: Vec<String> = BTreeSet::from_iter(artifact_types).into_iter().collect();
    let after: Option<ImageId> =
        after.map(|cursor| cursor.try_into().map(ImageId)).transpose().map_err(|_| image::cursor::invalid())?;
    let found = read(cx, name, move |tx, row| {
        let wanted = Wanted { repository: row.id, subject: &subject, artifact_types: &artifact_types };
        wanted.collect(tx, after, limit)
    })
    .await?;
    let next = found.more.then(|| found.rows.last().map(|(row, _)| row.id.0.to_vec())).flatten();
    let items = found.rows.into_iter().map(|(row, manifest)| referrer(row, &manifest)).collect::<Result<_, _>>()?;
    Ok(Page { items, next })
}

/// The rows of a page with their manifests, and whether more rows follow.
#[derive(Default)]
struct Found {
    rows: Vec<(ImageRow, Vec<u8>)>,
    more: bool,
}

struct Wanted<'a> {
    repository: RepositoryId,
    subject: &'a [u8],
    artifact_types: &'a [String],
}

impl Wanted<'_> {
    /// Reads up to `limit` rows with at most [`PAGE_BYTES`] of manifests, but at least one row.
    fn collect(&self, tx: &mut Tx<'_>, mut after: Option<ImageId>, limit: u32) -> Result<Found, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Found::default();
        let mut bytes: i64 = 0;
        loop {
            let rows = self.batch(tx, after)?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some(last.id);
            for row in rows {
                bytes = bytes.saturating_add(row.manifest_size);
                if found.rows.len() == limit || (bytes > PAGE_BYTES && !found.rows.is_empty()) {
                    found.more = true;
                    return Ok(found);
                }
                let manifest = tx.manifest_get(row.id)?.unwrap_or_default();
                found.rows.push((row, manifest));
            }
        }
    }

    /// Returns the next rows of all wanted types, ordered by id.
    fn batch(&self, tx: &mut Tx<'_>, after: Option<ImageId>) -> Result<Vec<ImageRow>, Error> {
        if self.artifact_types.is_empty() {
            return Ok(tx.image_referrers(self.repository, self.subject, None, after, BATCH)?);
        }
        let mut rows = Vec::new();
        for wanted in self.artifact_types {
            rows.extend(tx.image_referrers(self.repository, self.subject, Some(wanted), after, BATCH)?);
        }
        rows.sort_unstable_by_key(|row| row.id);
        // Cut to one batch, because a type with a full batch may have more rows between those of the others.
        rows.truncate(usize::try_from(BATCH).unwrap_or(usize::MAX));
        Ok(rows)
    }
}

fn referrer(row: ImageRow, manifest: &[u8]) -> Result<Referrer, Error> {
    let annotations = Manifest::parse(manifest, Some(&row.media_type)).map_err(Error::server)?.annotations;
    Ok(Referrer {
        digest: image::digest_of(&row)?,
        media_type: row.media_type,
        artifact_type: row.artifact_type,
        size: u64::try_from(row.manifest_size).unwrap_or(0),
        annotations,
    })
}
