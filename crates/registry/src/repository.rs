//! Repositories (`ECR.md` A.2, C).

use crate::clock::Time;
use crate::event::{self, Event};
use crate::quota::{Quota, QuotaSubject, Reservation};
use crate::{Constraint, Cx, Error, policies, resource_tags};
use meta::RepositoryId;
use meta::records::{self, repository::RepositoryRow};
use oci::RepositoryName;
use serde_json::json;

pub use crate::tag_mutability::TagMutability;

#[derive(Clone, Debug)]
pub struct Repository {
    pub id: RepositoryId,
    pub registry: crate::RegistryId,
    pub name: RepositoryName,
    pub created_at: Time,
    pub mutability: TagMutability,
    pub scan_on_push: bool,
    pub encryption: Encryption,
    /// True if the repository can't be deleted. Nothing sets it yet.
    pub protected: bool,
}

/// The encryption identity of a repository's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    Aes256,
}

impl Encryption {
    pub const TYPES: &'static [&'static str] = &["AES256", "KMS", "KMS_DSSE"];

    /// Parses the members of a call. Fails with [`Error::Kms`] for KMS until it is available, so that nothing is stored unencrypted by
    /// mistake.
    pub fn new(encryption_type: &str, kms_key: Option<&str>) -> Result<Encryption, Error> {
        match encryption_type {
            "AES256" if kms_key.is_none() => Ok(Encryption::Aes256),
            "AES256" => Err(Error::invalid(
                "encryptionConfiguration",
                Constraint::Text("kmsKey can't be given when encryptionType is AES256".into()),
            )),
            "KMS" | "KMS_DSSE" => Err(Error::Kms {
                kms_error: "NotAvailable",
                message: format!("Encryption type {encryption_type} is not available yet; use AES256"),
            }),
            _ => Err(Error::invalid("encryptionConfiguration.encryptionType", Constraint::Enum(Encryption::TYPES))),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Encryption::Aes256 => "AES256",
        }
    }
}

pub struct NewRepository {
    pub name: RepositoryName,
    pub mutability: TagMutability,
    pub scan_on_push: bool,
    pub encryption: Encryption,
    /// Checked by [`create`] with [`resource_tags::check`].
    pub tags: Vec<(String, String)>,
}

/// A page of a listing. `next` is the cursor of the last item if more items follow.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Vec<u8>>,
}

impl<T> Page<T> {
    /// Makes a page from up to `limit + 1` items. The extra item only shows that more follow.
    pub(crate) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Vec<u8>) -> Page<T> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        Page { items, next }
    }
}

/// Returns [`Error::RepositoryNotFound`] for a name in the call's registry.
pub(crate) fn not_found(cx: &Cx, name: &RepositoryName) -> Error {
    Error::RepositoryNotFound { name: name.to_string(), account: cx.registry.account.to_string() }
}

fn repository(cx: &Cx, row: RepositoryRow) -> Result<Repository, Error> {
    Ok(Repository {
        id: row.id,
        registry: cx.registry.clone(),
        name: row.name.parse().map_err(Error::server)?,
        created_at: Time(row.created_at),
        mutability: TagMutability::from_row(&row.tag_mutability, &row.mutability_filters)?,
        scan_on_push: row.scan_on_push,
        encryption: Encryption::new(&row.encryption, None).map_err(Error::server)?,
        protected: row.protected,
    })
}

