//! PutRegistryPolicy, GetRegistryPolicy, DeleteRegistryPolicy (`ECR.md` A.1).

use super::failure::Ecr;
use super::repository_policy::MAX_TEXT;
use aws::AccountId;
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::{Error, permission, registry_policy};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    registry_id: AccountId,
    policy_text: String,
}

impl Output {
    fn new(cx: &Cx, policy_text: String) -> Output {
        Output { registry_id: cx.registry.account, policy_text }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutRegistryPolicy {
    policy_text: Option<String>,
}

impl Operation for PutRegistryPolicy {
    const NAME: &'static str = "PutRegistryPolicy";
    type Api = Ecr;
    type Checked = String;
    type Output = Output;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecr:PutRegistryPolicy", permission::registry(registry))]
    }

    fn check(self) -> Result<String, Error> {
        let text = check::required("policyText", self.policy_text)?;
        check::length("policyText", &text, 0, MAX_TEXT)?;
        Ok(text)
    }

    async fn handle(text: String, cx: &Cx, _app: &App) -> Result<Output, Error> {
        Ok(Output::new(cx, registry_policy::put(cx, &text).await?))
    }
}

#[derive(Debug, Deserialize)]
pub struct GetRegistryPolicy {}

impl Operation for GetRegistryPolicy {
    const NAME: &'static str = "GetRegistryPolicy";
    type Api = Ecr;
    type Checked = ();
    type Output = Output;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecr:GetRegistryPolicy", permission::registry(registry))]
    }

    fn check(self) -> Result<(), Error> {
        Ok(())
    }

    async fn handle((): (), cx: &Cx, _app: &App) -> Result<Output, Error> {
        Ok(Output::new(cx, registry_policy::get(cx).await?))
    }
}

#[derive(Debug, Deserialize)]
pub struct DeleteRegistryPolicy {}

impl Operation for DeleteRegistryPolicy {
    const NAME: &'static str = "DeleteRegistryPolicy";
    type Api = Ecr;
    type Checked = ();
    type Output = Output;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecr:DeleteRegistryPolicy", permission::registry(registry))]
    }

    fn check(self) -> Result<(), Error> {
        Ok(())
    }

    async fn handle((): (), cx: &Cx, _app: &App) -> Result<Output, Error> {
        Ok(Output::new(cx, registry_policy::delete(cx).await?))
    }
}
