//! Instance profiles, each of which passes one role to machines (IAM API reference).

use crate::Cx;
use crate::entity::{self, Entity, NewEntity, Page};
use crate::error::Error;
use crate::role;
use meta::Tx;
use meta::records::iam::EntityKind;
use serde_json::json;

const KIND: EntityKind = EntityKind::InstanceProfile;

/// The most roles of an instance profile.
pub const MAX_ROLES: usize = 1;

/// An instance profile with its role, and the role's trust policy as it is shown.
#[derive(Debug)]
pub struct InstanceProfile {
    pub entity: Entity,
    pub role: Option<(Entity, String)>,
}

/// Creates an instance profile without a role. See [`entity::create`] for the errors.
pub async fn create(cx: &Cx, new: NewEntity) -> Result<Entity, Error> {
    entity::create(cx, KIND, new, |_, _| Ok(())).await
}

/// Returns an instance profile and its tags. Fails with [`Error::NoSuchEntity`].
pub async fn get(cx: &Cx, name: &str) -> Result<(InstanceProfile, Vec<(String, String)>), Error> {
    let partition = cx.registry.partition();
    let read = entity::read(cx, KIND, name, move |tx, entity| {
        Ok((role_of(tx, partition, &entity.id)?, tx.iam_tag_list(&entity.id)?))
    });
    let (entity, (role, tags)) = read.await?;
    Ok((InstanceProfile { entity, role }, tags))
}

/// Lists the instance profiles whose path begins with `prefix` after a name.
pub async fn list(cx: &Cx, prefix: &str, after: Option<String>, limit: u32) -> Result<Page<InstanceProfile>, Error> {
    let Page { items, next } = entity::list(cx, KIND, prefix, after, limit).await?;
    Ok(Page { items: with_roles(cx, items).await?, next })
}

/// Lists the instance profiles of a role after a name.
pub async fn of_role(cx: &Cx, role: &str, after: Option<String>, limit: u32) -> Result<Page<InstanceProfile>, Error> {
    let after = after.unwrap_or_default();
    let read = entity::read(cx, EntityKind::Role, role, move |tx, role| {
        Ok(tx.iam_container_list(&role.id, &after, limit + 1)?)
    });
    let Page { items, next } = Page::of(read.await?.1, limit, |profile| profile.name.clone());
    Ok(Page { items: with_roles(cx, items).await?, next })
}

async fn with_roles(cx: &Cx, profiles: Vec<Entity>) -> Result<Vec<InstanceProfile>, Error> {
    let partition = cx.registry.partition();
    cx.db
        .read(move |tx| {
            let with_role = |entity: &Entity| {
                Ok(InstanceProfile { entity: entity.clone(), role: role_of(tx, partition, &entity.id)? })
            };
            profiles.iter().map(with_role).collect()
        })
        .await
}

fn role_of(tx: &mut Tx<'_>, partition: aws::Partition, id: &str) -> Result<Option<(Entity, String)>, Error> {
    let Some(found) = tx.iam_member_list(id, "", MAX_ROLES as u32)?.pop() else { return Ok(None) };
    let trust = role::shown(tx, partition, &found)?;
    Ok(Some((found, trust)))
}

/// Deletes an instance profile. Fails with [`Error::DeleteConflict`] while it has a role.
pub async fn delete(cx: &Cx, name: &str) -> Result<(), Error> {
    entity::delete(cx, KIND, name, |tx, profile| {
        if tx.iam_member_count(&profile.id)? > 0 {
            return Err(Error::DeleteConflict("must remove roles from instance profile first."));
        }
        Ok(())
    })
    .await
}

/// Adds a role to an instance profile.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::UnmodifiableEntity`] for a service-linked role; [`Error::LimitExceeded`] if the profile has a role.
pub async fn add_role(cx: &Cx, profile: &str, role: String) -> Result<(), Error> {
    let account = cx.registry.account;
    entity::change(cx, KIND, profile, "iam.instance_profile.add_role", move |tx, profile| {
        let role = entity::find(tx, account, EntityKind::Role, &role)?;
        role::refuse_service_linked(&role)?;
        if tx.iam_member_count(&profile.id)? > 0 {
            // AWS's name of the quota.
            return Err(Error::over("InstanceSessionsPerInstanceProfile", MAX_ROLES));
        }
        tx.iam_member_put(&profile.id, &role.id)?;
        Ok((json!({ "role": role.id }), ()))
    })
    .await
}

/// Removes a role from an instance profile. Fails with [`Error::NoSuchEntity`] if the profile does not have it.
pub async fn remove_role(cx: &Cx, profile: &str, role: String) -> Result<(), Error> {
    let account = cx.registry.account;
    entity::change(cx, KIND, profile, "iam.instance_profile.remove_role", move |tx, profile| {
        let role = entity::find(tx, account, EntityKind::Role, &role)?;
        if !tx.iam_member_delete(&profile.id, &role.id)? {
            let text = format!("Role {} in Instance Profile {} cannot be found.", role.name, profile.name);
            return Err(Error::NoSuchEntity(text));
        }
        Ok((json!({ "role": role.id }), ()))
    })
    .await
}
