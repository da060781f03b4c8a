//! PutControlPolicy, ListControlPolicies, DeleteControlPolicy: the service control policies of an account.

use crate::account::{Nothing, required};
use crate::{Admin, Error};
use aws::AccountId;
use call::{Operation, check};
use identity::control_policy::{self, ControlPolicy};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::permission;
use serde::{Deserialize, Serialize};

/// Maximum characters of a policy's name, as IAM's policyNameType.
const NAME_CHARACTERS: u64 = 128;
/// IAM's pattern of a policy's name.
const NAME_PATTERN: &str = r"[\w+=,.@-]+";

/// Checks the member `policyName`, which is required.
fn policy_name(name: Option<String>) -> Result<String, Error> {
    let name = check::required("policyName", name)?;
    check::length("policyName", &name, 1, NAME_CHARACTERS)?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    check::pattern("policyName", name.bytes().all(known), NAME_PATTERN)?;
    Ok(name)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutControlPolicy {
    account_id: Option<String>,
    policy_name: Option<String>,
    policy_document: Option<String>,
}

impl Operation for PutControlPolicy {
    const NAME: &'static str = "PutControlPolicy";
    type Api = Admin;
    type Checked = (AccountId, ControlPolicy);
    type Output = Nothing;

    /// Authorized in the default account, like every call about the whole server.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:PutControlPolicy", permission::registry(registry))]
    }

    fn check(self) -> Result<(AccountId, ControlPolicy), Error> {
        let account = required(self.account_id)?;
        let name = policy_name(self.policy_name)?;
        let document = check::required("policyDocument", self.policy_document)?;
        check::length("policyDocument", &document, 1, control_policy::MAX_CHARACTERS)?;
        Ok((account, ControlPolicy { name, document }))
    }

    async fn handle((account, policy): (AccountId, ControlPolicy), cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        control_policy::put(cx, account, policy).await?;
        Ok(Nothing {})
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListControlPolicies {
    account_id: Option<String>,
}

/// The policies of an account, all in one answer.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListControlPoliciesOutput {
    pub policies: Vec<ControlPolicyOut>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPolicyOut {
    pub policy_name: String,
    pub policy_document: String,
}

impl Operation for ListControlPolicies {
    const NAME: &'static str = "ListControlPolicies";
    type Api = Admin;
    type Checked = AccountId;
    type Output = ListControlPoliciesOutput;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:ListControlPolicies", permission::registry(registry))]
    }

    fn check(self) -> Result<AccountId, Error> {
        required(self.account_id)
    }

    async fn handle(account: AccountId, cx: &Cx, _app: &App) -> Result<ListControlPoliciesOutput, Error> {
        let policies = control_policy::list(cx, account).await?;
        let out = |ControlPolicy { name, document }| ControlPolicyOut { policy_name: name, policy_document: document };
        Ok(ListControlPoliciesOutput { policies: policies.into_iter().map(out).collect() })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteControlPolicy {
    account_id: Option<String>,
    policy_name: Option<String>,
}

impl Operation for DeleteControlPolicy {
    const NAME: &'static str = "DeleteControlPolicy";
    type Api = Admin;
    type Checked = (AccountId, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:DeleteControlPolicy", permission::registry(registry))]
    }

    fn check(self) -> Result<(AccountId, String), Error> {
        Ok((required(self.account_id)?, policy_name(self.policy_name)?))
    }

    async fn handle((account, name): (AccountId, String), cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        control_policy::delete(cx, account, name).await?;
        Ok(Nothing {})
    }
}
