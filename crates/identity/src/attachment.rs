//! Managed policies on users, groups and roles: as permissions, and as the permissions boundary of a user or role (IAM API reference).

use crate::aws_managed::AwsPolicy;
use crate::entity::{self, Entity, Page};
use crate::error::Error;
use crate::managed_policy::{KnownPolicy, PolicyArn, PolicyTarget};
use crate::{CommonError, Cx, role};
use aws::Partition;
use meta::Tx;
use meta::records::iam::{self, EntityKind};
use meta::records::iam_policy::Purpose;
use serde_json::json;
use std::collections::BTreeSet;

/// The most managed policies of an entity.
pub const MAX_ATTACHED: usize = 10;

/// How many attachments [`entities`] reads at a time.
const BATCH: u32 = 1_000;

/// The name of the quota of an entity's managed policies.
fn quota(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::User => "PoliciesPerUser",
        EntityKind::Group => "PoliciesPerGroup",
        EntityKind::Role | EntityKind::InstanceProfile | EntityKind::Policy => "PoliciesPerRole",
    }
}

/// Finds a policy that is to be attached. `what` is what AWS's text calls it.
fn attachable(tx: &mut Tx<'_>, target: &PolicyTarget, arn: &str, what: &str) -> Result<KnownPolicy, Error> {
    let found = target.find(tx)?;
    let policy =
        found.ok_or_else(|| Error::NoSuchEntity(format!("{what} {arn} does not exist or is not attachable.")))?;
    if !policy.is_attachable() {
        return Err(Error::PolicyNotAttachable("Cannot attach a Service Role Policy to a Customer Role.".to_owned()));
    }
    Ok(policy)
}

/// Attaches a managed policy to an entity. Does nothing if it is attached.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::LimitExceeded`] for an eleventh policy; [`Error::PolicyNotAttachable`] for the policy of a
/// service-linked role; [`Error::UnmodifiableEntity`] for a service-linked role.
pub async fn attach(cx: &Cx, kind: EntityKind, name: &str, arn: &PolicyArn) -> Result<(), Error> {
    let (account, target, arn) = (cx.registry.account, arn.target(cx), arn.as_str().to_owned());
    entity::change(cx, kind, name, "iam.attach", move |tx, entity| {
        role::refuse_service_linked(entity)?;
        let policy = attachable(tx, &target, &arn, "Policy")?;
        let attached = tx.attachment_list(&entity.id, Purpose::Permissions)?;
        if !attached.iter().any(|id| id == policy.id()) && attached.len() >= MAX_ATTACHED {
            return Err(Error::over(quota(kind), MAX_ATTACHED));
        }
        tx.attachment_put(&entity.id, Purpose::Permissions, policy.id(), account.as_str())?;
        Ok((json!({ "policy": arn }), ()))
    })
    .await
}

/// Detaches a managed policy. Fails with [`Error::NoSuchEntity`] if it is not attached, and with [`Error::UnmodifiableEntity`].
pub async fn detach(cx: &Cx, kind: EntityKind, name: &str, arn: &PolicyArn) -> Result<(), Error> {
    let (target, arn) = (arn.target(cx), arn.clone());
    entity::change(cx, kind, name, "iam.detach", move |tx, entity| {
        role::refuse_service_linked(entity)?;
        let policy = target.find(tx)?.ok_or_else(|| arn.not_found())?;
        if !tx.attachment_delete(&entity.id, Purpose::Permissions, policy.id())? {
            return Err(arn.not_found());
        }
        Ok((json!({ "policy": arn.as_str() }), ()))
    })
    .await
}

/// A managed policy of an entity.
#[derive(Clone, Debug)]
pub struct AttachedManagedPolicy {
    /// The unique id.
    pub id: String,
    pub name: String,
    pub arn: String,
}

/// The managed policies of an entity whose path begins with `prefix`, ordered by unique id. Fails with [`Error::NoSuchEntity`].
pub async fn list(cx: &Cx, kind: EntityKind, name: &str, prefix: &str) -> Result<Vec<AttachedManagedPolicy>, Error> {
    let (partition, prefix) = (cx.registry.partition(), prefix.to_owned());
    let (_, mut attached) = entity::read(cx, kind, name, move |tx, entity| {
        let mut attached = Vec::new();
        for id in tx.attachment_list(&entity.id, Purpose::Permissions)? {
            if let Some(policy) = KnownPolicy::by_id(tx, &id)?.filter(|policy| policy.path().starts_with(&prefix)) {
                attached.push(AttachedManagedPolicy { id, name: policy.name().to_owned(), arn: policy.arn(partition) });
            }
        }
        Ok(attached)
    })
    .await?;
    attached.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(attached)
}

/// Which entities of a policy a listing has.
#[derive(Clone, Debug)]
pub struct HolderFilter {
    /// Empty for a kind that has no policies.
    pub kinds: Vec<EntityKind>,
    /// What the path begins with.
    pub prefix: String,
    /// Both if `None`.
    pub usage: Option<Purpose>,
}

