//! CreatePolicyVersion, GetPolicyVersion, ListPolicyVersions, DeletePolicyVersion, SetDefaultPolicyVersion.

use crate::Iam;
use crate::types::{self, Nothing, PageIn};
use aws::Timestamp;
use call::page::Listing;
use call::{Operation, check};
use identity::Error;
use identity::managed_policy::PolicyArn;
use identity::policy_version;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const VERSION_PATTERN: &str = r"v[1-9][0-9]*(\.[A-Za-z0-9-]*)?";

/// Checks the id of a version.
fn version_id(value: Option<String>) -> Result<String, Error> {
    let value = check::required("versionId", value)?;
    let (number, suffix) = value.split_once('.').unwrap_or((&value, ""));
    let digits = number.strip_prefix('v').unwrap_or_default();
    let known = !digits.is_empty()
        && !digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    check::pattern("versionId", known, VERSION_PATTERN)?;
    Ok(value)
}

/// A version on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct VersionOut {
    /// URL-encoded. Only GetPolicyVersion tells it.
    document: Option<String>,
    version_id: String,
    is_default_version: bool,
    create_date: Timestamp,
}

impl VersionOut {
    fn without_document(version: &policy_version::PolicyVersion) -> VersionOut {
        VersionOut {
            document: None,
            version_id: format!("v{}", version.number),
            is_default_version: version.is_default,
            create_date: Timestamp(version.created_at),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreatePolicyVersion {
    policy_arn: Option<String>,
    policy_document: Option<String>,
    #[serde(default)]
    set_as_default: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyVersion {
    policy_version: VersionOut,
}

impl Operation for CreatePolicyVersion {
    const NAME: &'static str = "CreatePolicyVersion";
    type Api = Iam;
    /// The policy, the document, and whether it becomes the default.
    type Checked = (PolicyArn, String, bool);
    type Output = PolicyVersion;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let arn = types::policy_arn("policyArn", self.policy_arn)?;
        Ok((arn, types::policy_document("policyDocument", self.policy_document)?, self.set_as_default))
    }

    async fn handle((arn, document, as_default): Self::Checked, cx: &Cx, _app: &App) -> Result<PolicyVersion, Error> {
        let version = policy_version::create(cx, &arn, document, as_default).await?;
        Ok(PolicyVersion { policy_version: VersionOut::without_document(&version) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPolicyVersion {
    policy_arn: Option<String>,
    version_id: Option<String>,
}

impl Operation for GetPolicyVersion {
    const NAME: &'static str = "GetPolicyVersion";
    type Api = Iam;
    type Checked = (PolicyArn, String);
    type Output = PolicyVersion;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((types::policy_arn("policyArn", self.policy_arn)?, version_id(self.version_id)?))
    }

    async fn handle((arn, id): Self::Checked, cx: &Cx, _app: &App) -> Result<PolicyVersion, Error> {
        let version = policy_version::get(cx, &arn, &id).await?;
        let document = Some(aws::percent_encode(&version.document));
        Ok(PolicyVersion { policy_version: VersionOut { document, ..VersionOut::without_document(&version) } })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListPolicyVersions {
    policy_arn: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyVersions {
    versions: Vec<VersionOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Operation for ListPolicyVersions {
    const NAME: &'static str = "ListPolicyVersions";
    type Api = Iam;
    type Checked = (PolicyArn, PageIn);
    type Output = PolicyVersions;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let arn = types::policy_arn("policyArn", self.policy_arn)?;
        Ok((arn, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((arn, page): Self::Checked, cx: &Cx, _app: &App) -> Result<PolicyVersions, Error> {
        let listing = Listing::new(cx, Self::NAME, &[arn.as_str()]);
        let versions = policy_version::list(cx, &arn).await?;
        // The newest is first, so a key counts down.
        let cut = page.cut(versions, &listing, |version| format!("{:020}", i64::MAX - version.number))?;
        let (is_truncated, marker) = types::marker(&listing, cut.next);
        let versions = cut.items.iter().map(VersionOut::without_document).collect();
        Ok(PolicyVersions { versions, is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeletePolicyVersion {
    policy_arn: Option<String>,
    version_id: Option<String>,
}

impl Operation for DeletePolicyVersion {
    const NAME: &'static str = "DeletePolicyVersion";
    type Api = Iam;
    type Checked = (PolicyArn, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((types::policy_arn("policyArn", self.policy_arn)?, version_id(self.version_id)?))
    }

    async fn handle((arn, id): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        policy_version::delete(cx, &arn, &id).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SetDefaultPolicyVersion {
    policy_arn: Option<String>,
    version_id: Option<String>,
}

impl Operation for SetDefaultPolicyVersion {
    const NAME: &'static str = "SetDefaultPolicyVersion";
    type Api = Iam;
    type Checked = (PolicyArn, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((types::policy_arn("policyArn", self.policy_arn)?, version_id(self.version_id)?))
    }

    async fn handle((arn, id): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        policy_version::set_default(cx, &arn, &id).await
    }
}
