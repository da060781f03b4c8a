//! CreateUser, GetUser, ListUsers, UpdateUser, DeleteUser, TagUser, UntagUser, ListUserTags.

use crate::Iam;
use crate::boundary::{self, BoundaryOut, with_boundary};
use crate::types::{self, Nothing, PageIn, Tag};
use aws::Timestamp;
use call::Operation;
use call::check;
use call::page::Listing;
use identity::entity::{self, Entity, NewEntity, Tags};
use identity::managed_policy::PolicyArn;
use identity::{EntityKind, Error, attachment, user};
use kernel::access::{CallerIdentity, Need};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::User;
/// The most characters of a new user's name. Other operations accept names of up to [`MAX_NAME`] characters.
const MAX_NEW_NAME: u64 = 64;
const MAX_NAME: u64 = 128;

/// A user on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserOut {
    path: String,
    user_name: String,
    user_id: String,
    arn: String,
    create_date: Timestamp,
    permissions_boundary: Option<BoundaryOut>,
    tags: Option<Vec<Tag>>,
}

impl UserOut {
    /// `tags` is `None` in listings, which have no tags.
    pub fn of(cx: &Cx, user: Entity, tags: Option<Vec<(String, String)>>) -> UserOut {
        let tags = tags.filter(|tags| !tags.is_empty()).map(types::tags_out);
        UserOut {
            arn: types::arn(cx, &user),
            create_date: types::created(&user),
            path: user.path,
            user_name: user.name,
            user_id: user.id,
            permissions_boundary: None,
            tags,
        }
    }

    fn with_boundary(self, arn: Option<String>) -> UserOut {
        UserOut { permissions_boundary: arn.map(BoundaryOut::of), ..self }
    }

