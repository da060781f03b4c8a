//! Referrers of a subject (`ECR.md` B.9, A.3 ListImageReferrers).
use crate::repository::Page;
use crate::{Cx, Error};
use oci::{Digest, RepositoryName};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Referrer {
    pub digest: Digest,
    pub media_type: String,
    pub artifact_type: Option<String>,
    /// Bytes of the manifest.
    pub size: u64,
    pub annotations: BTreeMap<String, String>,
}

/// The artifacts whose subject is `subject`, known here or not; with `artifact_types` non-empty only those of one of these types.
pub async fn list(_cx: &Cx, _name: &RepositoryName, _subject: &Digest, _artifact_types: Vec<String>, _after: Option<Vec<u8>>, _limit: u32) -> Result<Page<Referrer>, Error> { todo!() }
