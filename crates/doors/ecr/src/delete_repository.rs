//! DeleteRepository (`ECR.md` A.2).

use super::failure::Ecr;
use super::types::{self, Repository, RepositoryOut};
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::{Error, repository};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteRepository {
    registry_id: Option<String>,
    repository_name: Option<String>,
    force: Option<bool>,
}

/// The repository, and whether its images are deleted with it.
#[derive(Debug)]
pub struct Checked {
    name: RepositoryName,
    force: bool,
}

impl Operation for DeleteRepository {
    const NAME: &'static str = "DeleteRepository";
    type Api = Ecr;
    type Checked = Checked;
    type Output = RepositoryOut;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:DeleteRepository", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Checked, Error> {
        Ok(Checked {
            name: check::repository_name(self.repository_name.as_deref())?,
            force: self.force.unwrap_or(false),
        })
    }

    async fn handle(Checked { name, force }: Checked, cx: &Cx, app: &App) -> Result<RepositoryOut, Error> {
        let deleted = repository::delete(cx, &name, force).await?;
        Ok(RepositoryOut { repository: Repository::new(app, deleted) })
    }
}
