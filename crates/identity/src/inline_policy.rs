//! The inline policies of users, groups and roles (IAM API reference).

use crate::error::Error;
use crate::{Cx, entity, policy_document, role};
use meta::Tx;
use meta::records::iam::EntityKind;
use serde_json::json;

/// The most characters of all inline policies of an entity together, without whitespace (IAM user guide, "IAM and AWS STS quotas").
fn max_size(kind: EntityKind) -> usize {
    match kind {
        EntityKind::User => 2_048,
        EntityKind::Role => 10_240,
        EntityKind::Group => 5_120,
        // They have no policies.
        EntityKind::InstanceProfile | EntityKind::Policy => 0,
    }
}

fn no_such(kind: EntityKind, policy: &str) -> Error {
    Error::NoSuchEntity(format!("The {} policy with name {policy} cannot be found.", kind.name()))
}

/// Adds an inline policy to an entity, or replaces it.
///
/// # Errors
/// [`Error::MalformedPolicyDocument`]; [`Error::LimitExceeded`] if the entity's policies are too large together;
/// [`Error::NoSuchEntity`]; [`Error::UnmodifiableEntity`] for a service-linked role.
pub async fn put(cx: &Cx, kind: EntityKind, name: &str, policy: String, document: String) -> Result<(), Error> {
    policy_document::check(&document)?;
    entity::change(cx, kind, name, "iam.put_policy", move |tx, entity| {
        role::refuse_service_linked(entity)?;
        let others = tx.inline_policy_list(&entity.id)?.into_iter().filter(|(other, _)| *other != policy);
        let size =
            others.map(|(_, other)| policy_document::size(&other)).sum::<usize>() + policy_document::size(&document);
        if size > max_size(kind) {
            // AWS's words.
            let (most, kind, name) = (max_size(kind), kind.name(), &entity.name);
            return Err(Error::LimitExceeded(format!(
                "Maximum policy size of {most} bytes exceeded for {kind} {name}"
            )));
        }
        let before = tx.inline_policy_get(&entity.id, &policy)?;
        tx.inline_policy_put(&entity.id, &policy, &document)?;
        Ok((json!({ "policy": policy, "before": before, "document": document }), ()))
    })
    .await
}

/// Returns the document of an inline policy. Fails with [`Error::NoSuchEntity`].
pub async fn get(cx: &Cx, kind: EntityKind, name: &str, policy: &str) -> Result<String, Error> {
    let policy_name = policy.to_owned();
    let (_, found) =
        entity::read(cx, kind, name, move |tx, entity| Ok(tx.inline_policy_get(&entity.id, &policy_name)?)).await?;
    found.ok_or_else(|| no_such(kind, policy))
}

/// The names of the inline policies of an entity, in their order. Fails with [`Error::NoSuchEntity`].
pub async fn list(cx: &Cx, kind: EntityKind, name: &str) -> Result<Vec<String>, Error> {
    let names = |tx: &mut Tx<'_>, entity: &entity::Entity| {
        let mut names: Vec<String> = tx.inline_policy_list(&entity.id)?.into_iter().map(|(name, _)| name).collect();
        // PostgreSQL's order depends on its collation.
        names.sort();
        Ok(names)
    };
    Ok(entity::read(cx, kind, name, names).await?.1)
}

/// Deletes an inline policy. Fails with [`Error::NoSuchEntity`] and [`Error::UnmodifiableEntity`].
pub async fn delete(cx: &Cx, kind: EntityKind, name: &str, policy: String) -> Result<(), Error> {
    entity::change(cx, kind, name, "iam.delete_policy", move |tx, entity| {
        role::refuse_service_linked(entity)?;
        let before = tx.inline_policy_get(&entity.id, &policy)?.ok_or_else(|| no_such(kind, &policy))?;
        tx.inline_policy_delete(&entity.id, &policy)?;
        Ok((json!({ "policy": policy, "before": before }), ()))
    })
    .await
}