pub async fn create(cx: &Cx, new: NewRepository) -> Result<Repository, Error> {
    // Check the tags and the quota.
    resource_tags::check(cx, &new.tags)?;
    let reservation = reserve(cx, &new.name).await?;
    let row = RepositoryRow {
        id: cx.id(),
        name: new.name.to_string(),
        created_at: cx.now().0,
        tag_mutability: new.mutability.name().to_owned(),
        mutability_filters: new.mutability.filters().join("\n"),
        scan_on_push: new.scan_on_push,
        encryption: new.encryption.name().to_owned(),
        protected: false,
    };
    let registry = cx.registry.key();
    let account = registry.account.clone();
    let detail = json!({ "after": { "imageTagMutability": row.tag_mutability, "encryptionType": row.encryption } });
    let event = Event { detail, ..Event::new(cx, "repository.create", Some(row.id)) };
    // Insert the repository, its tags and its event. On failure its place in the quota is free again.
    let (stored, tags) = (row.clone(), new.tags);
    let created = cx
        .db
        .write(move |tx| {
            if tx.repository_by_name(&registry, &stored.name)?.is_some() {
                return Err(Error::RepositoryAlreadyExists { name: stored.name.clone(), account: account.clone() });
            }
            tx.repository_insert(&registry, &stored)?;
            for (key, value) in &tags {
                tx.resource_tag_put(stored.id, key, value)?;
            }
            event::record(tx, event.clone())?;
            Ok(())
        })
        .await;
    policies::forget(cx);
    if let Err(error) = created {
        Quota::of(cx).give_back(reservation);
        return Err(error);
    }
    repository(cx, row)
}

/// Takes one from the quota of repositories. See [`crate::quota`].
async fn reserve(cx: &Cx, name: &RepositoryName) -> Result<Reservation, Error> {
    let limit = cx.limits.repositories_per_registry;
    let registry = cx.registry.key();
    let subject = QuotaSubject::Repositories(cx.registry.clone());
    // `create` reports a repository with the same name as existing.
    let exists =
        async || Ok(cx.db.look_up(records::repository::by_name(&cx.registry.key(), name.as_str())).await?.is_some());
    let count = async || cx.db.read(move |tx| Ok::<_, Error>(tx.repository_count(&registry)?)).await;
    if let Some(reservation) = Quota::of(cx).reserve(subject, limit, cx.now(), exists, count).await? {
        return Ok(reservation);
    }
    let account = &cx.registry.account;
    Err(Error::limit(
        Some("repositories_per_registry"),
        format!("The registry with id '{account}' has its maximum of {limit} repositories"),
    ))
}

/// Returns a repository. Fails with [`Error::RepositoryNotFound`] if it does not exist.
pub async fn get(cx: &Cx, name: &RepositoryName) -> Result<Repository, Error> {
    repository(cx, row(cx, name).await?)
}

/// Returns several repositories. Fails if one is missing, with the first missing name.
pub async fn get_all(cx: &Cx, names: Vec<RepositoryName>) -> Result<Vec<Repository>, Error> {
    let registry = cx.registry.key();
    let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
    let rows = cx
        .db
        .read(move |tx| texts.iter().map(|name| tx.repository_by_name(&registry, name)).collect::<Result<Vec<_>, _>>())
        .await?;
    names.iter().zip(rows).map(|(name, row)| repository(cx, row.ok_or_else(|| not_found(cx, name))?)).collect()
}

/// Lists the repositories after `after`, ordered by name. `after` is a name in bytes: the cursor of an earlier page, or the docker door's
/// `last`.
pub async fn list(cx: &Cx, after: Option<Vec<u8>>, limit: u32) -> Result<Page<Repository>, Error> {
    let registry = cx.registry.key();
    let after = String::from_utf8(after.unwrap_or_default()).map_err(Error::server)?;
    let rows = cx.db.read(move |tx| tx.repository_list(&registry, &after, limit.saturating_add(1))).await?;
    let items = rows.into_iter().map(|row| repository(cx, row)).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(items, limit, |repository| repository.name.as_str().as_bytes().to_vec()))
}

