//! CreateInstanceProfile, GetInstanceProfile, ListInstanceProfiles, DeleteInstanceProfile, AddRoleToInstanceProfile,
//! RemoveRoleFromInstanceProfile, ListInstanceProfilesForRole, TagInstanceProfile, UntagInstanceProfile, ListInstanceProfileTags.

use crate::Iam;
use crate::role::{MAX_ITEMS, RoleOut, listed_bytes, role_name};
use crate::types::{self, Nothing, PageIn, Tag};
use aws::Timestamp;
use call::page::Listing;
use call::{Operation, check};
use identity::entity::{self, NewEntity, Page, Tags};
use identity::instance_profile::{self, InstanceProfile};
use identity::{EntityKind, Error};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::InstanceProfile;
/// The most characters of a name.
const MAX_NAME: u64 = 128;

fn profile_name(name: Option<String>) -> Result<String, Error> {
    types::name("instanceProfileName", name, MAX_NAME)
}

/// An instance profile on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProfileOut {
    path: String,
    instance_profile_name: String,
    instance_profile_id: String,
    arn: String,
    create_date: Timestamp,
    roles: Vec<RoleOut>,
    tags: Option<Vec<Tag>>,
}

impl ProfileOut {
    /// `tags` is empty in listings, which have no tags.
    fn of(cx: &Cx, profile: InstanceProfile, tags: Vec<(String, String)>) -> ProfileOut {
        let InstanceProfile { entity, role } = profile;
        ProfileOut {
            arn: types::arn(cx, &entity),
            create_date: types::created(&entity),
            path: entity.path,
            instance_profile_name: entity.name,
            instance_profile_id: entity.id,
            roles: role.into_iter().map(|(role, trust)| RoleOut::listed(cx, role, &trust)).collect(),
            tags: Some(types::tags_out(tags)).filter(|tags| !tags.is_empty()),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Profile {
    instance_profile: ProfileOut,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Profiles {
    instance_profiles: Vec<ProfileOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Profiles {
    fn of(cx: &Cx, page: Page<InstanceProfile>, listing: &Listing) -> Profiles {
        let (is_truncated, marker) = types::marker(listing, page.next);
        let instance_profiles = page.items.into_iter().map(|profile| ProfileOut::of(cx, profile, Vec::new())).collect();
        Profiles { instance_profiles, is_truncated, marker }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateInstanceProfile {
    instance_profile_name: Option<String>,
    path: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

impl Operation for CreateInstanceProfile {
    const NAME: &'static str = "CreateInstanceProfile";
    type Api = Iam;
    type Checked = NewEntity;
    type Output = Profile;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let path = self.path.as_deref().unwrap_or("/");
        let name = self.instance_profile_name.as_deref();
        let need = types::on_path("iam:CreateInstanceProfile", registry, KIND, path, name);
        types::create_with_tags(need, "iam:TagInstanceProfile", &self.tags)
    }

    fn check(self) -> Result<NewEntity, Error> {
        let (name, path) = (profile_name(self.instance_profile_name)?, types::path("path", self.path)?);
        Ok(NewEntity { name, path, tags: types::tags(self.tags)?, ..NewEntity::default() })
    }

    async fn handle(new: NewEntity, cx: &Cx, _app: &App) -> Result<Profile, Error> {
        let tags = new.tags.clone().into_iter().collect();
        let entity = instance_profile::create(cx, new).await?;
        Ok(Profile { instance_profile: ProfileOut::of(cx, InstanceProfile { entity, role: None }, tags) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInstanceProfile {
    instance_profile_name: Option<String>,
}

impl Operation for GetInstanceProfile {
    const NAME: &'static str = "GetInstanceProfile";
    type Api = Iam;
    type Checked = String;
    type Output = Profile;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:GetInstanceProfile", registry, KIND, self.instance_profile_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        profile_name(self.instance_profile_name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Profile, Error> {
        let (profile, tags) = instance_profile::get(cx, &name).await?;
        Ok(Profile { instance_profile: ProfileOut::of(cx, profile, tags) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInstanceProfiles {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListInstanceProfiles {
    const NAME: &'static str = "ListInstanceProfiles";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = Profiles;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListInstanceProfiles", registry, KIND, Some(""))]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((types::path_prefix(self.path_prefix)?, PageIn::check(self.marker, self.max_items)?.at_most(MAX_ITEMS)))
    }

    fn output_bytes((_, page): &Self::Checked) -> usize {
        listed_bytes(page)
    }

    async fn handle((prefix, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Profiles, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&prefix]);
        let found = instance_profile::list(cx, &prefix, page.after(&listing)?, page.limit).await?;
        Ok(Profiles::of(cx, found, &listing))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteInstanceProfile {
    instance_profile_name: Option<String>,
}

impl Operation for DeleteInstanceProfile {
    const NAME: &'static str = "DeleteInstanceProfile";
    type Api = Iam;
    type Checked = String;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:DeleteInstanceProfile", registry, KIND, self.instance_profile_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        profile_name(self.instance_profile_name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        instance_profile::delete(cx, &name).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddRoleToInstanceProfile {
    instance_profile_name: Option<String>,
    role_name: Option<String>,
}

impl Operation for AddRoleToInstanceProfile {
    const NAME: &'static str = "AddRoleToInstanceProfile";
    type Api = Iam;
    /// The profile's name and the role's.
    type Checked = (String, String);
    type Output = Nothing;

    /// A machine acts as the role, so the caller must be allowed to pass it.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let name = self.instance_profile_name.as_deref();
        let mut role = types::need_on("iam:PassRole", registry, EntityKind::Role, self.role_name.as_deref());
        role.conditions.insert("iam:PassedToService", vec!["ec2.amazonaws.com".to_owned()]);
        vec![types::need_on("iam:AddRoleToInstanceProfile", registry, KIND, name), role]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((profile_name(self.instance_profile_name)?, role_name(self.role_name)?))
    }

    async fn handle((profile, role): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        instance_profile::add_role(cx, &profile, role).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemoveRoleFromInstanceProfile {
    instance_profile_name: Option<String>,
    role_name: Option<String>,
}

impl Operation for RemoveRoleFromInstanceProfile {
    const NAME: &'static str = "RemoveRoleFromInstanceProfile";
    type Api = Iam;
    /// The profile's name and the role's.
    type Checked = (String, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let name = self.instance_profile_name.as_deref();
        vec![types::need_on("iam:RemoveRoleFromInstanceProfile", registry, KIND, name)]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((profile_name(self.instance_profile_name)?, role_name(self.role_name)?))
    }

    async fn handle((profile, role): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        instance_profile::remove_role(cx, &profile, role).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInstanceProfilesForRole {
    role_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListInstanceProfilesForRole {
    const NAME: &'static str = "ListInstanceProfilesForRole";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = Profiles;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let role = self.role_name.as_deref();
        vec![types::need_on("iam:ListInstanceProfilesForRole", registry, EntityKind::Role, role)]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((role_name(self.role_name)?, PageIn::check(self.marker, self.max_items)?.at_most(MAX_ITEMS)))
    }

    fn output_bytes((_, page): &Self::Checked) -> usize {
        listed_bytes(page)
    }

    async fn handle((role, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Profiles, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&role]);
        let found = instance_profile::of_role(cx, &role, page.after(&listing)?, page.limit).await?;
        Ok(Profiles::of(cx, found, &listing))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagInstanceProfile {
    instance_profile_name: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Operation for TagInstanceProfile {
    const NAME: &'static str = "TagInstanceProfile";
    type Api = Iam;
    type Checked = (String, Tags);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::need_on("iam:TagInstanceProfile", registry, KIND, self.instance_profile_name.as_deref());
        vec![types::with_tags(need, self.tags.as_deref().unwrap_or_default())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = profile_name(self.instance_profile_name)?;
        Ok((name, types::tags(check::required("tags", self.tags)?)?))
    }

    async fn handle((name, tags): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        entity::tag(cx, KIND, &name, tags).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagInstanceProfile {
    instance_profile_name: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Operation for UntagInstanceProfile {
    const NAME: &'static str = "UntagInstanceProfile";
    type Api = Iam;
    type Checked = (String, Vec<String>);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let name = self.instance_profile_name.as_deref();
        let mut need = types::need_on("iam:UntagInstanceProfile", registry, KIND, name);
        need.removed_tags.extend(self.tag_keys.iter().flatten().cloned());
        vec![need]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = profile_name(self.instance_profile_name)?;
        Ok((name, types::tag_keys(check::required("tagKeys", self.tag_keys)?)?))
    }

    async fn handle((name, keys): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        entity::untag(cx, KIND, &name, keys).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListInstanceProfileTags {
    instance_profile_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListInstanceProfileTags {
    const NAME: &'static str = "ListInstanceProfileTags";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = types::TagsOut;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let name = self.instance_profile_name.as_deref();
        vec![types::need_on("iam:ListInstanceProfileTags", registry, KIND, name)]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((profile_name(self.instance_profile_name)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((name, page): Self::Checked, cx: &Cx, _app: &App) -> Result<types::TagsOut, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&name]);
        types::TagsOut::page(entity::tags(cx, KIND, &name).await?, &page, &listing)
    }
}
