//! Images and their tags (`ECR.md` A.3, B.5 to B.7, C, R).
use crate::clock::Time;
use crate::repository::Page;
use crate::{Cx, Error};
use oci::{Digest, RepositoryName};

/// An image as a call names it: by tag, by digest, by both. Texts are as they came: what is malformed becomes a failure of the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageId {
    pub digest: Option<String>,
    pub tag: Option<String>,
}

/// What a push hands over.
pub struct NewImage {
    pub bytes: Vec<u8>,
    /// Content-Type or `imageManifestMediaType`.
    pub media_type: Option<String>,
    pub tag: Option<String>,
    /// Where the caller says which digest it expects.
    pub digest: Option<Digest>,
    /// True for a docker push whose User-Agent is containerd's: the push window of `ECR.md` R may hold for it.
    pub window: bool,
}

/// What a push changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The digest is new here.
    Stored,
    /// The digest was here; the tag is new or moved to it.
    Tagged,
    /// Digest and tag were as they are. The API calls this ImageAlreadyExists.
    Nothing,
    /// `ECR.md` R 2 and 3b: stored or already listed, and the immutable tag did not move.
    TagKept,
}

pub struct Pushed {
    pub digest: Digest,
    pub media_type: String,
    pub subject: Option<Digest>,
    pub change: Change,
}

/// Stores an image and moves its tag, by every rule of the repository.
pub async fn put(_cx: &Cx, _name: &RepositoryName, _new: NewImage) -> Result<Pushed, Error> { todo!() }

/// An image with its manifest, as a pull sees it.
#[derive(Clone, Debug)]
pub struct PulledImage {
    pub digest: Digest,
    /// The tag it was asked by.
    pub tag: Option<String>,
    pub media_type: String,
    pub manifest: Vec<u8>,
}

/// One image for the docker door; counts as a pull unless `head`. `None` when there is no such image; [`Error::RepositoryNotFound`] without its repository.
pub async fn pull(_cx: &Cx, _name: &RepositoryName, _reference: &oci::Reference, _head: bool) -> Result<Option<PulledImage>, Error> { todo!() }

/// A member of a batch that could not be had: the failure code as the model names it, and its reason.
#[derive(Clone, Debug)]
pub struct Failure {
    pub id: ImageId,
    pub code: &'static str,
    pub reason: String,
}

/// Images of a batch, one per satisfied id; counts as a pull of each.
pub async fn get_batch(_cx: &Cx, _name: &RepositoryName, _ids: Vec<ImageId>, _accepted: Option<Vec<String>>) -> Result<(Vec<PulledImage>, Vec<Failure>), Error> { todo!() }

/// Removes tags and images (`ECR.md` A.3 BatchDeleteImage); what went away, and what could not.
pub async fn delete_batch(_cx: &Cx, _name: &RepositoryName, _ids: Vec<ImageId>) -> Result<(Vec<ImageId>, Vec<Failure>), Error> { todo!() }

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

/// ListImages: one element per (digest, tag), then the untagged ones.
pub async fn list(_cx: &Cx, _name: &RepositoryName, _tags: TagStatus, _status: StatusFilter, _after: Option<Vec<u8>>, _limit: u32) -> Result<Page<(Digest, Option<String>)>, Error> { todo!() }

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

/// DescribeImages without ids: by push time, then digest.
pub async fn describe(_cx: &Cx, _name: &RepositoryName, _tags: TagStatus, _status: StatusFilter, _after: Option<Vec<u8>>, _limit: u32) -> Result<Page<ImageDetail>, Error> { todo!() }
/// DescribeImages with ids: all or nothing, one detail per distinct digest.
pub async fn describe_batch(_cx: &Cx, _name: &RepositoryName, _ids: Vec<ImageId>) -> Result<Vec<ImageDetail>, Error> { todo!() }

/// The docker door's tags list: names in order, from behind `last`, and whether more follow.
pub async fn tags(_cx: &Cx, _name: &RepositoryName, _last: Option<String>, _limit: u32) -> Result<(Vec<String>, bool), Error> { todo!() }
