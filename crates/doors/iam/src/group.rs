//! CreateGroup, GetGroup, ListGroups, UpdateGroup, DeleteGroup, AddUserToGroup, RemoveUserFromGroup, ListGroupsForUser.

use crate::Iam;
use crate::types::{self, Nothing, PageIn};
use crate::user::UserOut;
use aws::Timestamp;
use call::Operation;
use call::page::Listing;
use identity::entity::{self, Entity, NewEntity, Page};
use identity::{EntityKind, Error, group};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::Group;
/// The most characters of a group's name and of a user's.
const MAX_NAME: u64 = 128;

fn group_name(name: Option<String>) -> Result<String, Error> {
    types::name("groupName", name, MAX_NAME)
}

fn user_name(name: Option<String>) -> Result<String, Error> {
    types::name("userName", name, MAX_NAME)
}

/// A group on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupOut {
    path: String,
    group_name: String,
    group_id: String,
    arn: String,
    create_date: Timestamp,
}

impl GroupOut {
    fn of(cx: &Cx, group: Entity) -> GroupOut {
        GroupOut {
            arn: types::arn(cx, &group),
            create_date: types::created(&group),
            path: group.path,
            group_name: group.name,
            group_id: group.id,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Groups {
    groups: Vec<GroupOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Groups {
    fn of(cx: &Cx, page: Page<Entity>, listing: &Listing) -> Groups {
        let (is_truncated, marker) = types::marker(listing, page.next);
        let groups = page.items.into_iter().map(|group| GroupOut::of(cx, group)).collect();
        Groups { groups, is_truncated, marker }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateGroup {
    path: Option<String>,
    group_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Group {
    group: GroupOut,
}

impl Operation for CreateGroup {
    const NAME: &'static str = "CreateGroup";
    type Api = Iam;
    type Checked = NewEntity;
    type Output = Group;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let path = self.path.as_deref().unwrap_or("/");
        vec![types::on_path("iam:CreateGroup", registry, KIND, path, self.group_name.as_deref())]
    }

    fn check(self) -> Result<NewEntity, Error> {
        let (name, path) = (group_name(self.group_name)?, types::path("path", self.path)?);
        Ok(NewEntity { name, path, ..NewEntity::default() })
    }

    async fn handle(new: NewEntity, cx: &Cx, _app: &App) -> Result<Group, Error> {
        Ok(Group { group: GroupOut::of(cx, group::create(cx, new).await?) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetGroup {
    group_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupWithUsers {
    group: GroupOut,
    users: Vec<UserOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Operation for GetGroup {
    const NAME: &'static str = "GetGroup";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = GroupWithUsers;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:GetGroup", registry, KIND, self.group_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((group_name(self.group_name)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((name, page): Self::Checked, cx: &Cx, _app: &App) -> Result<GroupWithUsers, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&name]);
        let (group, users) = group::users(cx, &name, page.after(&listing)?, page.limit).await?;
        let (is_truncated, marker) = types::marker(&listing, users.next);
        let users = users.items.into_iter().map(|user| UserOut::of(cx, user, None)).collect();
        Ok(GroupWithUsers { group: GroupOut::of(cx, group), users, is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListGroups {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListGroups {
    const NAME: &'static str = "ListGroups";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = Groups;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListGroups", registry, KIND, Some(""))]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((types::path_prefix(self.path_prefix)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((prefix, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Groups, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&prefix]);
        let found = entity::list(cx, KIND, &prefix, page.after(&listing)?, page.limit).await?;
        Ok(Groups::of(cx, found, &listing))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateGroup {
    group_name: Option<String>,
    new_path: Option<String>,
    new_group_name: Option<String>,
}

impl Operation for UpdateGroup {
    const NAME: &'static str = "UpdateGroup";
    type Api = Iam;
    /// The name, the new name, and the new path.
    type Checked = (String, Option<String>, Option<String>);
    type Output = Nothing;

    /// A group that moves is changed at both of its ARNs. The second is known only when the group is found.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:UpdateGroup", registry, KIND, self.group_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = group_name(self.group_name)?;
        let new_name = self.new_group_name.map(|new| types::name("newGroupName", Some(new), MAX_NAME)).transpose()?;
        let new_path = self.new_path.map(|new| types::path("newPath", Some(new))).transpose()?;
        Ok((name, new_name, new_path))
    }

    async fn handle((name, new_name, new_path): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        types::authorize_move(cx, "iam:UpdateGroup", (KIND, &name), new_name.as_ref(), new_path.as_ref()).await?;
        group::update(cx, &name, new_name, new_path).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteGroup {
    group_name: Option<String>,
}

impl Operation for DeleteGroup {
    const NAME: &'static str = "DeleteGroup";
    type Api = Iam;
    type Checked = String;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:DeleteGroup", registry, KIND, self.group_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        group_name(self.group_name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        group::delete(cx, &name).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddUserToGroup {
    group_name: Option<String>,
    user_name: Option<String>,
}

impl Operation for AddUserToGroup {
    const NAME: &'static str = "AddUserToGroup";
    type Api = Iam;
    /// The group's name and the user's.
    type Checked = (String, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:AddUserToGroup", registry, KIND, self.group_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((group_name(self.group_name)?, user_name(self.user_name)?))
    }

    async fn handle((group, user): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        group::add_user(cx, &group, user).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RemoveUserFromGroup {
    group_name: Option<String>,
    user_name: Option<String>,
}

impl Operation for RemoveUserFromGroup {
    const NAME: &'static str = "RemoveUserFromGroup";
    type Api = Iam;
    /// The group's name and the user's.
    type Checked = (String, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:RemoveUserFromGroup", registry, KIND, self.group_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((group_name(self.group_name)?, user_name(self.user_name)?))
    }

    async fn handle((group, user): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        group::remove_user(cx, &group, user).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListGroupsForUser {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListGroupsForUser {
    const NAME: &'static str = "ListGroupsForUser";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = Groups;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListGroupsForUser", registry, EntityKind::User, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((user_name(self.user_name)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((name, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Groups, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&name]);
        let found = group::of_user(cx, &name, page.after(&listing)?, page.limit).await?;
        Ok(Groups::of(cx, found, &listing))
    }
}