    /// The root principal, as GetUser answers its administrator.
    fn of_administrator(cx: &Cx) -> UserOut {
        UserOut {
            path: "/".to_owned(),
            user_name: "root".to_owned(),
            user_id: cx.caller.user_id(),
            arn: cx.caller_arn(),
            create_date: Timestamp(0),
            permissions_boundary: None,
            tags: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateUser {
    path: Option<String>,
    user_name: Option<String>,
    permissions_boundary: Option<String>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct User {
    user: UserOut,
}

impl Operation for CreateUser {
    const NAME: &'static str = "CreateUser";
    type Api = Iam;
    type Checked = (NewEntity, Option<PolicyArn>);
    type Output = User;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let path = self.path.as_deref().unwrap_or("/");
        let need = types::on_path("iam:CreateUser", registry, KIND, path, self.user_name.as_deref());
        types::create_with_tags(with_boundary(need, self.permissions_boundary.as_deref()), "iam:TagUser", &self.tags)
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = types::name("userName", self.user_name, MAX_NEW_NAME)?;
        let path = types::path("path", self.path)?;
        let boundary = boundary::of_new(self.permissions_boundary)?;
        Ok((NewEntity { name, path, tags: types::tags(self.tags)?, ..NewEntity::default() }, boundary))
    }

    async fn handle((new, boundary): Self::Checked, cx: &Cx, _app: &App) -> Result<User, Error> {
        let tags = new.tags.clone().into_iter().collect();
        let created = user::create(cx, new, boundary.as_ref()).await?;
        let boundary = boundary.map(|arn| arn.as_str().to_owned());
        Ok(User { user: UserOut::of(cx, created, Some(tags)).with_boundary(boundary) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetUser {
    user_name: Option<String>,
}

impl Operation for GetUser {
    const NAME: &'static str = "GetUser";
    type Api = Iam;
    type Checked = Option<String>;
    type Output = User;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:GetUser", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Option<String>, Error> {
        self.user_name.map(|name| types::name("userName", Some(name), MAX_NAME)).transpose()
    }

    /// Without a name it is the calling user.
    async fn handle(name: Option<String>, cx: &Cx, _app: &App) -> Result<User, Error> {
        let name = match (name, &cx.caller.identity) {
            (None, CallerIdentity::Administrator { .. }) => {
                return Ok(User { user: UserOut::of_administrator(cx) });
            }
            (name, _) => types::named_or_own(cx, name)?,
        };
        let found = entity::get(cx, KIND, &name).await?;
        let tags = entity::tags(cx, KIND, &name).await?;
        let boundary = attachment::boundary(cx, KIND, &name).await?;
        Ok(User { user: UserOut::of(cx, found, Some(tags)).with_boundary(boundary) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListUsers {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Users {
    users: Vec<UserOut>,
    is_truncated: bool,
    marker: Option<String>,
}

impl Operation for ListUsers {
    const NAME: &'static str = "ListUsers";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = Users;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListUsers", registry, KIND, Some(""))]
    }

    fn check(self) -> Result<(String, PageIn), Error> {
        Ok((types::path_prefix(self.path_prefix)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((prefix, page): (String, PageIn), cx: &Cx, _app: &App) -> Result<Users, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&prefix]);
        let found = entity::list(cx, KIND, &prefix, page.after(&listing)?, page.limit).await?;
        let (is_truncated, marker) = types::marker(&listing, found.next);
        let users = found.items.into_iter().map(|user| UserOut::of(cx, user, None)).collect();
        Ok(Users { users, is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateUser {
    user_name: Option<String>,
    new_path: Option<String>,
    new_user_name: Option<String>,
}

impl Operation for UpdateUser {
    const NAME: &'static str = "UpdateUser";
    type Api = Iam;
    type Checked = (String, Option<String>, Option<String>);
    type Output = Nothing;

    /// A user that moves is changed at both of its ARNs. The second is known only when the user is found.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:UpdateUser", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = types::name("userName", self.user_name, MAX_NAME)?;
        let new_name = self.new_user_name.map(|new| types::name("newUserName", Some(new), MAX_NEW_NAME)).transpose()?;
        let new_path = self.new_path.map(|new| types::path("newPath", Some(new))).transpose()?;
        Ok((name, new_name, new_path))
    }

    async fn handle((name, new_name, new_path): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        types::authorize_move(cx, "iam:UpdateUser", (KIND, &name), new_name.as_ref(), new_path.as_ref()).await?;
        user::update(cx, &name, new_name, new_path).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteUser {
    user_name: Option<String>,
}

impl Operation for DeleteUser {
    const NAME: &'static str = "DeleteUser";
    type Api = Iam;
    type Checked = String;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:DeleteUser", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        types::name("userName", self.user_name, MAX_NAME)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        user::delete(cx, &name).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagUser {
    user_name: Option<String>,
    tags: Option<Vec<Tag>>,
}

impl Operation for TagUser {
    const NAME: &'static str = "TagUser";
    type Api = Iam;
    type Checked = (String, Tags);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = types::need_on("iam:TagUser", registry, KIND, self.user_name.as_deref());
        vec![types::with_tags(need, self.tags.as_deref().unwrap_or_default())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let tags = check::required("tags", self.tags)?;
        Ok((types::name("userName", self.user_name, MAX_NAME)?, types::tags(tags)?))
    }

    async fn handle((name, tags): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        entity::tag(cx, KIND, &name, tags).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UntagUser {
    user_name: Option<String>,
    tag_keys: Option<Vec<String>>,
}

impl Operation for UntagUser {
    const NAME: &'static str = "UntagUser";
    type Api = Iam;
    type Checked = (String, Vec<String>);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let mut need = types::need_on("iam:UntagUser", registry, KIND, self.user_name.as_deref());
        need.removed_tags.extend(self.tag_keys.iter().flatten().cloned());
        vec![need]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let keys = check::required("tagKeys", self.tag_keys)?;
        Ok((types::name("userName", self.user_name, MAX_NAME)?, types::tag_keys(keys)?))
    }

    async fn handle((name, keys): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        entity::untag(cx, KIND, &name, keys).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListUserTags {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

impl Operation for ListUserTags {
    const NAME: &'static str = "ListUserTags";
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = types::TagsOut;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListUserTags", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = types::name("userName", self.user_name, MAX_NAME)?;
        Ok((name, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((name, page): Self::Checked, cx: &Cx, _app: &App) -> Result<types::TagsOut, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&name]);
        types::TagsOut::page(entity::tags(cx, KIND, &name).await?, &page, &listing)
    }
}
