//! Roles and their trust policies (`ECR.md` P, G.4; IAM API reference).

use crate::attachment::NewBoundary;
use crate::entity::{self, Entity, NewEntity, Page};
use crate::error::Error;
use crate::managed_policy::PolicyArn;
use crate::{CommonError, Cx, attachment, policy_document};
use aws::{AccountId, Partition};
use kernel::principals::{self, PrincipalError};
use meta::Tx;
use meta::records::access_key::CredentialUseRow;
use meta::records::iam::EntityKind;
use policy::{Document, Grammar, PolicyRules, ResourceMember};
use serde_json::json;

const KIND: EntityKind = EntityKind::Role;

/// The longest session of a role whose maximum is not set, in seconds.
pub const DEFAULT_MAX_SESSION: i64 = 3_600;

/// The most characters of a trust policy, without whitespace between its members (IAM's quota "Role trust policy length").
pub const MAX_TRUST_POLICY: usize = 2_048;

/// The path of all service-linked roles. No other role has a path that begins so.
pub(crate) const SERVICE_PATH: &str = "/aws-service-role/";

/// The actions that a trust policy may be about (service authorization reference, AWS STS).
const TRUST_ACTIONS: &[&str] =
    &["AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "SetContext", "SetSourceIdentity", "TagSession"];

/// What GetRole tells of a role beside the entity.
#[derive(Debug)]
pub struct RoleDetail {
    /// The trust policy as it is shown.
    pub trust_policy: String,
    pub tags: Vec<(String, String)>,
    pub last_used: Option<CredentialUseRow>,
    /// The ARN of the permissions boundary.
    pub boundary: Option<String>,
}

/// A change of a role. A member that is `None` stays.
#[derive(Debug, Default)]
pub struct RoleUpdate {
    pub description: Option<String>,
    /// In seconds.
    pub max_session: Option<i64>,
}

/// A trust policy that is valid but for the existence of the users and roles that it names.
#[derive(Clone, Debug)]
pub struct TrustPolicy {
    document: Document,
    text: String,
}

impl TrustPolicy {
    /// Checks a trust policy.
    ///
    /// # Errors
    /// [`Error::MalformedPolicyDocument`] names the statement and the member; [`Error::LimitExceeded`] over [`MAX_TRUST_POLICY`].
    pub fn check(text: &str, partition: Partition) -> Result<TrustPolicy, Error> {
        let rules = PolicyRules {
            service: "sts",
            actions: TRUST_ACTIONS,
            spelled_out: false,
            resource: ResourceMember::Implied,
        };
        let document = Document::parse(text, Grammar::Resource).map_err(policy_document::malformed)?;
        document.check(&rules).map_err(policy_document::malformed)?;
        if policy_document::size(text) > MAX_TRUST_POLICY {
            return Err(Error::over("ACLSizePerRole", MAX_TRUST_POLICY));
        }
        Ok(TrustPolicy { document, text: policy::readable(text, partition).map_err(policy_document::malformed)? })
    }

    /// The text to store. Refuses a user or role of this installation that does not exist.
    fn to_stored(&self, tx: &mut Tx<'_>, account: AccountId) -> Result<String, Error> {
        principals::to_stored(tx, account, &self.document, &self.text).map_err(|error| match error {
            // AWS's words.
            PrincipalError::Unknown { name, .. } => {
                Error::MalformedPolicyDocument(format!("Invalid principal in policy: \"AWS\":\"{name}\""))
            }
            PrincipalError::Text(invalid) => policy_document::malformed(invalid),
            PrincipalError::Store(error) => error.into(),
        })
    }
}

/// The trust policy of a role, as it is shown.
pub(crate) fn shown(tx: &mut Tx<'_>, partition: Partition, role: &Entity) -> Result<String, Error> {
    let stored = role.trust_policy.clone().unwrap_or_default();
    principals::to_shown(tx, partition, stored).map_err(|error| match error {
        PrincipalError::Store(error) => error.into(),
        other => CommonError::server(other).into(),
    })
}

/// True for a role that its service alone may change.
pub(crate) fn is_service_linked(role: &Entity) -> bool {
    role.kind == KIND && role.path.starts_with(SERVICE_PATH)
}

/// Refuses to change a service-linked role. The text is AWS's.
pub(crate) fn refuse_service_linked(role: &Entity) -> Result<(), Error> {
    if !is_service_linked(role) {
        return Ok(());
    }
    let name = &role.name;
    Err(Error::UnmodifiableEntity(format!(
        "Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS"
    )))
}

/// Creates a role.
///
/// # Errors
/// [`Error::MalformedPolicyDocument`] if the trust policy names a user or role of this installation that does not exist. See
/// [`entity::create`] and [`NewBoundary::set`] for the others.
pub async fn create(
    cx: &Cx,
    new: NewEntity,
    trust: TrustPolicy,
    boundary: Option<&PolicyArn>,
) -> Result<(Entity, RoleDetail), Error> {
    let new_boundary = boundary.map(|arn| NewBoundary::of(cx, arn));
    let set_boundary =
        move |tx: &mut Tx<'_>, role: &Entity| new_boundary.iter().try_for_each(|boundary| boundary.set(tx, role));
    let (role, detail) = create_with(cx, new, trust, set_boundary).await?;
    Ok((role, RoleDetail { boundary: boundary.map(|arn| arn.as_str().to_owned()), ..detail }))
}

/// Creates a role. `also` writes what else belongs to it in the same transaction.
pub(crate) async fn create_with(
    cx: &Cx,
    new: NewEntity,
    trust: TrustPolicy,
    also: impl Fn(&mut Tx<'_>, &Entity) -> Result<(), Error> + Send + Sync + 'static,
) -> Result<(Entity, RoleDetail), Error> {
    let account = cx.registry.account;
    let tags: Vec<_> = new.tags.clone().into_iter().collect();
    let text = trust.text.clone();
    let created = entity::create(cx, KIND, new, move |tx, role| {
        role.trust_policy = Some(trust.to_stored(tx, account)?);
        role.max_session = role.max_session.or(Some(DEFAULT_MAX_SESSION));
        also(tx, role)
    });
    Ok((created.await?, RoleDetail { trust_policy: text, tags, last_used: None, boundary: None }))
}

/// Returns a role. Fails with [`Error::NoSuchEntity`].
pub async fn get(cx: &Cx, name: &str) -> Result<(Entity, RoleDetail), Error> {
    let partition = cx.registry.partition();
    entity::read(cx, KIND, name, move |tx, role| {
        Ok(RoleDetail {
            trust_policy: shown(tx, partition, role)?,
            tags: tx.iam_tag_list(&role.id)?,
            last_used: tx.credential_use_get(&role.id)?,
            boundary: attachment::boundary_arn(tx, partition, role)?,
        })
    })
    .await
}

/// Lists the roles whose path begins with `prefix` after a name, each with its trust policy as it is shown.
pub async fn list(cx: &Cx, prefix: &str, after: Option<String>, limit: u32) -> Result<Page<(Entity, String)>, Error> {
    let page = entity::list(cx, KIND, prefix, after, limit).await?;
    let Page { items, next } = page;
    Ok(Page { items: with_trust(cx, items).await?, next })
}

/// Adds to roles their trust policies as they are shown.
pub(crate) async fn with_trust(cx: &Cx, roles: Vec<Entity>) -> Result<Vec<(Entity, String)>, Error> {
    let partition = cx.registry.partition();
    cx.db
        .read(move |tx| {
            let with = |role: &Entity| Ok((role.clone(), shown(tx, partition, role)?));
            roles.iter().map(with).collect()
        })
        .await
}

/// Changes a role that is not service-linked. See [`entity::change`].
async fn change<T: Send + 'static>(
    cx: &Cx,
    name: &str,
    what: &'static str,
    change: impl Fn(&mut Tx<'_>, &mut Entity) -> Result<(serde_json::Value, T), Error> + Send + Sync + 'static,
) -> Result<T, Error> {
    entity::change(cx, KIND, name, what, move |tx, role| {
        refuse_service_linked(role)?;
        change(tx, role)
    })
    .await
}

/// Changes the description or the longest session of a role. The description of a service-linked role may change too.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::UnmodifiableEntity`] for the longest session of a service-linked role.
pub async fn update(cx: &Cx, name: &str, update: RoleUpdate) -> Result<(), Error> {
    entity::change(cx, KIND, name, "iam.update", move |_, role| {
        let before = json!({ "description": role.description, "max_session": role.max_session });
        if update.max_session.is_some() {
            refuse_service_linked(role)?;
        }
        role.description = update.description.clone().or_else(|| role.description.take());
        role.max_session = update.max_session.or(role.max_session);
        Ok((json!({ "before": before }), ()))
    })
    .await
}

/// Replaces the trust policy.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::UnmodifiableEntity`] for a service-linked role; [`Error::MalformedPolicyDocument`] if the policy
/// names a user or role of this installation that does not exist.
pub async fn set_trust(cx: &Cx, name: &str, trust: TrustPolicy) -> Result<(), Error> {
    let account = cx.registry.account;
    change(cx, name, "iam.role.trust", move |tx, role| {
        let before = role.trust_policy.replace(trust.to_stored(tx, account)?);
        Ok((json!({ "before": before, "after": role.trust_policy }), ()))
    })
    .await
}

/// Deletes a role.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::UnmodifiableEntity`] for a service-linked role; [`Error::DeleteConflict`] while it has policies or is
/// in an instance profile.
pub async fn delete(cx: &Cx, name: &str) -> Result<(), Error> {
    entity::delete(cx, KIND, name, |tx, role| {
        refuse_service_linked(role)?;
        if !tx.iam_container_list(&role.id, "", 1)?.is_empty() {
            return Err(Error::DeleteConflict("must remove roles from instance profile first."));
        }
        entity::refuse_with_policies(tx, role)?;
        Ok(tx.credential_use_delete(&role.id)?)
    })
    .await
}

/// Checks a path of a role that a client creates.
///
/// # Errors
/// [`Error::InvalidInput`] for the path of service-linked roles.
pub fn check_path(path: &str) -> Result<(), Error> {
    match path.starts_with(SERVICE_PATH) {
        false => Ok(()),
        true => {
            Err(Error::InvalidInput(format!("Only service-linked roles have a path that begins with {SERVICE_PATH}")))
        }
    }
}
