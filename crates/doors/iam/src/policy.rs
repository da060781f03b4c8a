//! CreatePolicy, GetPolicy, ListPolicies, DeletePolicy, TagPolicy, UntagPolicy, ListPolicyTags.

use crate::Iam;
use crate::attachment::usage;
use crate::role::description;
use crate::types::{self, Nothing, PageIn, Tag};
use aws::Timestamp;
use call::page::Listing;
use call::{Operation, check};
use identity::entity::{NewEntity, Tags};
use identity::managed_policy::{self, ManagedPolicy, PolicyArn, PolicyFilter, PolicyScope};
use identity::{EntityKind, Error};
use kernel::access::{Need, Resource};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const MAX_NAME: u64 = 128;

/// A managed policy on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyOut {
    policy_name: String,
    policy_id: String,
    arn: String,
    path: String,
    default_version_id: String,
    attachment_count: i64,
    permissions_boundary_usage_count: i64,
    is_attachable: bool,
    description: Option<String>,
    create_date: Timestamp,
    update_date: Timestamp,
    tags: Option<Vec<Tag>>,
}

impl PolicyOut {
    fn of(policy: ManagedPolicy) -> PolicyOut {
        PolicyOut {
            policy_name: policy.name,
            policy_id: policy.id,
            arn: policy.arn,
            path: policy.path,
            default_version_id: format!("v{}", policy.default_version),
            attachment_count: policy.attachments,
            permissions_boundary_usage_count: policy.boundaries,
            is_attachable: policy.is_attachable,
            description: policy.description,
            create_date: Timestamp(policy.created_at),
            update_date: Timestamp(policy.updated_at),
            tags: Some(types::tags_out(policy.tags)).filter(|tags| !tags.is_empty()),
        }
    }

    /// A policy of a listing or of CreatePolicy's answer, neither of which tells the description.
    fn without_description(policy: ManagedPolicy) -> PolicyOut {
        PolicyOut { description: None, ..PolicyOut::of(policy) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreatePolicy {
    policy_name: Option<String>,
    path: Option<String>,
    policy_document: Option<String>,
    description: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    policy: PolicyOut,
}

impl Operation for CreatePolicy {
    const NAME: &'static str = "CreatePolicy";
    type Api = Iam;
    /// The policy and its document.
    type Checked = (NewEntity, String);
    type Output = Policy;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let (path, name) = (self.path.as_deref().unwrap_or("/"), self.policy_name.as_deref());
        let need = types::on_path("iam:CreatePolicy", registry, EntityKind::Policy, path, name);
        types::create_with_tags(need, "iam:TagPolicy", &self.tags)
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = types::name("policyName", self.policy_name, MAX_NAME)?;
        let path = types::policy_path("path", self.path)?;
        let document = types::policy_document("policyDocument", self.policy_document)?;
        let description = description(self.description)?;
        Ok((NewEntity { name, path, description, tags: types::tags(self.tags)?, ..NewEntity::default() }, document))
    }

    async fn handle((new, document): Self::Checked, cx: &Cx, _app: &App) -> Result<Policy, Error> {
        let policy = managed_policy::create(cx, new, document).await?;
        Ok(Policy { policy: PolicyOut::without_description(policy) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPolicy {
    policy_arn: Option<String>,
}

impl Operation for GetPolicy {
    const NAME: &'static str = "GetPolicy";
    type Api = Iam;
    type Checked = PolicyArn;
    type Output = Policy;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<PolicyArn, Error> {
        types::policy_arn("policyArn", self.policy_arn)
    }

    async fn handle(arn: PolicyArn, cx: &Cx, _app: &App) -> Result<Policy, Error> {
        Ok(Policy { policy: PolicyOut::of(managed_policy::get(cx, &arn).await?) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListPolicies {
    scope: Option<String>,
    #[serde(default)]
    only_attached: bool,
    path_prefix: Option<String>,
    policy_usage_filter: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

const SCOPES: [(&str, PolicyScope); 3] =
    [("All", PolicyScope::All), ("AWS", PolicyScope::Aws), ("Local", PolicyScope::Own)];
const SCOPE_NAMES: &[&str] = &["All", "AWS", "Local"];

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policies {
    policies: Vec<PolicyOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Operation for ListPolicies {
    const NAME: &'static str = "ListPolicies";
    type Api = Iam;
    type Checked = (PolicyFilter, PageIn);
    type Output = Policies;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("iam:ListPolicies", Resource::any(registry.account))]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let scope = match self.scope {
            Some(scope) => check::one_of("scope", &scope, SCOPE_NAMES, &SCOPES)?,
            None => PolicyScope::All,
        };
        let filter = PolicyFilter {
            scope,
            only_attached: self.only_attached,
            prefix: types::policy_path("pathPrefix", self.path_prefix)?,
            usage: usage(self.policy_usage_filter)?,
        };
        Ok((filter, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((filter, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Policies, Error> {
        let what = format!("{:?} {} {:?}", filter.scope, filter.only_attached, filter.usage);
        let listing = Listing::new(cx, Self::NAME, &[&filter.prefix, &what]);
        let found = managed_policy::list(cx, filter, page.after(&listing)?, page.limit).await?;
        let (is_truncated, marker) = types::marker(&listing, found.next);
        let policies = found.items.into_iter().map(PolicyOut::without_description).collect();
        Ok(Policies { policies, is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeletePolicy {
    policy_arn: Option<String>,
}

impl Operation for DeletePolicy {
    const NAME: &'static str = "DeletePolicy";
    type Api = Iam;
    type Checked = PolicyArn;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<PolicyArn, Error> {
        types::policy_arn("policyArn", self.policy_arn)
    }

    async fn handle(arn: PolicyArn, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        managed_policy::delete(cx, &arn).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagPolicy {
    policy_arn: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Operation for TagPolicy {
    const NAME: &'static str = "TagPolicy";
    type Api = Iam;
    type Checked = (PolicyArn, Tags);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::policy_need(Self::NAME, registry, self.policy_arn.as_deref());
        vec![types::with_tags(need, self.tags.as_deref().unwrap_or_default())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let tags = check::required("tags", self.tags)?;
        Ok((types::policy_arn("policyArn", self.policy_arn)?, types::tags(tags)?))
    }

    async fn handle((arn, tags): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        managed_policy::tag(cx, &arn, tags).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagPolicy {
    policy_arn: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Operation for UntagPolicy {
    const NAME: &'static str = "UntagPolicy";
    type Api = Iam;
    type Checked = (PolicyArn, Vec<String>);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let mut need = types::policy_need(Self::NAME, registry, self.policy_arn.as_deref());
        need.removed_tags.extend(self.tag_keys.iter().flatten().cloned());
        vec![need]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let keys = check::required("tagKeys", self.tag_keys)?;
        Ok((types::policy_arn("policyArn", self.policy_arn)?, types::tag_keys(keys)?))
    }

    async fn handle((arn, keys): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        managed_policy::untag(cx, &arn, keys).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListPolicyTags {
    policy_arn: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListPolicyTags {
    const NAME: &'static str = "ListPolicyTags";
    type Api = Iam;
    type Checked = (PolicyArn, PageIn);
    type Output = types::TagsOut;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let arn = types::policy_arn("policyArn", self.policy_arn)?;
        Ok((arn, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((arn, page): Self::Checked, cx: &Cx, _app: &App) -> Result<types::TagsOut, Error> {
        let listing = Listing::new(cx, Self::NAME, &[arn.as_str()]);
        types::TagsOut::page(managed_policy::get(cx, &arn).await?.tags, &page, &listing)
    }
}
