//! Structures of the wire that several operations share (`ECR.md` A.9), and what is made of them.

mod blob;
mod bounded;
mod image;
mod repository;
mod tag;

pub use blob::Blob;
pub use bounded::Bounded;
pub use image::{
    Image, ImageFailure, ImageIdentifier, ImageIds, ImagesFilter, MAX_TAG_CHARACTERS, image_ids, status_filter,
};
pub use repository::{
    EncryptionConfiguration, ExclusionFilterOut, ExclusionFilters, ImageScanningConfiguration,
    ImageScanningConfigurationOut, Repository, RepositoryOut, tag_mutability,
};
pub use tag::{MAX_TAGS, Tag, Tags, resource_tags, with_request_tags};

use registry::access::{Need, Resource};

/// A need of `action` on the repository that a member names. A malformed name is no repository's: the call is authorized
/// on anything, and refused for its name afterwards.
pub fn need_on(action: &'static str, name: Option<&str>) -> Need {
    match name.and_then(|name| name.parse().ok()) {
        Some(name) => Need::on(action, &name),
        None => Need::new(action, Resource::Any),
    }
}
