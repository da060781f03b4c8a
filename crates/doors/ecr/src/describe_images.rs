//! DescribeImages: one element per digest (`ECR.md` A.3).

use super::failure::Ecr;
use super::page::{self, Listing, PageRequest};
use super::types::{self, ImageIds, ImagesFilter};
use aws::{AccountId, Timestamp};
use call::check;
use call::{Operation, Structure};
use kernel::access::{NamedImage, Need};
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::Error;
use registry::image::{self, ANSWER_TAGS, ImageRef, StatusFilter, TagStatus};
use serde::{Deserialize, Serialize};

/// Maximum bytes of an image's description without its tags: a repository's name, two digests and two media types.
const IMAGE_BYTES: usize = 2048;
/// Bytes of a tag of up to 128 characters, its quotes and its comma.
const TAG_BYTES: usize = 131;
/// Maximum tags of an image, as in AWS.
const IMAGE_TAGS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeImages {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_ids: Option<ImageIds>,
    next_token: Option<String>,
    max_results: Option<i64>,
    filter: Option<Structure<ImagesFilter>>,
}

#[derive(Debug)]
pub struct Checked {
    name: RepositoryName,
    which: Which,
}

/// The images that the call asks for: named ones, or a page of all.
#[derive(Debug)]
enum Which {
    /// Fails if one of them is missing. The filter does not apply to named images.
    Named(Vec<ImageRef>),
    Page((TagStatus, StatusFilter), PageRequest),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    image_details: Vec<ImageDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageDetail {
    registry_id: AccountId,
    repository_name: String,
    image_digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tags: Vec<String>,
    image_size_in_bytes: u64,
    image_pushed_at: Timestamp,
    image_manifest_media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_recorded_pull_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_manifest_digest: Option<String>,
    image_status: &'static str,
}

impl Operation for DescribeImages {
    const NAME: &'static str = "DescribeImages";
    type Api = Ecr;
    type Checked = Checked;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::need_on("ecr:DescribeImages", registry, self.repository_name.as_deref());
        types::needs_on_images(need, self.image_ids.as_ref(), NamedImage::new)
    }

    fn check(self) -> Result<Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let limit = check::max_results(self.max_results, 100, 1000)?;
        let filter = self.filter.map_or_else(ImagesFilter::default, |Structure(filter)| filter).check()?;
        let which = match self.image_ids {
            Some(ids) => {
                let ids = types::image_ids(ids)?;
                page::refuse_with("imageIds", self.next_token.as_deref(), self.max_results)?;
                Which::Named(ids)
            }
            None => Which::Page(filter, PageRequest { token: self.next_token, limit }),
        };
        Ok(Checked { name, which })
    }

    /// Reserves the maximum description of each image, and the tags: up to the limit of one image for each, and [`ANSWER_TAGS`]
    /// for all.
    fn output_bytes(checked: &Checked) -> usize {
        let images = match &checked.which {
            Which::Named(ids) => ids.len(),
            Which::Page(_, asked) => asked.limit as usize,
        };
        let tags = images.saturating_mul(IMAGE_TAGS).min(usize::try_from(ANSWER_TAGS).unwrap_or(usize::MAX));
        images.saturating_mul(IMAGE_BYTES).saturating_add(tags.saturating_mul(TAG_BYTES))
    }

    async fn handle(Checked { name, which }: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let (images, next_token) = match which {
            Which::Named(ids) => (image::describe_batch(cx, &name, ids).await?, None),
            Which::Page((tags, status), asked) => {
                let listing = Listing::new(cx, Self::NAME, &[name.as_str(), tags.name(), status.name()]);
                let after = listing.decode_cursor(asked.token.as_deref())?;
                let page = image::describe(cx, &name, tags, status, after, asked.limit).await?;
                (page.items, listing.encode_cursor(page.next))
            }
        };
        Ok(Output { image_details: images.into_iter().map(|found| detail(cx, &name, found)).collect(), next_token })
    }
}

fn detail(cx: &Cx, name: &RepositoryName, found: image::ImageDetail) -> ImageDetail {
    ImageDetail {
        registry_id: cx.registry.account,
        repository_name: name.to_string(),
        image_digest: found.digest.to_string(),
        image_tags: found.tags,
        image_size_in_bytes: found.size,
        image_pushed_at: Timestamp(found.pushed_at.0),
        image_manifest_media_type: found.media_type,
        artifact_media_type: found.artifact_media_type,
        last_recorded_pull_time: found.pulled_at.map(|time| Timestamp(time.0)),
        subject_manifest_digest: found.subject.map(|digest| digest.to_string()),
        image_status: found.status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_takes_memory_for_its_images_and_for_as_many_tags_as_it_may_have() {
        for (input, expected) in [
            (r#"{"repositoryName": "app", "maxResults": 2}"#, 2 * 2048 + 2000 * 131),
            (r#"{"repositoryName": "app", "maxResults": 1000}"#, 1000 * 2048 + 10_000 * 131),
            (r#"{"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]}"#, 2048 + 1000 * 131),
        ] {
            let input: DescribeImages = serde_json::from_str(input).unwrap();
            assert_eq!(DescribeImages::output_bytes(&input.check().unwrap()), expected);
        }
    }
}
