//! Images and their tags (`ECR.md` A.3, B.5 to B.7, C, R). `put.rs` decides what happens when a tag is overwritten.

pub(crate) mod cursor;
mod delete;
mod describe;
mod list;
mod platform;
mod pull;
pub mod pull_times;
mod put;
mod restore;
mod tag_rules;

pub use delete::delete_batch;
pub use describe::{ANSWER_TAGS, describe, describe_batch};
pub use list::{list, tags};
pub use pull::{get_batch, head, pull};
pub use put::put;
pub use restore::{DeletedImage, PurgedImage, RestoredImages, list_deleted, purge, restore};

use crate::Error;
use crate::clock::Time;
use meta::RepositoryId;
use meta::records::image::ImageRow;
use oci::{Digest, Tag};

/// The id of an image in a call: a tag, a digest, or both. The texts are unchecked. A malformed text becomes a failure of the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRef {
    pub digest: Option<String>,
    pub tag: Option<String>,
}

/// An image to push.
pub struct NewImage {
    pub bytes: Vec<u8>,
    /// Content-Type or `imageManifestMediaType`.
    pub media_type: Option<String>,
    /// The tags to create or move. If empty, the image is stored without a tag.
    pub tags: Vec<Tag>,
    /// The digest that the caller expects, if it states one.
    pub digest: Option<Digest>,
    pub client: PushClient,
}

/// The kind of client that puts an image. The rules for immutable tags depend on it (`ECR.md` B.6, R).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushClient {
    /// PutImage, with AWS's exceptions only.
    Api,
    /// A docker push. `containerd` is true if the User-Agent is containerd's, for which there is a push window (`ECR.md` R).
    Docker { containerd: bool },
}

/// The change that a push made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageChange {
    /// The image is new in the repository.
    Stored,
    /// The image existed, and a tag was created or moved to it.
    Tagged,
    /// The image existed, and no tag moved. The API calls this ImageAlreadyExists.
    Nothing,
}

pub struct PushedImage {
    pub digest: Digest,
    pub media_type: String,
    pub subject: Option<Digest>,
    pub change: ImageChange,
    /// The tags that name the image now, in the order of the request.
    pub tags: Vec<Tag>,
    /// The immutable tags that did not move, although the push succeeded (`ECR.md` R 2 and 3b).
    pub unmoved: Vec<Tag>,
}

/// The description of an image for a HEAD.
#[derive(Clone, Debug)]
pub struct ImageHead {
    pub digest: Digest,
    pub media_type: String,
    /// The size of the manifest in bytes.
    pub size: u64,
}

/// An image with its manifest, for a pull.
#[derive(Clone, Debug)]
pub struct PulledImage {
    pub digest: Digest,
    /// The tag in the request.
    pub tag: Option<String>,
    pub media_type: String,
    pub manifest: Vec<u8>,
}

/// An id of a batch that failed.
#[derive(Clone, Debug)]
pub struct ImageFailure {
    pub id: ImageRef,
    pub code: ImageFailureCode,
    pub reason: String,
}

/// Why an id of a batch failed (`ECR.md` A.9 ImageFailureCode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFailureCode {
    InvalidImageDigest,
    InvalidImageTag,
    ImageTagDoesNotMatchDigest,
    ImageNotFound,
    MissingDigestAndTag,
    ImageReferencedByManifestList,
}

impl ImageFailureCode {
    /// Returns the name in the service model.
    pub fn name(self) -> &'static str {
        match self {
            ImageFailureCode::InvalidImageDigest => "InvalidImageDigest",
            ImageFailureCode::InvalidImageTag => "InvalidImageTag",
            ImageFailureCode::ImageTagDoesNotMatchDigest => "ImageTagDoesNotMatchDigest",
            ImageFailureCode::ImageNotFound => "ImageNotFound",
            ImageFailureCode::MissingDigestAndTag => "MissingDigestAndTag",
            ImageFailureCode::ImageReferencedByManifestList => "ImageReferencedByManifestList",
        }
    }
}

