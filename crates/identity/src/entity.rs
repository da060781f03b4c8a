//! What is common to users, groups, roles, instance profiles and managed policies: names, paths, unique ids, tags.

use crate::error::Error;
use crate::{Cx, System, attachment, policies};
use aws::{AccountId, Partition};
use kernel::event::{self, Event};
use meta::Tx;
use meta::records::iam::{self, EntityKind, EntityRow};
use serde_json::json;
use std::collections::BTreeMap;

/// A user, a group, a role, an instance profile or a managed policy.
pub type Entity = EntityRow;

/// The most tags of an entity.
pub const MAX_TAGS: usize = 50;

/// IAM's quotas of an account, by kind.
pub(crate) fn quota(kind: EntityKind) -> (&'static str, usize) {
    match kind {
        EntityKind::User => ("UsersPerAccount", 5_000),
        EntityKind::Group => ("GroupsPerAccount", 300),
        EntityKind::Role => ("RolesPerAccount", 1_000),
        EntityKind::InstanceProfile => ("InstanceProfilesPerAccount", 1_000),
        EntityKind::Policy => ("PoliciesPerAccount", 1_500),
    }
}

/// An entity that does not exist yet.
#[derive(Clone, Debug, Default)]
pub struct NewEntity {
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    pub description: Option<String>,
    /// A role's trust policy.
    pub trust_policy: Option<String>,
    /// A role's longest session, in seconds.
    pub max_session: Option<i64>,
    pub tags: Tags,
}

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// A page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins: after this name. `None` for the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of `limit` items of a list that may have one more, which tells that there is a next page.
    pub fn of(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> String) -> Page<T> {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(key);
        Page { items, next }
    }
}

/// The ARN of an entity: `arn:PARTITION:iam::ACCT:KIND/PATH/NAME`.
pub fn arn(partition: Partition, entity: &Entity) -> String {
    kernel::principals::arn(partition, entity)
}

/// A unique id in AWS's form: four letters of the kind and seventeen of A-Z and 2-7.
fn unique_id(system: &System, kind: EntityKind) -> String {
    let prefix = match kind {
        EntityKind::User => "AIDA",
        EntityKind::Group => "AGPA",
        EntityKind::Role => "AROA",
        EntityKind::InstanceProfile => "AIPA",
        EntityKind::Policy => "ANPA",
    };
    format!("{prefix}{}", letters(system, 17))
}

