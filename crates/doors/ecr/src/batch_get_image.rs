//! BatchGetImage (`ECR.md` A.3).

use super::failure::Ecr;
use super::types::{self, Bounded, Image, ImageFailure, ImageIdentifier, ImageIds};
use call::Operation;
use call::check;
use kernel::access::{NamedImage, Need};
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::{Manifest, RepositoryName};
use registry::Error;
use registry::image::{self, ImageRef, PulledImage};
use serde::{Deserialize, Serialize};

/// Maximum media types of one call.
const MAX_MEDIA_TYPES: usize = 100;
/// Images read from the store at a time. It bounds how far the manifests in memory exceed the answer's limit.
const SLICE: usize = 10;
/// Maximum bytes of the manifests in one answer. A hundred typical manifests are a twentieth of it.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchGetImage {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_ids: Option<ImageIds>,
    accepted_media_types: Option<Bounded<String, MAX_MEDIA_TYPES>>,
}

#[derive(Debug)]
pub struct Batch {
    name: RepositoryName,
    ids: Vec<ImageRef>,
    accepted: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub struct Output {
    images: Vec<Image>,
    failures: Vec<ImageFailure>,
}

impl Operation for BatchGetImage {
    const NAME: &'static str = "BatchGetImage";
    type Api = Ecr;
    type Checked = Batch;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::need_on("ecr:BatchGetImage", registry, self.repository_name.as_deref());
        types::needs_on_images(need, self.image_ids.as_ref(), NamedImage::new)
    }

    fn check(self) -> Result<Batch, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let ids = types::image_ids(check::required("imageIds", self.image_ids)?)?;
        let accepted = self.accepted_media_types.map(|types| types.check("acceptedMediaTypes", 1)).transpose()?;
        Ok(Batch { name, ids: image::distinct(ids), accepted })
    }

    fn output_bytes(checked: &Batch) -> usize {
        checked.ids.len().saturating_mul(Manifest::MAX_BYTES).min(ANSWER_BYTES)
    }

    async fn handle(Batch { name, ids, accepted }: Batch, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let mut output = Output { images: Vec::new(), failures: Vec::new() };
        let mut bytes = 0;
        for slice in ids.chunks(SLICE) {
            let (images, failures) = image::get_batch(cx, &name, slice.to_vec(), accepted.clone()).await?;
            output.failures.extend(failures.into_iter().map(ImageFailure::from));
            for found in images {
                bytes += found.manifest.len();
                if bytes > ANSWER_BYTES {
                    return Err(Error::limit(
                        None,
                        format!("The manifests of one answer have {ANSWER_BYTES} bytes at most; ask for fewer images"),
                    ));
                }
                output.images.push(image(cx, &name, found)?);
            }
        }
        Ok(output)
    }
}

fn image(cx: &Cx, name: &RepositoryName, found: PulledImage) -> Result<Image, Error> {
    Ok(Image {
        registry_id: cx.registry.account,
        repository_name: name.to_string(),
        image_id: ImageIdentifier { image_digest: Some(found.digest.to_string()), image_tag: found.tag },
        // Only UTF-8 manifests are accepted for storage, so this fails only if the store is damaged.
        image_manifest: String::from_utf8(found.manifest).map_err(Error::server)?,
        image_manifest_media_type: found.media_type,
    })
}
