//! Images and their tags (`ECR.md` A.3, B.5 to B.7, C, R). What happens when a tag is overwritten stands in `put.rs`.

pub(crate) mod cursor;
mod delete;
mod describe;
mod list;
mod platform;
mod pull;
pub mod pull_times;
mod put;
mod tag_rules;

pub use delete::delete_batch;
pub use describe::{ANSWER_TAGS, describe, describe_batch};
pub use list::{list, tags};
pub use pull::{get_batch, head, pull};
pub use put::put;

use crate::Error;
use crate::clock::Time;
use meta::RepositoryId;
use meta::records::image::ImageRow;
use oci::{Digest, Tag};

/// An image as a call names it: by tag, by digest, by both. Texts are as they came: what is malformed becomes a failure of the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageRef {
    pub digest: Option<String>,
    pub tag: Option<String>,
}

/// What a push hands over.
pub struct NewImage {
    pub bytes: Vec<u8>,
    /// Content-Type or `imageManifestMediaType`.
    pub media_type: Option<String>,
    /// The tags that are to hold it; without any it is stored by its digest alone.
    pub tags: Vec<Tag>,
    /// Where the caller says which digest it expects.
    pub digest: Option<Digest>,
    pub client: PushClient,
}

/// Who puts an image: the doors' clients differ in what they may do to an immutable tag (`ECR.md` B.6, R).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushClient {
    /// PutImage: AWS's exceptions, nothing else.
    Api,
    /// A docker push; `containerd` is true when its User-Agent is that of containerd's client, for which the push window of
    /// `ECR.md` R may hold.
    Docker { containerd: bool },
}

/// What a push changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageChange {
    /// The digest is new here.
    Stored,
    /// The digest was here; a tag is new or moved to it.
    Tagged,
    /// The digest was here, and no tag moved. The API calls this ImageAlreadyExists.
    Nothing,
}

pub struct PushedImage {
    pub digest: Digest,
    pub media_type: String,
    pub subject: Option<Digest>,
    pub change: ImageChange,
    /// The tags that hold the image now, in the order in which they were given.
    pub tags: Vec<Tag>,
    /// The immutable tags that did not move to it, though the push succeeded (`ECR.md` R 2 and 3b).
    pub unmoved: Vec<Tag>,
}

/// What is told of an image without its manifest.
#[derive(Clone, Debug)]
pub struct ImageHead {
    pub digest: Digest,
    pub media_type: String,
    /// Bytes of the manifest.
    pub size: u64,
}

/// An image with its manifest, as a pull sees it.
#[derive(Clone, Debug)]
pub struct PulledImage {
    pub digest: Digest,
    /// The tag it was asked by.
    pub tag: Option<String>,
    pub media_type: String,
    pub manifest: Vec<u8>,
}

/// A member of a batch that could not be had.
#[derive(Clone, Debug)]
pub struct ImageFailure {
    pub id: ImageRef,
    pub code: ImageFailureCode,
    pub reason: String,
}

/// Why a member of a batch could not be had (`ECR.md` A.9 ImageFailureCode).
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
    /// As the service model spells it.
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

/// The class filter: ACTIVE unless asked otherwise (`ECR.md` K.1).
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

    /// Every image is active until archiving exists.
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

fn stored_digest(bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).map_err(Error::server)
}

fn is_index(media_type: &str) -> bool {
    let essence = oci::MediaType::new(media_type).essence();
    essence == oci::MediaType::OCI_INDEX || essence == oci::MediaType::DOCKER_LIST
}

/// The image that an id means, or why there is none.
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
        // Well formed but of no algorithm that could be stored: nothing here has that digest.
        Some(text) => match text.to_ascii_lowercase().parse() {
            Ok(digest) => Some(digest),
            Err(_) => return not_found(),
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

/// Each id once, in order.
pub fn distinct(ids: Vec<ImageRef>) -> Vec<ImageRef> {
    let mut kept: Vec<ImageRef> = Vec::with_capacity(ids.len());
    for id in ids {
        if !kept.contains(&id) {
            kept.push(id);
        }
    }
    kept
}
