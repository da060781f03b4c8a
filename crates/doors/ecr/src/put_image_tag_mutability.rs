//! PutImageTagMutability (`ECR.md` A.2, C).

use super::failure::Ecr;
use super::types::{self, ExclusionFilterOut, ExclusionFilters};
use aws::AccountId;
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::Error;
use registry::repository::{self, TagMutability};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutImageTagMutability {
    registry_id: Option<String>,
    repository_name: Option<String>,
    image_tag_mutability: Option<String>,
    image_tag_mutability_exclusion_filters: Option<ExclusionFilters>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    registry_id: AccountId,
    repository_name: String,
    image_tag_mutability: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image_tag_mutability_exclusion_filters: Vec<ExclusionFilterOut>,
}

impl Operation for PutImageTagMutability {
    const NAME: &'static str = "PutImageTagMutability";
    type Api = Ecr;
    type Checked = (RepositoryName, TagMutability);
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:PutImageTagMutability", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let mutability = check::required("imageTagMutability", self.image_tag_mutability)?;
        Ok((name, types::tag_mutability(&mutability, self.image_tag_mutability_exclusion_filters)?))
    }

    async fn handle((name, mutability): Self::Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let repository = repository::put_tag_mutability(cx, &name, mutability).await?;
        Ok(Output {
            registry_id: cx.registry.account,
            repository_name: repository.name.to_string(),
            image_tag_mutability: repository.mutability.name(),
            image_tag_mutability_exclusion_filters: ExclusionFilterOut::all(&repository.mutability),
        })
    }
}