impl ImageFailure {
    fn not_found(id: &ImageRef) -> ImageFailure {
        ImageFailure {
            id: id.clone(),
            code: ImageFailureCode::ImageNotFound,
            reason: "Requested image not found".to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TagStatus {
    Tagged,
    Untagged,
    #[default]
    Any,
}

/// The filter by status. The default is ACTIVE (`ECR.md` K.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StatusFilter {
    #[default]
    Active,
    Archived,
    Activating,
    Any,
}

impl TagStatus {
    /// The filter as AWS spells it. Page tokens are bound to this text.
    pub fn name(self) -> &'static str {
        match self {
            TagStatus::Tagged => "TAGGED",
            TagStatus::Untagged => "UNTAGGED",
            TagStatus::Any => "ANY",
        }
    }
}

impl StatusFilter {
    /// The filter as AWS spells it. Page tokens are bound to this text.
    pub fn name(self) -> &'static str {
        match self {
            StatusFilter::Active => "ACTIVE",
            StatusFilter::Archived => "ARCHIVED",
            StatusFilter::Activating => "ACTIVATING",
            StatusFilter::Any => "ANY",
        }
    }

    /// Returns true if active images are included. Every image is active until archiving exists.
    fn selects_active(self) -> bool {
        match self {
            StatusFilter::Active | StatusFilter::Any => true,
            StatusFilter::Archived | StatusFilter::Activating => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct ImageDetail {
    pub digest: Digest,
    pub tags: Vec<String>,
    pub size: u64,
    pub pushed_at: Time,
    pub pulled_at: Option<Time>,
    pub media_type: String,
    pub artifact_media_type: Option<String>,
    pub subject: Option<Digest>,
    /// "ACTIVE" until archiving exists.
    pub status: &'static str,
}

pub(crate) fn digest_of(row: &ImageRow) -> Result<Digest, Error> {
    stored_digest(&row.digest)
}

/// The error for a digest that no image of the repository has.
fn no_such_digest(cx: &crate::Cx, name: &oci::RepositoryName, digest: &Digest) -> Error {
    Error::ImageNotFound {
        digest: digest.to_string(),
        tag: "null".to_owned(),
        name: name.to_string(),
        account: cx.registry.account.to_string(),
    }
}

fn stored_digest(bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).map_err(Error::server)
}

fn is_index(media_type: &str) -> bool {
    let essence = oci::MediaType::new(media_type).essence();
    essence == oci::MediaType::OCI_INDEX || essence == oci::MediaType::DOCKER_LIST
}

/// Finds the image of an id, or returns the failure.
/// Returns the digest that a client names in an image id, in upper or lower case. `None` if no image can have it.
pub fn digest_named(text: &str) -> Option<Digest> {
    text.to_ascii_lowercase().parse().ok()
}

fn find(
    tx: &mut meta::Tx<'_>,
    repository: RepositoryId,
    id: &ImageRef,
) -> Result<Result<ImageRow, ImageFailure>, Error> {
    let failure = |code, reason: &str| Ok(Err(ImageFailure { id: id.clone(), code, reason: reason.to_owned() }));
    let not_found = || Ok(Err(ImageFailure::not_found(id)));
    if id.digest.as_deref().is_some_and(|digest| !Digest::is_loosely(digest)) {
        return failure(ImageFailureCode::InvalidImageDigest, INVALID_DIGEST);
    }
    let digest: Option<Digest> = match &id.digest {
        None => None,
        // The digest is well formed but has an unsupported algorithm, so no image has it.
        Some(text) => match digest_named(text) {
            Some(digest) => Some(digest),
            None => return not_found(),
        },
    };
    let row = match (&id.tag, &digest) {
        (None, None) => {
            return failure(
                ImageFailureCode::MissingDigestAndTag,
                "Invalid request parameters: both tag and digest cannot be null",
            );
        }
        (Some(tag), _) if tag.parse::<Tag>().is_err() => {
            return failure(ImageFailureCode::InvalidImageTag, INVALID_TAG);
        }
        (Some(tag), _) => tx.image_by_tag(repository, tag)?,
        (None, Some(digest)) => tx.image_by_digest(repository, &digest.to_bytes())?,
    };
    match (row, digest) {
        (None, _) => not_found(),
        (Some(row), Some(digest)) if row.digest != digest.to_bytes() => failure(
            ImageFailureCode::ImageTagDoesNotMatchDigest,
            "Requested image tag does not match the requested image digest",
        ),
        (Some(row), _) => Ok(Ok(row)),
    }
}

const INVALID_DIGEST: &str =
    "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
const INVALID_TAG: &str =
    "Invalid request parameters: image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'";

/// Removes duplicate ids and keeps the order.
pub fn distinct(ids: Vec<ImageRef>) -> Vec<ImageRef> {
    let mut kept: Vec<ImageRef> = Vec::with_capacity(ids.len());
    for id in ids {
        if !kept.contains(&id) {
            kept.push(id);
        }
    }
    kept
}