/// Marks a repository and its content as deleted. A repository with images needs `force`. Its name can be used again at once. What belongs
/// to it stays until its window has ended ([`crate::collect`]).
pub async fn delete(cx: &Cx, name: &RepositoryName, force: bool) -> Result<Repository, Error> {
    let now = cx.now().0;
    let account = cx.registry.account.to_string();
    let event = Event { detail: json!({ "force": force }), ..Event::new(cx, "repository.delete", None) };
    let (deleted, ()) = change_to_free(cx, name, move |tx, row| {
        if row.protected {
            return Err(Error::Validation(format!(
                "The repository with name '{0}' is protected from deletion; `ecru repository unprotect {0}` ends the protection",
                row.name
            )));
        }
        if !force && tx.image_any(row.id)? {
            return Err(Error::RepositoryNotEmpty { name: row.name.clone(), account: account.clone() });
        }
        tx.repository_delete(row.id, now)?;
        event::record(tx, Event { repository: Some(row.id), ..event.clone() })?;
        Ok(())
    })
    .await?;
    Quota::of(cx).deleted(&QuotaSubject::Repositories(cx.registry.clone()), 1);
    Quota::of(cx).forget(&QuotaSubject::Images { registry: cx.registry.clone(), repository: name.clone() });
    Ok(deleted)
}

/// Brings back the repository that was deleted last under a name, with all that it held, under the same or another name.
///
/// # Errors
/// [`Error::RepositoryNotFound`] if no deleted repository of this name can be restored. [`Error::RepositoryAlreadyExists`] if the new
/// name is taken.
pub async fn restore(cx: &Cx, name: &RepositoryName, as_name: &RepositoryName) -> Result<Repository, Error> {
    let (registry, deleted, text) = (cx.registry.key(), name.to_string(), as_name.to_string());
    let since = cx.now().minus(cx.limits.undelete_window);
    let account = cx.registry.account.to_string();
    let event = Event::new(cx, "repository.restore", None);
    let restored = cx.db.write(move |tx| {
        if tx.repository_by_name(&registry, &text)?.is_some() {
            return Err(Error::RepositoryAlreadyExists { name: text.clone(), account: account.clone() });
        }
        let found = tx.deleted_repository(&registry, &deleted)?.filter(|(_, at)| *at > since.0);
        let Some((id, deleted_at)) = found else { return Ok(None) };
        tx.deleted_repository_restore(id, &text)?;
        let detail = json!({ "name": deleted, "as": text, "deletedAt": deleted_at });
        event::record(tx, Event { repository: Some(id), detail, ..event.clone() })?;
        Ok(tx.repository_by_name(&registry, &text)?)
    });
    let restored = restored.await;
    policies::forget(cx);
    // A restore is not refused by the quota of repositories, but counts.
    Quota::of(cx).forget(&QuotaSubject::Repositories(cx.registry.clone()));
    Quota::of(cx).forget(&QuotaSubject::Images { registry: cx.registry.clone(), repository: as_name.clone() });
    repository(cx, restored?.ok_or_else(|| not_found(cx, name))?)
}

/// Protects a repository from deletion, or ends its protection. DeleteRepository then refuses, `force` too.
pub async fn set_protected(cx: &Cx, name: &RepositoryName, protected: bool) -> Result<(), Error> {
    let event = Event::new(cx, "repository.protect", None);
    change(cx, name, move |tx, row| {
        tx.repository_set_protected(row.id, protected)?;
        let detail = json!({ "before": row.protected, "after": protected });
        event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
        Ok(())
    })
    .await?;
    Ok(())
}

pub async fn put_tag_mutability(
    cx: &Cx,
    name: &RepositoryName,
    mutability: TagMutability,
) -> Result<Repository, Error> {
    let event = Event::new(cx, "repository.tag-mutability", None);
    let (mut changed, ()) = change(cx, name, {
        let mutability = mutability.clone();
        move |tx, row| {
            let filters = mutability.filters().join("\n");
            tx.repository_set_mutability(row.id, mutability.name(), &filters)?;
            let detail = json!({
                "before": { "imageTagMutability": row.tag_mutability, "filters": row.mutability_filters },
                "after": { "imageTagMutability": mutability.name(), "filters": filters },
            });
            event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
            Ok(())
        }
    })
    .await?;
    changed.mutability = mutability;
    Ok(changed)
}

