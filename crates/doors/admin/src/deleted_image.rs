//! ListDeletedImages, RestoreImage, PurgeImage: deleted images within their window.

use crate::{Admin, Error};
use aws::Timestamp;
use call::page::{Listing, PageRequest};
use call::{Operation, check};
use kernel::access::Need;
use kernel::{Constraint, Cx, RegistryId};
use listen::app::App;
use oci::{Digest, RepositoryName};
use registry::{image, permission};
use serde::{Deserialize, Serialize};

/// Images of a page: the default, and the maximum.
const DEFAULT_RESULTS: u32 = 100;
const MAX_RESULTS: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListDeletedImages {
    registry_id: Option<String>,
    repository_name: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListDeletedImagesOutput {
    pub images: Vec<DeletedImageOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A deleted image that can be restored.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedImageOut {
    pub image_digest: String,
    /// The tags that it had.
    pub image_tags: Vec<String>,
    pub image_manifest_media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_media_type: Option<String>,
    pub image_size_in_bytes: u64,
    pub image_pushed_at: Timestamp,
    pub deleted_at: Timestamp,
    /// Until when it can be restored.
    pub restorable_until: Timestamp,
}

impl Operation for ListDeletedImages {
    const NAME: &'static str = "ListDeletedImages";
    const OF_REGISTRY: bool = true;
    type Api = Admin;
    type Checked = (RepositoryName, PageRequest);
    type Output = ListDeletedImagesOutput;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![permission::need_on("ecru:ListDeletedImages", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let limit = check::max_results(self.max_results, DEFAULT_RESULTS, MAX_RESULTS)?;
        Ok((name, PageRequest { token: self.next_token, limit }))
    }

    async fn handle((name, asked): Self::Checked, cx: &Cx, _app: &App) -> Result<ListDeletedImagesOutput, Error> {
        let listing = Listing::new(cx, Self::NAME, &[name.as_str()]);
        let after = listing.decode_cursor(asked.token.as_deref())?;
        let page = image::list_deleted(cx, &name, after, asked.limit).await?;
        let images = page.items.into_iter().map(|image| DeletedImageOut {
            image_digest: image.digest.to_string(),
            image_tags: image.tags,
            image_manifest_media_type: image.media_type,
            artifact_media_type: image.artifact_type,
            image_size_in_bytes: image.size,
            image_pushed_at: Timestamp(image.pushed_at.0),
            deleted_at: Timestamp(image.deleted_at.0),
            restorable_until: Timestamp(image.until.0),
        });
        Ok(ListDeletedImagesOutput { images: images.collect(), next_token: listing.encode_cursor(page.next) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreImage {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_digest: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreImageOutput {
    /// The images that came back: the one named, the images that an index lists, and referrers. Empty if the image was not deleted.
    pub image_digests: Vec<String>,
    /// The tags that name them again.
    pub image_tags: Vec<String>,
    /// Tags that they had, which name other images now.
    pub taken_image_tags: Vec<String>,
    /// Images that a restored index lists and that can't be restored.
    pub missing_image_digests: Vec<String>,
}

impl Operation for RestoreImage {
    const NAME: &'static str = "RestoreImage";
    const OF_REGISTRY: bool = true;
    type Api = Admin;
    type Checked = (RepositoryName, Digest);
    type Output = RestoreImageOutput;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![permission::need_on("ecru:RestoreImage", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        named(self.repository_name.as_deref(), self.image_digest)
    }

    async fn handle((name, digest): Self::Checked, cx: &Cx, _app: &App) -> Result<RestoreImageOutput, Error> {
        let restored = image::restore(cx, &name, &digest).await?;
        Ok(RestoreImageOutput {
            image_digests: restored.images.iter().map(ToString::to_string).collect(),
            image_tags: restored.tags,
            taken_image_tags: restored.taken,
            missing_image_digests: restored.missing.iter().map(ToString::to_string).collect(),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeImage {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_digest: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PurgeImageOutput {
    /// Bytes of the layers that nothing else references. They are collected after their grace.
    pub unreferenced_bytes: u64,
    /// The layers that other images reference, whose bytes stay.
    pub shared_layer_digests: Vec<String>,
}

impl Operation for PurgeImage {
    const NAME: &'static str = "PurgeImage";
    const OF_REGISTRY: bool = true;
    type Api = Admin;
    type Checked = (RepositoryName, Digest);
    type Output = PurgeImageOutput;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![permission::need_on("ecru:PurgeImage", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        named(self.repository_name.as_deref(), self.image_digest)
    }

    async fn handle((name, digest): Self::Checked, cx: &Cx, _app: &App) -> Result<PurgeImageOutput, Error> {
        let purged = image::purge(cx, &name, &digest).await?;
        let shared_layer_digests = purged.shared.iter().map(ToString::to_string).collect();
        Ok(PurgeImageOutput { unreferenced_bytes: purged.freed, shared_layer_digests })
    }
}

/// Checks the members that name an image by its digest.
fn named(name: Option<&str>, digest: Option<String>) -> Result<(RepositoryName, Digest), Error> {
    let name = check::repository_name(name)?;
    let text = check::required("imageDigest", digest)?;
    let digest = check::digest("imageDigest", &text)?;
    let unknown =
        || kernel::CommonError::invalid("imageDigest", Constraint::Text("It is not a sha256 or sha512".into()));
    Ok((name, digest.ok_or_else(unknown)?))
}
