//! Groups and their users (IAM API reference).

use crate::Cx;
use crate::entity::{self, Entity, NewEntity, Page};
use crate::error::Error;
use meta::records::iam::EntityKind;
use serde_json::json;

const KIND: EntityKind = EntityKind::Group;

/// The most groups of a user.
pub const MAX_GROUPS_OF_USER: usize = 10;

/// Creates a group. See [`entity::create`] for the errors.
pub async fn create(cx: &Cx, new: NewEntity) -> Result<Entity, Error> {
    entity::create(cx, KIND, new, |_, _| Ok(())).await
}

/// Renames a group or moves it to another path. Its unique id, users and policies stay.
pub async fn update(cx: &Cx, name: &str, new_name: Option<String>, new_path: Option<String>) -> Result<(), Error> {
    entity::rename(cx, KIND, name, new_name, new_path).await
}

/// Deletes a group. Fails with [`Error::DeleteConflict`] while it has users or policies.
pub async fn delete(cx: &Cx, name: &str) -> Result<(), Error> {
    entity::delete(cx, KIND, name, |tx, group| {
        if tx.iam_member_count(&group.id)? > 0 {
            return Err(Error::DeleteConflict("must remove users from group first."));
        }
        entity::refuse_with_policies(tx, group)
    })
    .await
}

/// Adds a user to a group. A user that is in the group stays.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::LimitExceeded`] if the user is in [`MAX_GROUPS_OF_USER`] groups.
pub async fn add_user(cx: &Cx, group: &str, user: String) -> Result<(), Error> {
    let account = cx.registry.account;
    entity::change(cx, KIND, group, "iam.group.add_user", move |tx, group| {
        let user = entity::find(tx, account, EntityKind::User, &user)?;
        let groups = tx.iam_container_list(&user.id, "", MAX_GROUPS_OF_USER as u32)?;
        if groups.len() >= MAX_GROUPS_OF_USER && !groups.iter().any(|known| known.id == group.id) {
            return Err(Error::over("GroupsPerUser", MAX_GROUPS_OF_USER));
        }
        tx.iam_member_put(&group.id, &user.id)?;
        Ok((json!({ "user": user.id }), ()))
    })
    .await
}

/// Removes a user from a group. Fails with [`Error::NoSuchEntity`] if it is not in the group.
pub async fn remove_user(cx: &Cx, group: &str, user: String) -> Result<(), Error> {
    let account = cx.registry.account;
    entity::change(cx, KIND, group, "iam.group.remove_user", move |tx, group| {
        let user = entity::find(tx, account, EntityKind::User, &user)?;
        if !tx.iam_member_delete(&group.id, &user.id)? {
            return Err(Error::NoSuchEntity(format!("The user {} is not in the group {}.", user.name, group.name)));
        }
        Ok((json!({ "user": user.id }), ()))
    })
    .await
}

/// Returns a group and its users after a name, ordered by name without regard to case.
pub async fn users(cx: &Cx, name: &str, after: Option<String>, limit: u32) -> Result<(Entity, Page<Entity>), Error> {
    let after = after.unwrap_or_default();
    let read = entity::read(cx, KIND, name, move |tx, group| Ok(tx.iam_member_list(&group.id, &after, limit + 1)?));
    let (group, users) = read.await?;
    Ok((group, Page::of(users, limit, |user| user.name.clone())))
}

/// Returns the groups of a user after a name, ordered by name without regard to case.
pub async fn of_user(cx: &Cx, user: &str, after: Option<String>, limit: u32) -> Result<Page<Entity>, Error> {
    let after = after.unwrap_or_default();
    let read = entity::read(cx, EntityKind::User, user, move |tx, user| {
        Ok(tx.iam_container_list(&user.id, &after, limit + 1)?)
    });
    Ok(Page::of(read.await?.1, limit, |group| group.name.clone()))
}
