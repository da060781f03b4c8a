//! BatchDeleteImage (`ECR.md` A.3).

use super::failure::Ecr;
use super::types::{self, ImageFailure, ImageIdentifier, ImageIds};
use call::Operation;
use call::check;
use kernel::access::{NamedImage, Need};
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::Error;
use registry::image::{self, ImageRef};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchDeleteImage {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_ids: Option<ImageIds>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    image_ids: Vec<ImageIdentifier>,
    failures: Vec<ImageFailure>,
}

impl Operation for BatchDeleteImage {
    const NAME: &'static str = "BatchDeleteImage";
    type Api = Ecr;
    type Checked = (RepositoryName, Vec<ImageRef>);
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::need_on("ecr:BatchDeleteImage", registry, self.repository_name.as_deref());
        types::needs_on_images(need, self.image_ids.as_ref(), NamedImage::to_delete)
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        Ok((name, types::image_ids(check::required("imageIds", self.image_ids)?)?))
    }

    async fn handle((name, ids): Self::Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let (gone, failures) = image::delete_batch(cx, &name, ids).await?;
        Ok(Output {
            image_ids: gone.into_iter().map(ImageIdentifier::from).collect(),
            failures: failures.into_iter().map(ImageFailure::from).collect(),
        })
    }
}
