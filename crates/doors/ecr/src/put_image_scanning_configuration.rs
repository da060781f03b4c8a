//! PutImageScanningConfiguration: the repository's `scanOnPush` flag, stored until scanning reads it (`ECR.md` A.2).

use super::failure::Ecr;
use super::types::{self, ImageScanningConfiguration, ImageScanningConfigurationOut};
use aws::AccountId;
use call::check;
use call::{Operation, Structure};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::{Error, repository};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutImageScanningConfiguration {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_scanning_configuration: Option<Structure<ImageScanningConfiguration>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    registry_id: AccountId,
    repository_name: String,
    image_scanning_configuration: ImageScanningConfigurationOut,
}

/// The repository, and its new `scanOnPush` flag.
#[derive(Debug)]
pub struct Checked {
    name: RepositoryName,
    scan_on_push: bool,
}

impl Operation for PutImageScanningConfiguration {
    const NAME: &'static str = "PutImageScanningConfiguration";
    type Api = Ecr;
    type Checked = Checked;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:PutImageScanningConfiguration", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let Structure(configuration) =
            check::required("imageScanningConfiguration", self.image_scanning_configuration)?;
        Ok(Checked { name, scan_on_push: configuration.scan_on_push() })
    }

    async fn handle(Checked { name, scan_on_push }: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let repository = repository::put_scan_on_push(cx, &name, scan_on_push).await?;
        Ok(Output {
            registry_id: cx.registry.account,
            repository_name: repository.name.to_string(),
            image_scanning_configuration: ImageScanningConfigurationOut { scan_on_push: repository.scan_on_push },
        })
    }
}
