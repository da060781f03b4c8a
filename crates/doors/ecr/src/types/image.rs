//! Images, their ids, and the failures of a batch.

use super::Bounded;
use aws::AccountId;
use call::Structure;
use call::check;
use kernel::access::{NamedImage, Need};
use oci::Digest;
use registry::Error;
use registry::image::{self, ImageRef, StatusFilter, TagStatus};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIdentifier {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<String>,
}

impl From<ImageRef> for ImageIdentifier {
    fn from(id: ImageRef) -> ImageIdentifier {
        ImageIdentifier { image_digest: id.digest, image_tag: id.tag }
    }
}

/// Maximum image ids of one call (`ECR.md` M.1 "batch sizes").
const MAX_IMAGE_IDS: usize = 100;
/// Maximum characters of a tag in the model. Container clients accept fewer.
pub const MAX_TAG_CHARACTERS: u64 = 300;

/// `imageIds` on the wire.
pub type ImageIds = Bounded<Structure<ImageIdentifier>, MAX_IMAGE_IDS>;

/// Checks `imageIds` of a batch. A malformed id within these bounds becomes a failure of the batch, not an error of the call.
pub fn image_ids(ids: ImageIds) -> Result<Vec<ImageRef>, Error> {
    let id = |(index, Structure(id)): (usize, Structure<ImageIdentifier>)| {
        if let Some(tag) = &id.image_tag {
            check::length(check::element("imageIds", index, "imageTag"), tag, 1, MAX_TAG_CHARACTERS)?;
        }
        Ok(ImageRef { digest: id.image_digest, tag: id.image_tag })
    };
    ids.check("imageIds", 1)?.into_iter().enumerate().map(id).collect()
}

/// Returns the permissions for an action on the images that a request names: one for each, so that one refused image refuses them all.
/// Without images it is the permission on the repository.
///
/// `named` is the part that the action has in the images: [`NamedImage::new`] or [`NamedImage::to_delete`].
pub fn needs_on_images(
    on_repository: Need,
    ids: Option<&ImageIds>,
    named: fn(Option<oci::Tag>, Option<Digest>) -> NamedImage,
) -> Vec<Need> {
    let ids = ids.map_or(&[][..], ImageIds::kept);
    if ids.is_empty() {
        return vec![on_repository];
    }
    let need = |Structure(id): &Structure<ImageIdentifier>| {
        on_repository.clone().on_image(named_image(named, id.image_tag.as_deref(), id.image_digest.as_deref()))
    };
    ids.iter().map(need).collect()
}

/// See [`needs_on_images`].
pub fn named_image(
    named: fn(Option<oci::Tag>, Option<Digest>) -> NamedImage,
    tag: Option<&str>,
    digest: Option<&str>,
) -> NamedImage {
    named(tag.and_then(|tag| tag.parse().ok()), digest.and_then(image::digest_named))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFailure {
    image_id: ImageIdentifier,
    failure_code: &'static str,
    failure_reason: String,
}

impl From<image::ImageFailure> for ImageFailure {
    fn from(failure: image::ImageFailure) -> ImageFailure {
        ImageFailure { image_id: failure.id.into(), failure_code: failure.code.name(), failure_reason: failure.reason }
    }
}

/// An image with its manifest.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    pub registry_id: AccountId,
    pub repository_name: String,
    pub image_id: ImageIdentifier,
    pub image_manifest: String,
    pub image_manifest_media_type: String,
}

/// `filter` of ListImages and DescribeImages.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImagesFilter {
    tag_status: Option<String>,
    image_status: Option<String>,
}

impl ImagesFilter {
    pub fn check(self) -> Result<(TagStatus, StatusFilter), Error> {
        const NAMES: &[&str] = &["TAGGED", "UNTAGGED", "ANY"];
        const TABLE: &[(&str, TagStatus)] =
            &[("TAGGED", TagStatus::Tagged), ("UNTAGGED", TagStatus::Untagged), ("ANY", TagStatus::Any)];
        let tags = self.tag_status.map(|value| check::one_of("filter.tagStatus", &value, NAMES, TABLE)).transpose()?;
        Ok((tags.unwrap_or_default(), status_filter("filter.imageStatus", self.image_status)?))
    }
}

/// Checks the status filter of a listing; the default is ACTIVE.
pub fn status_filter(member: &'static str, value: Option<String>) -> Result<StatusFilter, Error> {
    const NAMES: &[&str] = &["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"];
    const TABLE: &[(&str, StatusFilter)] = &[
        ("ACTIVE", StatusFilter::Active),
        ("ARCHIVED", StatusFilter::Archived),
        ("ACTIVATING", StatusFilter::Activating),
        ("ANY", StatusFilter::Any),
    ];
    let status = value.map(|value| check::one_of(member, &value, NAMES, TABLE)).transpose()?;
    Ok(status.unwrap_or_default())
}