/// Random letters of A-Z and 2-7.
pub(crate) fn letters(system: &System, count: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut chance = vec![0_u8; count];
    system.random.fill(&mut chance);
    chance.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

/// Creates an entity. `also` writes what else belongs to it in the same transaction.
///
/// # Errors
/// [`Error::EntityAlreadyExists`], also for a name that differs in case alone; [`Error::LimitExceeded`]; the errors of `also`.
pub(crate) async fn create(
    cx: &Cx,
    kind: EntityKind,
    new: NewEntity,
    also: impl Fn(&mut Tx<'_>, &mut Entity) -> Result<(), Error> + Send + Sync + 'static,
) -> Result<Entity, Error> {
    let now = cx.now().0;
    let entity = Entity {
        id: unique_id(cx, kind),
        account: cx.registry.account.to_string(),
        kind,
        name: new.name,
        path: new.path,
        created_at: now,
        updated_at: now,
        description: new.description,
        trust_policy: new.trust_policy,
        max_session: new.max_session,
        default_version: None,
        last_version: None,
    };
    let event = Event::new(cx, "iam.create", None);
    let created = cx.db.write(move |tx| {
        if tx.look_up(iam::entity_by_name(&entity.account, kind, &entity.name))?.is_some() {
            return Err(Error::exists(kind, &entity.name));
        }
        let (quota, most) = quota(kind);
        if usize::try_from(tx.iam_entity_count(&entity.account, kind)?).is_ok_and(|count| count >= most) {
            return Err(Error::over(quota, most));
        }
        let mut entity = entity.clone();
        also(tx, &mut entity)?;
        tx.iam_entity_insert(&entity)?;
        for (key, value) in &new.tags {
            tx.iam_tag_put(&entity.id, key, value)?;
        }
        record(tx, &event, &entity, json!({}))?;
        Ok(entity)
    });
    let created = created.await;
    policies::forget(cx);
    created
}

/// Writes an event about an entity.
pub(crate) fn record(
    tx: &mut Tx<'_>,
    event: &Event,
    entity: &Entity,
    detail: serde_json::Value,
) -> Result<(), meta::Error> {
    let detail = json!({ "kind": entity.kind.name(), "id": entity.id, "name": entity.name, "detail": detail });
    event::record(tx, Event { detail, ..event.clone() })
}

/// Finds an entity in a transaction.
pub(crate) fn find(tx: &mut Tx<'_>, account: AccountId, kind: EntityKind, name: &str) -> Result<Entity, Error> {
    tx.look_up(iam::entity_by_name(account.as_str(), kind, name))?.ok_or_else(|| Error::no_such(kind, name))
}

/// Returns an entity. Fails with [`Error::NoSuchEntity`].
pub async fn get(cx: &Cx, kind: EntityKind, name: &str) -> Result<Entity, Error> {
    let found = cx.db.look_up(iam::entity_by_name(cx.registry.account.as_str(), kind, name)).await?;
    found.ok_or_else(|| Error::no_such(kind, name))
}

/// Reads an entity and something of it in one transaction.
pub(crate) async fn read<T: Send + 'static>(
    cx: &Cx,
    kind: EntityKind,
    name: &str,
    of: impl Fn(&mut Tx<'_>, &Entity) -> Result<T, Error> + Send + Sync + 'static,
) -> Result<(Entity, T), Error> {
    let (account, name) = (cx.registry.account, name.to_owned());
    let read = cx.db.read(move |tx| {
        let entity = find(tx, account, kind, &name)?;
        let of = of(tx, &entity)?;
        Ok((entity, of))
    });
    read.await
}

/// Lists the entities of a kind whose path begins with `prefix`, ordered by name without regard to case, after a name.
pub async fn list(
    cx: &Cx,
    kind: EntityKind,
    prefix: &str,
    after: Option<String>,
    limit: u32,
) -> Result<Page<Entity>, Error> {
    let (account, prefix) = (cx.registry.account, prefix.to_owned());
    let after = after.unwrap_or_default();
    let listed: Result<_, Error> =
        cx.db.read(move |tx| Ok(tx.iam_entity_list(account.as_str(), kind, &after, &prefix, limit + 1)?)).await;
    Ok(Page::of(listed?, limit, |entity| entity.name.clone()))
}

/// Changes an entity and what belongs to it, and writes the event `what`. `change` returns what the event tells of it, and the result.
///
/// # Errors
/// [`Error::NoSuchEntity`], [`Error::EntityAlreadyExists`] if the new name is taken, and the errors of `change`.
pub(crate) async fn change<T: Send + 'static>(
    cx: &Cx,
    kind: EntityKind,
    name: &str,
    what: &'static str,
    change: impl Fn(&mut Tx<'_>, &mut Entity) -> Result<(serde_json::Value, T), Error> + Send + Sync + 'static,
) -> Result<T, Error> {
    let (account, name, now) = (cx.registry.account, name.to_owned(), cx.now().0);
    let event = Event::new(cx, what, None);
    let changed = cx.db.write(move |tx| {
        let before = find(tx, account, kind, &name)?;
        let mut entity = before.clone();
        let (detail, result) = change(tx, &mut entity)?;
        if entity.name != before.name {
            let taken = tx.look_up(iam::entity_by_name(account.as_str(), kind, &entity.name))?;
            if taken.is_some_and(|taken| taken.id != entity.id) {
                return Err(Error::exists(kind, &entity.name));
            }
        }
        if entity != before {
            tx.iam_entity_update(&Entity { updated_at: now, ..entity.clone() })?;
        }
        record(tx, &event, &entity, detail)?;
        Ok(result)
    });
    let changed = changed.await;
    policies::forget(cx);
    changed
}

/// Renames a user or a group, or moves it to another path. Everything else of it stays.
pub(crate) async fn rename(
    cx: &Cx,
    kind: EntityKind,
    name: &str,
    new_name: Option<String>,
    new_path: Option<String>,
) -> Result<(), Error> {
    change(cx, kind, name, "iam.update", move |_, entity| {
        let before = json!({ "name": entity.name, "path": entity.path });
        entity.name = new_name.clone().unwrap_or_else(|| entity.name.clone());
        entity.path = new_path.clone().unwrap_or_else(|| entity.path.clone());
        Ok((json!({ "before": before }), ()))
    })
    .await
}

/// Deletes an entity. `refuse` fails while something belongs to it that must be deleted first.
pub(crate) async fn delete(
    cx: &Cx,
    kind: EntityKind,
    name: &str,
    refuse: impl Fn(&mut Tx<'_>, &Entity) -> Result<(), Error> + Send + Sync + 'static,
) -> Result<(), Error> {
    let (account, name) = (cx.registry.account, name.to_owned());
    let event = Event::new(cx, "iam.delete", None);
    let deleted = cx.db.write_to_free(move |tx| {
        let entity = find(tx, account, kind, &name)?;
        refuse(tx, &entity)?;
        attachment::remove_all(tx, &entity)?;
        tx.iam_entity_delete(&entity.id)?;
        record(tx, &event, &entity, json!({}))?;
        Ok(())
    });
    let deleted = deleted.await;
    policies::forget(cx);
    deleted
}

/// Refuses to delete an entity that has policies. The texts are AWS's.
pub(crate) fn refuse_with_policies(tx: &mut Tx<'_>, entity: &Entity) -> Result<(), Error> {
    use meta::records::iam_policy::Purpose;
    if !tx.attachment_list(&entity.id, Purpose::Permissions)?.is_empty() {
        return Err(Error::DeleteConflict("must detach all policies first."));
    }
    if !tx.inline_policy_list(&entity.id)?.is_empty() {
        return Err(Error::DeleteConflict("must delete policies first."));
    }
    Ok(())
}

/// Adds tags to an entity. A tag with the same key is replaced, without regard to case.
pub async fn tag(cx: &Cx, kind: EntityKind, name: &str, tags: Tags) -> Result<(), Error> {
    change(cx, kind, name, "iam.tag", move |tx, entity| {
        let before = tx.iam_tag_list(&entity.id)?;
        let kept =
            before.iter().filter(|(key, _)| !tags.keys().any(|new| new.to_lowercase() == key.to_lowercase())).count();
        if kept + tags.len() > MAX_TAGS {
            return Err(Error::over("TagsPerResource", MAX_TAGS));
        }
        for (key, value) in &tags {
            tx.iam_tag_put(&entity.id, key, value)?;
        }
        Ok((json!({ "before": before, "put": tags }), ()))
    })
    .await
}

/// Removes tags. Unknown keys are ignored.
pub async fn untag(cx: &Cx, kind: EntityKind, name: &str, keys: Vec<String>) -> Result<(), Error> {
    change(cx, kind, name, "iam.untag", move |tx, entity| {
        for key in &keys {
            tx.iam_tag_delete(&entity.id, key)?;
        }
        Ok((json!({ "removed": keys }), ()))
    })
    .await
}

/// The tags of an entity, ordered by key without regard to case.
pub async fn tags(cx: &Cx, kind: EntityKind, name: &str) -> Result<Vec<(String, String)>, Error> {
    Ok(read(cx, kind, name, |tx, entity| Ok(tx.iam_tag_list(&entity.id)?)).await?.1)
}
