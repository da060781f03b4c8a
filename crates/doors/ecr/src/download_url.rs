//! GetDownloadUrlForLayer: a signed URL for a layer's bytes (`ECR.md` A.3).

use super::failure::Ecr;
use super::types;
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::{Digest, RepositoryName};
use registry::{Error, LayersNotFoundBy, layer, layer_url};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetDownloadUrlForLayer {
    registry_id: Option<String>,
    repository_name: Option<String>,
    layer_digest: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Grants read access to whoever has it, so it is never logged and has no `Debug`.
    download_url: String,
    layer_digest: String,
}

/// The layer that the call names. Its digest is well-formed, but may be of an algorithm that can't be stored.
#[derive(Debug)]
pub struct Wanted {
    name: RepositoryName,
    digest: String,
    storable: Option<Digest>,
}

impl Operation for GetDownloadUrlForLayer {
    const NAME: &'static str = "GetDownloadUrlForLayer";
    type Api = Ecr;
    type Checked = Wanted;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:GetDownloadUrlForLayer", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Wanted, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let digest = check::required("layerDigest", self.layer_digest)?;
        let storable = check::digest("layerDigest", &digest)?;
        Ok(Wanted { name, digest, storable })
    }

    async fn handle(Wanted { name, digest, storable }: Wanted, cx: &Cx, app: &App) -> Result<Output, Error> {
        let Some(wanted) = storable else {
            registry::repository::get(cx, &name).await?;
            return Err(Error::LayersNotFound {
                by: LayersNotFoundBy::Read,
                digests: digest,
                name: name.to_string(),
                account: cx.registry.account.to_string(),
            });
        };
        let layer = layer::find(cx, &name, &wanted, true).await?;
        Ok(Output {
            download_url: format!("{}{}", app.addresses.base_url(), layer_url::sign(cx, &layer)),
            layer_digest: wanted.to_string(),
        })
    }
}
