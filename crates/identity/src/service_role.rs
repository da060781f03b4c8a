//! The roles that ECR's own features act by (`ECR.md` G.4 and S). Only their service changes them.

use crate::entity::{self, Entity, NewEntity};
use crate::error::Error;
use crate::role::{self, RoleDetail, SERVICE_PATH, TrustPolicy};
use crate::{Cx, attachment};
use meta::Tx;
use meta::records::iam::{self, EntityKind};
use serde_json::json;

/// A service that has a service-linked role.
struct LinkedService {
    /// The name in the role's path and trust policy.
    service: &'static str,
    role: &'static str,
    description: &'static str,
    /// The policy of AWS that the role has.
    policy: &'static str,
}

/// The service of the creation templates is the one of G.4, and the role's name the one of S.
const SERVICES: [LinkedService; 3] = [
    LinkedService {
        service: "replication.ecr.amazonaws.com",
        role: "AWSServiceRoleForECRReplication",
        description: "Allows Amazon ECR to replicate images across regions and accounts.",
        policy: "ECRReplicationServiceRolePolicy",
    },
    LinkedService {
        service: "pullthroughcache.ecr.amazonaws.com",
        role: "AWSServiceRoleForECRPullThroughCache",
        description: "Allows Amazon ECR to cache images of upstream registries.",
        policy: "AWSECRPullThroughCache_ServiceRolePolicy",
    },
    LinkedService {
        service: "ecr.amazonaws.com",
        role: "AWSServiceRoleForECRTemplate",
        description: "Allows Amazon ECR to create repositories by creation templates.",
        policy: "ECRTemplateServiceRolePolicy",
    },
];

/// The path and the name of a service's role. `None` for a service without one.
pub fn path_and_name(service: &str) -> Option<(String, &'static str)> {
    let known = SERVICES.iter().find(|known| known.service == service)?;
    Some((format!("{SERVICE_PATH}{service}/"), known.role))
}

/// Creates the service-linked role of a service.
///
/// # Errors
/// [`Error::InvalidInput`] for a service without such a role, for any suffix, and if the role exists.
pub async fn create(
    cx: &Cx,
    service: &str,
    description: Option<String>,
    suffix: Option<&str>,
) -> Result<(Entity, RoleDetail), Error> {
    let Some(known) = SERVICES.iter().find(|known| known.service == service) else {
        let known: Vec<_> = SERVICES.iter().map(|known| known.service).collect();
        let text = format!("Service-linked roles of Ecru are for {}, not for {service}", known.join(", "));
        return Err(Error::InvalidInput(text));
    };
    // AWS's words, here and below.
    if suffix.is_some() {
        return Err(Error::InvalidInput(format!("Custom suffix is not allowed for {service}")));
    }
    let statement = json!({ "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" });
    let trust = json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let trust = TrustPolicy::check(&trust, cx.registry.partition())?;
    let new = NewEntity {
        name: known.role.to_owned(),
        path: format!("{SERVICE_PATH}{service}/"),
        description: description.or_else(|| Some(known.description.to_owned())),
        ..NewEntity::default()
    };
    let attach = |tx: &mut Tx<'_>, role: &Entity| attachment::attach_service_policy(tx, role, known.policy);
    role::create_with(cx, new, trust, attach).await.map_err(|error| match error {
        Error::EntityAlreadyExists(_) => Error::InvalidInput(format!(
            "Service role name {} has been taken in this account, please try a different suffix.",
            known.role
        )),
        other => other,
    })
}

/// Deletes a service-linked role and returns its unique id. Nothing uses one yet, so that it is deleted at once.
///
/// # Errors
/// [`Error::NoSuchEntity`] if there is no such role, or if it is not service-linked.
pub async fn delete(cx: &Cx, name: &str) -> Result<String, Error> {
    let id = entity::get(cx, EntityKind::Role, name).await?.id;
    entity::delete(cx, EntityKind::Role, name, |tx, role| {
        if !role::is_service_linked(role) {
            return Err(Error::NoSuchEntity(format!("The role {} is not a service-linked role.", role.name)));
        }
        Ok(tx.credential_use_delete(&role.id)?)
    })
    .await?;
    Ok(id)
}

/// Returns true if no role has the unique id any longer.
pub async fn is_deleted(cx: &Cx, id: &str) -> Result<bool, Error> {
    Ok(cx.db.look_up(iam::entity_by_id(id)).await?.is_none())
}
