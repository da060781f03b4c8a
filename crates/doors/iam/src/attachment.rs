//! AttachUserPolicy, DetachUserPolicy, ListAttachedUserPolicies, and the same of groups and roles; ListEntitiesForPolicy.

use crate::Iam;
use crate::holder::{self, Holder, holder_input};
use crate::types::{self, Nothing, PageIn};
use call::page::Listing;
use call::{Operation, check};
use identity::attachment::{self, HolderFilter};
use identity::entity::Entity;
use identity::managed_policy::PolicyArn;
use identity::{EntityKind, Error, Purpose};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

/// The policy that a request attaches or detaches (service authorization reference, IAM).
const POLICY_ARN: &str = "iam:PolicyARN";

/// The permission to attach or detach a policy.
fn need<K: Holder>(operation: &str, registry: &RegistryId, holder: Option<&str>, policy: Option<&str>) -> Need {
    let mut need = holder::need::<K>(operation, registry, holder);
    need.conditions.extend(policy.map(|arn| (POLICY_ARN, vec![arn.to_owned()])));
    need
}

holder_input!(Attach { policy_arn: Option<String> });

impl<K: Holder> Operation for Attach<K> {
    const NAME: &'static str = K::OPERATIONS.attach;
    type Api = Iam;
    type Checked = (String, PolicyArn);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![need::<K>(Self::NAME, registry, self.holder(), self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_ATTACHED_NAME)?;
        Ok((holder, types::policy_arn("policyArn", self.policy_arn)?))
    }

    async fn handle((holder, arn): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        attachment::attach(cx, K::KIND, &holder, &arn).await
    }
}

holder_input!(Detach { policy_arn: Option<String> });

impl<K: Holder> Operation for Detach<K> {
    const NAME: &'static str = K::OPERATIONS.detach;
    type Api = Iam;
    type Checked = (String, PolicyArn);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![need::<K>(Self::NAME, registry, self.holder(), self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_ATTACHED_NAME)?;
        Ok((holder, types::policy_arn("policyArn", self.policy_arn)?))
    }

    async fn handle((holder, arn): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        attachment::detach(cx, K::KIND, &holder, &arn).await
    }
}

holder_input!(ListAttached { path_prefix: Option<String>, marker: Option<String>, max_items: Option<i64> });

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttachedPolicies {
    attached_policies: Vec<AttachedPolicy>,
    is_truncated: bool,
    marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttachedPolicy {
    policy_name: String,
    policy_arn: String,
}

impl<K: Holder> Operation for ListAttached<K> {
    const NAME: &'static str = K::OPERATIONS.list_attached;
    type Api = Iam;
    /// The holder, the prefix of the policies' paths, and the page.
    type Checked = (String, String, PageIn);
    type Output = AttachedPolicies;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![holder::need::<K>(Self::NAME, registry, self.holder())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_ATTACHED_NAME)?;
        let prefix = types::policy_path("pathPrefix", self.path_prefix)?;
        Ok((holder, prefix, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((holder, prefix, page): Self::Checked, cx: &Cx, _app: &App) -> Result<AttachedPolicies, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&holder, &prefix]);
        let attached = attachment::list(cx, K::KIND, &holder, &prefix).await?;
        let cut = page.cut(attached, &listing, |policy| policy.id.clone())?;
        let (is_truncated, marker) = types::marker(&listing, cut.next);
        let policies = cut.items.into_iter();
        let attached_policies =
            policies.map(|policy| AttachedPolicy { policy_name: policy.name, policy_arn: policy.arn }).collect();
        Ok(AttachedPolicies { attached_policies, is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListEntitiesForPolicy {
    policy_arn: Option<String>,
    entity_filter: Option<String>,
    path_prefix: Option<String>,
    policy_usage_filter: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

/// The kinds that `EntityFilter` names. Policies have no policies.
const ENTITIES: [(&str, &[EntityKind]); 5] = [
    ("User", &[EntityKind::User]),
    ("Role", &[EntityKind::Role]),
    ("Group", &[EntityKind::Group]),
    ("LocalManagedPolicy", &[]),
    ("AWSManagedPolicy", &[]),
];
const ENTITY_NAMES: &[&str] = &["User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];
const EVERY_HOLDER: &[EntityKind] = &[EntityKind::User, EntityKind::Group, EntityKind::Role];

const USAGES: [(&str, Purpose); 2] =
    [("PermissionsPolicy", Purpose::Permissions), ("PermissionsBoundary", Purpose::Boundary)];
const USAGE_NAMES: &[&str] = &["PermissionsPolicy", "PermissionsBoundary"];

/// Checks `PolicyUsageFilter`.
pub fn usage(value: Option<String>) -> Result<Option<Purpose>, Error> {
    let usage = value.map(|value| check::one_of("policyUsageFilter", &value, USAGE_NAMES, &USAGES)).transpose();
    Ok(usage?)
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EntitiesForPolicy {
    policy_groups: Vec<PolicyGroup>,
    policy_users: Vec<PolicyUser>,
    policy_roles: Vec<PolicyRole>,
    is_truncated: bool,
    marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyGroup {
    group_name: String,
    group_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyUser {
    user_name: String,
    user_id: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyRole {
    role_name: String,
    role_id: String,
}

impl EntitiesForPolicy {
    fn add(&mut self, Entity { kind, name, id, .. }: Entity) {
        match kind {
            EntityKind::User => self.policy_users.push(PolicyUser { user_name: name, user_id: id }),
            EntityKind::Group => self.policy_groups.push(PolicyGroup { group_name: name, group_id: id }),
            EntityKind::Role => self.policy_roles.push(PolicyRole { role_name: name, role_id: id }),
            // The filter has no such kind.
            EntityKind::InstanceProfile | EntityKind::Policy => {}
        }
    }
}

impl Operation for ListEntitiesForPolicy {
    const NAME: &'static str = "ListEntitiesForPolicy";
    type Api = Iam;
    type Checked = (PolicyArn, HolderFilter, PageIn);
    type Output = EntitiesForPolicy;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::policy_need(Self::NAME, registry, self.policy_arn.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let arn = types::policy_arn("policyArn", self.policy_arn)?;
        let kinds = match self.entity_filter {
            Some(kind) => check::one_of("entityFilter", &kind, ENTITY_NAMES, &ENTITIES)?,
            None => EVERY_HOLDER,
        };
        let prefix = types::path("pathPrefix", self.path_prefix)?;
        let filter = HolderFilter { kinds: kinds.to_vec(), prefix, usage: usage(self.policy_usage_filter)? };
        Ok((arn, filter, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((arn, filter, page): Self::Checked, cx: &Cx, _app: &App) -> Result<EntitiesForPolicy, Error> {
        let what = format!("{:?} {:?}", filter.kinds, filter.usage);
        let listing = Listing::new(cx, Self::NAME, &[arn.as_str(), &filter.prefix, &what]);
        let found = attachment::entities(cx, &arn, filter, page.after(&listing)?, page.limit).await?;
        let (is_truncated, marker) = types::marker(&listing, found.next);
        let mut entities = EntitiesForPolicy { is_truncated, marker, ..EntitiesForPolicy::default() };
        found.items.into_iter().for_each(|entity| entities.add(entity));
        Ok(entities)
    }
}
