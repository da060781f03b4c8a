//! CreateRole, GetRole, ListRoles, UpdateRole, UpdateRoleDescription, DeleteRole, UpdateAssumeRolePolicy, TagRole, UntagRole, ListRoleTags.

use crate::Iam;
use crate::boundary::{self, BoundaryOut, with_boundary};
use crate::types::{self, Nothing, PageIn, Tag};
use aws::{Partition, Timestamp};
use call::page::Listing;
use call::{Operation, check};
use identity::entity::{self, Entity, NewEntity, Tags};
use identity::managed_policy::PolicyArn;
use identity::role::{self, RoleDetail, RoleUpdate, TrustPolicy};
use identity::{EntityKind, Error};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::Role;
/// The most characters of a role's name.
const MAX_NAME: u64 = 64;
const MAX_DESCRIPTION: u64 = 1_000;
const DESCRIPTION_PATTERN: &str = r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*";
/// The longest session of a role, in seconds.
const SESSION_SECONDS: std::ops::RangeInclusive<i64> = 3_600..=43_200;
/// The longest sign-in session of a role, in seconds. Ecru has no sign-in sessions.
const SIGN_IN_SECONDS: std::ops::RangeInclusive<i64> = 3_600..=7_776_000;

pub(crate) fn role_name(name: Option<String>) -> Result<String, Error> {
    types::name("roleName", name, MAX_NAME)
}

pub(crate) fn description(text: Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    check::length("description", &text, 0, MAX_DESCRIPTION)?;
    let known = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{A1}'..='\u{FF}');
    check::pattern("description", text.chars().all(known), DESCRIPTION_PATTERN)?;
    Ok(Some(text))
}

fn max_session(seconds: Option<i64>) -> Result<Option<i64>, Error> {
    if let Some(seconds) = seconds {
        check::range("maxSessionDuration", seconds, *SESSION_SECONDS.start(), *SESSION_SECONDS.end())?;
    }
    Ok(seconds)
}

/// Refuses a limit of sign-in sessions, which Ecru does not have.
fn refuse_sign_in(seconds: Option<i64>) -> Result<(), Error> {
    let Some(seconds) = seconds else { return Ok(()) };
    check::range("maxSigninSessionDuration", seconds, *SIGN_IN_SECONDS.start(), *SIGN_IN_SECONDS.end())?;
    Err(Error::InvalidInput("MaxSigninSessionDuration: Ecru has no sign-in sessions".to_owned()))
}

/// A role on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RoleOut {
    path: String,
    role_name: String,
    role_id: String,
    arn: String,
    create_date: Timestamp,
    /// URL-encoded.
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: Option<i64>,
    permissions_boundary: Option<BoundaryOut>,
    tags: Option<Vec<Tag>>,
    role_last_used: Option<LastUsed>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LastUsed {
    last_used_date: Option<Timestamp>,
    region: Option<String>,
}

impl RoleOut {
    /// A role of a listing, which has no tags and no last use.
    pub fn listed(cx: &Cx, role: Entity, trust_policy: &str) -> RoleOut {
        RoleOut {
            arn: types::arn(cx, &role),
            create_date: types::created(&role),
            path: role.path,
            role_name: role.name,
            role_id: role.id,
            assume_role_policy_document: aws::percent_encode(trust_policy),
            description: role.description,
            max_session_duration: role.max_session,
            permissions_boundary: None,
            tags: None,
            role_last_used: None,
        }
    }

