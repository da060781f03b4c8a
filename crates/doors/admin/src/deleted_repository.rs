//! RestoreRepository, PutRepositoryProtection: repositories come back, or are protected from deletion.

use crate::{Admin, Error, Nothing};
use call::{Operation, check};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::{permission, repository};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRepository {
    registry_id: Option<String>,
    repository_name: Option<String>,
    /// The name that it comes back under; if absent, its own.
    restored_name: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRepositoryOutput {
    pub repository_name: String,
}

impl Operation for RestoreRepository {
    const NAME: &'static str = "RestoreRepository";
    const OF_REGISTRY: bool = true;
    type Api = Admin;
    type Checked = (RepositoryName, RepositoryName);
    type Output = RestoreRepositoryOutput;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    /// A repository under another name is judged under both.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let names = [Some(&self.repository_name), self.restored_name.is_some().then_some(&self.restored_name)];
        let need = |name: &Option<String>| permission::need_on("ecru:RestoreRepository", registry, name.as_deref());
        names.into_iter().flatten().map(need).collect()
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let new = self.restored_name.map(|new| check::named_repository("restoredName", &new)).transpose()?;
        Ok((name.clone(), new.unwrap_or(name)))
    }

    async fn handle((name, new): Self::Checked, cx: &Cx, _app: &App) -> Result<RestoreRepositoryOutput, Error> {
        let restored = repository::restore(cx, &name, &new).await?;
        Ok(RestoreRepositoryOutput { repository_name: restored.name.to_string() })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutRepositoryProtection {
    registry_id: Option<String>,
    repository_name: Option<String>,
    protected: Option<bool>,
}

impl Operation for PutRepositoryProtection {
    const NAME: &'static str = "PutRepositoryProtection";
    const OF_REGISTRY: bool = true;
    type Api = Admin;
    type Checked = (RepositoryName, bool);
    type Output = Nothing;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![permission::need_on("ecru:PutRepositoryProtection", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        Ok((name, check::required("protected", self.protected)?))
    }

    async fn handle((name, protected): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        repository::set_protected(cx, &name, protected).await?;
        Ok(Nothing {})
    }
}
