//! SetRepositoryPolicy, GetRepositoryPolicy, DeleteRepositoryPolicy (`ECR.md` A.2).

use super::failure::Ecr;
use super::types;
use aws::AccountId;
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::{Error, repository_policy};
use serde::{Deserialize, Serialize};

/// The model's RepositoryPolicyText and RegistryPolicyText.
pub const MAX_TEXT: u64 = 10_240;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    registry_id: AccountId,
    repository_name: String,
    policy_text: String,
}

impl Output {
    fn new(cx: &Cx, name: &RepositoryName, policy_text: String) -> Output {
        Output { registry_id: cx.registry.account, repository_name: name.to_string(), policy_text }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetRepositoryPolicy {
    registry_id: Option<String>,
    repository_name: Option<String>,
    policy_text: Option<String>,
    force: Option<bool>,
}

#[derive(Debug)]
pub struct NewPolicy {
    name: RepositoryName,
    text: String,
    force: bool,
}

impl Operation for SetRepositoryPolicy {
    const NAME: &'static str = "SetRepositoryPolicy";
    type Api = Ecr;
    type Checked = NewPolicy;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:SetRepositoryPolicy", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<NewPolicy, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let text = check::required("policyText", self.policy_text)?;
        check::length("policyText", &text, 0, MAX_TEXT)?;
        Ok(NewPolicy { name, text, force: self.force.unwrap_or(false) })
    }

    async fn handle(NewPolicy { name, text, force }: NewPolicy, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let text = repository_policy::set(cx, &name, &text, force).await?;
        Ok(Output::new(cx, &name, text))
    }
}

/// The input of an operation that names a repository and no more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedRepository {
    registry_id: Option<String>,
    repository_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct GetRepositoryPolicy(NamedRepository);

impl Operation for GetRepositoryPolicy {
    const NAME: &'static str = "GetRepositoryPolicy";
    type Api = Ecr;
    type Checked = RepositoryName;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.0.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:GetRepositoryPolicy", registry, self.0.repository_name.as_deref())]
    }

    fn check(self) -> Result<RepositoryName, Error> {
        Ok(check::repository_name(self.0.repository_name.as_deref())?)
    }

    async fn handle(name: RepositoryName, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let text = repository_policy::get(cx, &name).await?;
        Ok(Output::new(cx, &name, text))
    }
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct DeleteRepositoryPolicy(NamedRepository);

impl Operation for DeleteRepositoryPolicy {
    const NAME: &'static str = "DeleteRepositoryPolicy";
    type Api = Ecr;
    type Checked = RepositoryName;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.0.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:DeleteRepositoryPolicy", registry, self.0.repository_name.as_deref())]
    }

    fn check(self) -> Result<RepositoryName, Error> {
        Ok(check::repository_name(self.0.repository_name.as_deref())?)
    }

    async fn handle(name: RepositoryName, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let text = repository_policy::delete(cx, &name).await?;
        Ok(Output::new(cx, &name, text))
    }
}