pub async fn put_scan_on_push(cx: &Cx, name: &RepositoryName, scan_on_push: bool) -> Result<Repository, Error> {
    let event = Event::new(cx, "repository.scan-on-push", None);
    let (mut changed, ()) = change(cx, name, move |tx, row| {
        tx.repository_set_scan(row.id, scan_on_push)?;
        let detail = json!({ "before": row.scan_on_push, "after": scan_on_push });
        event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
        Ok(())
    })
    .await?;
    changed.scan_on_push = scan_on_push;
    Ok(changed)
}

/// Returns the repository's row, without a transaction. Fails with [`Error::RepositoryNotFound`] if it does not exist.
pub(crate) async fn row(cx: &Cx, name: &RepositoryName) -> Result<RepositoryRow, Error> {
    let found = cx.db.look_up(records::repository::by_name(&cx.registry.key(), name.as_str())).await?;
    found.ok_or_else(|| not_found(cx, name))
}

/// Runs `work` on the repository's row in one read-only transaction. Fails with [`Error::RepositoryNotFound`] if it does not exist.
pub(crate) async fn read<T, F>(cx: &Cx, name: &RepositoryName, work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: Fn(&mut meta::Tx<'_>, &RepositoryRow) -> Result<T, Error> + Send + 'static,
{
    let registry = cx.registry.key();
    let text = name.to_string();
    let found = cx
        .db
        .read(move |tx| match tx.repository_by_name(&registry, &text)? {
            Some(row) => work(tx, &row).map(Some),
            None => Ok(None),
        })
        .await?;
    found.ok_or_else(|| not_found(cx, name))
}

/// Runs `work` on the repository's row in one transaction. Returns the repository from before the change and the result of `work`.
pub(crate) async fn change<T, F>(cx: &Cx, name: &RepositoryName, work: F) -> Result<(Repository, T), Error>
where
    T: Send + 'static,
    F: Fn(&mut meta::Tx<'_>, &RepositoryRow) -> Result<T, Error> + Send + 'static,
{
    let changed = cx.db.write(on_row(cx, name, work)).await;
    policies::forget(cx);
    changed_row(cx, name, changed?)
}

/// Does the same as [`change`] for a change that frees space, which succeeds on a full disk too.
pub(crate) async fn change_to_free<T, F>(cx: &Cx, name: &RepositoryName, work: F) -> Result<(Repository, T), Error>
where
    T: Send + 'static,
    F: Fn(&mut meta::Tx<'_>, &RepositoryRow) -> Result<T, Error> + Send + 'static,
{
    let changed = cx.db.write_to_free(on_row(cx, name, work)).await;
    policies::forget(cx);
    changed_row(cx, name, changed?)
}

fn changed_row<T>(cx: &Cx, name: &RepositoryName, found: Option<(RepositoryRow, T)>) -> Result<(Repository, T), Error> {
    let (row, value) = found.ok_or_else(|| not_found(cx, name))?;
    Ok((repository(cx, row)?, value))
}

/// Returns a transaction that runs `work` on the repository's row, if it exists.
fn on_row<T, F>(
    cx: &Cx,
    name: &RepositoryName,
    work: F,
) -> impl Fn(&mut meta::Tx<'_>) -> Result<Option<(RepositoryRow, T)>, Error> + Send + 'static
where
    F: Fn(&mut meta::Tx<'_>, &RepositoryRow) -> Result<T, Error> + Send + 'static,
{
    let registry = cx.registry.key();
    let text = name.to_string();
    move |tx| {
        let Some(row) = tx.repository_by_name(&registry, &text)? else { return Ok(None) };
        let value = work(tx, &row)?;
        Ok(Some((row, value)))
    }
}