/// Lists the users, groups and roles of the account that a policy is attached to, ordered by unique id. Fails with
/// [`Error::NoSuchEntity`].
pub async fn entities(
    cx: &Cx,
    arn: &PolicyArn,
    filter: HolderFilter,
    after: Option<String>,
    limit: u32,
) -> Result<Page<Entity>, Error> {
    let (account, target, after) = (cx.registry.account, arn.target(cx), after.unwrap_or_default());
    let listed = cx.db.read(move |tx| {
        let Some(policy) = target.find(tx)? else { return Ok(None) };
        // An entity may have the policy for both purposes.
        let mut ids = BTreeSet::new();
        for purpose in Purpose::ALL.into_iter().filter(|purpose| filter.usage.is_none_or(|usage| usage == *purpose)) {
            let mut next = Some(after.clone());
            while let Some(after) = next {
                let batch = tx.attachment_entities(account.as_str(), policy.id(), purpose, &after, BATCH)?;
                next = batch.last().filter(|_| batch.len() == BATCH as usize).cloned();
                ids.extend(batch);
            }
        }
        let mut found = Vec::new();
        for id in ids {
            let entity = tx.look_up(iam::entity_by_id(&id))?;
            let has = |entity: &Entity| filter.kinds.contains(&entity.kind) && entity.path.starts_with(&filter.prefix);
            found.extend(entity.filter(has));
            if found.len() > limit as usize {
                break;
            }
        }
        Ok::<_, Error>(Some(found))
    });
    let found = listed.await?.ok_or_else(|| arn.not_found())?;
    Ok(Page::of(found, limit, |entity| entity.id.clone()))
}

/// A permissions boundary that is to be set, found for one call.
#[derive(Clone, Debug)]
pub struct NewBoundary {
    target: PolicyTarget,
    arn: String,
}

impl NewBoundary {
    pub fn of(cx: &Cx, arn: &PolicyArn) -> NewBoundary {
        NewBoundary { target: arn.target(cx), arn: arn.as_str().to_owned() }
    }

    /// Sets the boundary of a user or role. Its former boundary is gone.
    ///
    /// # Errors
    /// [`Error::NoSuchEntity`]; [`Error::PolicyNotAttachable`] for the policy of a service-linked role.
    pub fn set(&self, tx: &mut Tx<'_>, entity: &Entity) -> Result<(), Error> {
        let policy = attachable(tx, &self.target, &self.arn, "Scope ARN:")?;
        remove_boundary(tx, entity)?;
        Ok(tx.attachment_put(&entity.id, Purpose::Boundary, policy.id(), &entity.account)?)
    }
}

/// Gives a service-linked role the policy of AWS that is made for it.
pub(crate) fn attach_service_policy(tx: &mut Tx<'_>, role: &Entity, policy: &str) -> Result<(), Error> {
    let aws = AwsPolicy::named(role::SERVICE_PATH, policy).ok_or_else(|| {
        CommonError::server(std::io::Error::other(format!("the policy {policy} of AWS does not exist")))
    })?;
    Ok(tx.attachment_put(&role.id, Purpose::Permissions, aws.id, &role.account)?)
}

/// Removes every policy and the boundary of an entity that is deleted.
pub(crate) fn remove_all(tx: &mut Tx<'_>, entity: &Entity) -> Result<(), Error> {
    for id in tx.attachment_list(&entity.id, Purpose::Permissions)? {
        tx.attachment_delete(&entity.id, Purpose::Permissions, &id)?;
    }
    remove_boundary(tx, entity)
}

/// Removes the boundary of an entity, if it has one.
pub(crate) fn remove_boundary(tx: &mut Tx<'_>, entity: &Entity) -> Result<(), Error> {
    for id in tx.attachment_list(&entity.id, Purpose::Boundary)? {
        tx.attachment_delete(&entity.id, Purpose::Boundary, &id)?;
    }
    Ok(())
}

/// Returns the ARN of the boundary of an entity.
pub(crate) fn boundary_arn(tx: &mut Tx<'_>, partition: Partition, entity: &Entity) -> Result<Option<String>, Error> {
    let Some(id) = tx.attachment_list(&entity.id, Purpose::Boundary)?.pop() else { return Ok(None) };
    Ok(KnownPolicy::by_id(tx, &id)?.map(|policy| policy.arn(partition)))
}

/// Returns the ARN of the boundary of a user or role. Fails with [`Error::NoSuchEntity`].
pub async fn boundary(cx: &Cx, kind: EntityKind, name: &str) -> Result<Option<String>, Error> {
    let partition = cx.registry.partition();
    Ok(entity::read(cx, kind, name, move |tx, entity| boundary_arn(tx, partition, entity)).await?.1)
}

/// Sets the boundary of a user or role. See [`NewBoundary::set`]; [`Error::UnmodifiableEntity`] for a service-linked role.
pub async fn put_boundary(cx: &Cx, kind: EntityKind, name: &str, arn: &PolicyArn) -> Result<(), Error> {
    let new = NewBoundary::of(cx, arn);
    entity::change(cx, kind, name, "iam.put_boundary", move |tx, entity| {
        role::refuse_service_linked(entity)?;
        new.set(tx, entity)?;
        Ok((json!({ "policy": new.arn }), ()))
    })
    .await
}

/// Removes the boundary of a user or role. Does nothing if there is none.
pub async fn delete_boundary(cx: &Cx, kind: EntityKind, name: &str) -> Result<(), Error> {
    entity::change(cx, kind, name, "iam.delete_boundary", move |tx, entity| {
        role::refuse_service_linked(entity)?;
        remove_boundary(tx, entity)?;
        Ok((json!({}), ()))
    })
    .await
}
