//! Wire structures that several operations share (`ECR.md` A.9), and their checks.

mod bounded;
mod image;
mod repository;
mod tag;

pub use bounded::Bounded;
pub use image::{
    Image, ImageFailure, ImageIdentifier, ImageIds, ImagesFilter, MAX_TAG_CHARACTERS, image_ids, named_image,
    needs_on_images, status_filter,
};
pub use repository::{
    EncryptionConfiguration, ExclusionFilterOut, ExclusionFilters, ImageScanningConfiguration,
    ImageScanningConfigurationOut, Repository, RepositoryOut, tag_mutability,
};
pub use tag::{MAX_TAGS, Tag, Tags, resource_tags, with_request_tags};

pub use registry::permission::need_on;

use registry::push_log::PushAttempt;

/// Returns the push log's record of a call that is a step of a push, if its repository's name is valid.
pub fn attempt(action: &'static str, name: Option<&str>) -> Option<PushAttempt> {
    Some(PushAttempt { action, repository: name?.parse().ok()?, tag: None, digest: None })
}