    /// A role with everything.
    pub fn of(cx: &Cx, role: Entity, detail: RoleDetail) -> RoleOut {
        let RoleDetail { trust_policy, tags, last_used, boundary } = detail;
        let last_used = match last_used {
            Some(used) => LastUsed { last_used_date: Some(Timestamp(used.used_at)), region: Some(used.region) },
            None => LastUsed { last_used_date: None, region: None },
        };
        let tags = Some(types::tags_out(tags)).filter(|tags| !tags.is_empty());
        let permissions_boundary = boundary.map(BoundaryOut::of);
        let listed = RoleOut::listed(cx, role, &trust_policy);
        RoleOut { permissions_boundary, tags, role_last_used: Some(last_used), ..listed }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRole {
    path: Option<String>,
    role_name: Option<String>,
    assume_role_policy_document: Option<String>,
    description: Option<String>,
    max_session_duration: Option<i64>,
    max_signin_session_duration: Option<i64>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Role {
    pub role: RoleOut,
}

impl Operation for CreateRole {
    const NAME: &'static str = "CreateRole";
    type Api = Iam;
    /// The role, the text of its trust policy and its permissions boundary.
    type Checked = (NewEntity, String, Option<PolicyArn>);
    type Output = Role;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let path = self.path.as_deref().unwrap_or("/");
        let need = types::on_path("iam:CreateRole", registry, KIND, path, self.role_name.as_deref());
        types::create_with_tags(with_boundary(need, self.permissions_boundary.as_deref()), "iam:TagRole", &self.tags)
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let (name, path) = (role_name(self.role_name)?, types::path("path", self.path)?);
        let trust = types::policy_document("assumeRolePolicyDocument", self.assume_role_policy_document)?;
        let description = description(self.description)?;
        let max_session = max_session(self.max_session_duration)?;
        let boundary = boundary::of_new(self.permissions_boundary)?;
        let tags = types::tags(self.tags)?;
        refuse_sign_in(self.max_signin_session_duration)?;
        role::check_path(&path)?;
        Ok((NewEntity { name, path, description, max_session, tags, ..NewEntity::default() }, trust, boundary))
    }

    async fn handle((new, trust, boundary): Self::Checked, cx: &Cx, _app: &App) -> Result<Role, Error> {
        let trust = TrustPolicy::check(&trust, partition(cx))?;
        let (role, detail) = role::create(cx, new, trust, boundary.as_ref()).await?;
        Ok(Role { role: RoleOut::of(cx, role, detail) })
    }
}

/// The most roles or instance profiles of a page, so that an answer is small enough to be held in memory.
pub(crate) const MAX_ITEMS: u32 = 100;

/// The most bytes of a page of roles or of instance profiles with their roles.
pub(crate) fn listed_bytes(page: &PageIn) -> usize {
    // A trust policy is indented and URL-encoded.
    const ROLE_BYTES: usize = 16 * role::MAX_TRUST_POLICY;
    page.limit as usize * ROLE_BYTES
}

fn partition(cx: &Cx) -> Partition {
    cx.registry.partition()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRole {
    role_name: Option<String>,
}

impl Operation for GetRole {
    const NAME: &'static str = "GetRole";
    type Api = Iam;
    type Checked = String;
    type Output = Role;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:GetRole", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        role_name(self.role_name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Role, Error> {
        let (role, detail) = role::get(cx, &name).await?;
        Ok(Role { role: RoleOut::of(cx, role, detail) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRoles {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Roles {
    roles: Vec<RoleOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Operation for ListRoles {
    const NAME: &'static str = "ListRoles";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = Roles;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListRoles", registry, KIND, Some(""))]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((types::path_prefix(self.path_prefix)?, PageIn::check(self.marker, self.max_items)?.at_most(MAX_ITEMS)))
    }

    fn output_bytes((_, page): &Self::Checked) -> usize {
        listed_bytes(page)
    }

    async fn handle((prefix, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Roles, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&prefix]);
        let found = role::list(cx, &prefix, page.after(&listing)?, page.limit).await?;
        let (is_truncated, marker) = types::marker(&listing, found.next);
        let roles = found.items.into_iter().map(|(role, trust)| RoleOut::listed(cx, role, &trust)).collect();
        Ok(Roles { roles, is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateRole {
    role_name: Option<String>,
    description: Option<String>,
    max_session_duration: Option<i64>,
    max_signin_session_duration: Option<i64>,
    reset_max_signin_session_duration: Option<bool>,
}

/// An output without members.
#[derive(Debug, Serialize)]
pub struct Empty {}

impl Operation for UpdateRole {
    const NAME: &'static str = "UpdateRole";
    type Api = Iam;
    type Checked = (String, RoleUpdate);
    type Output = Empty;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:UpdateRole", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = role_name(self.role_name)?;
        let description = description(self.description)?;
        let max_session = max_session(self.max_session_duration)?;
        // A limit that is not set can always be reset.
        if self.reset_max_signin_session_duration != Some(true) {
            refuse_sign_in(self.max_signin_session_duration)?;
        }
        Ok((name, RoleUpdate { description, max_session }))
    }

    async fn handle((name, update): Self::Checked, cx: &Cx, _app: &App) -> Result<Empty, Error> {
        role::update(cx, &name, update).await?;
        Ok(Empty {})
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateRoleDescription {
    role_name: Option<String>,
    description: Option<String>,
}

impl Operation for UpdateRoleDescription {
    const NAME: &'static str = "UpdateRoleDescription";
    type Api = Iam;
    type Checked = (String, RoleUpdate);
    type Output = Role;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:UpdateRoleDescription", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = role_name(self.role_name)?;
        let text = check::required("description", self.description)?;
        Ok((name, RoleUpdate { description: description(Some(text))?, max_session: None }))
    }

    async fn handle((name, update): Self::Checked, cx: &Cx, _app: &App) -> Result<Role, Error> {
        role::update(cx, &name, update).await?;
        let (role, detail) = role::get(cx, &name).await?;
        Ok(Role { role: RoleOut::of(cx, role, detail) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteRole {
    role_name: Option<String>,
}

impl Operation for DeleteRole {
    const NAME: &'static str = "DeleteRole";
    type Api = Iam;
    type Checked = String;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:DeleteRole", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        role_name(self.role_name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        role::delete(cx, &name).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAssumeRolePolicy {
    role_name: Option<String>,
    policy_document: Option<String>,
}

impl Operation for UpdateAssumeRolePolicy {
    const NAME: &'static str = "UpdateAssumeRolePolicy";
    type Api = Iam;
    /// The role's name and the text of the trust policy.
    type Checked = (String, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:UpdateAssumeRolePolicy", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((role_name(self.role_name)?, types::policy_document("policyDocument", self.policy_document)?))
    }

    async fn handle((name, trust): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        let trust = TrustPolicy::check(&trust, partition(cx))?;
        role::set_trust(cx, &name, trust).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagRole {
    role_name: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Operation for TagRole {
    const NAME: &'static str = "TagRole";
    type Api = Iam;
    type Checked = (String, Tags);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::need_on("iam:TagRole", registry, KIND, self.role_name.as_deref());
        vec![types::with_tags(need, self.tags.as_deref().unwrap_or_default())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((role_name(self.role_name)?, types::tags(check::required("tags", self.tags)?)?))
    }

    async fn handle((name, tags): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        entity::tag(cx, KIND, &name, tags).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagRole {
    role_name: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Operation for UntagRole {
    const NAME: &'static str = "UntagRole";
    type Api = Iam;
    type Checked = (String, Vec<String>);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let mut need = types::need_on("iam:UntagRole", registry, KIND, self.role_name.as_deref());
        need.removed_tags.extend(self.tag_keys.iter().flatten().cloned());
        vec![need]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((role_name(self.role_name)?, types::tag_keys(check::required("tagKeys", self.tag_keys)?)?))
    }

    async fn handle((name, keys): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        entity::untag(cx, KIND, &name, keys).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRoleTags {
    role_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListRoleTags {
    const NAME: &'static str = "ListRoleTags";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = types::TagsOut;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListRoleTags", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((role_name(self.role_name)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((name, page): Self::Checked, cx: &Cx, _app: &App) -> Result<types::TagsOut, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&name]);
        types::TagsOut::page(entity::tags(cx, KIND, &name).await?, &page, &listing)
    }
}
