//! Finds the policies of a caller for an authorization, and those of users and roles as resources.

use crate::aws_managed::AwsPolicy;
use crate::login;
use crate::{Capability, CommonError, Cx, System, attachment};
use kernel::access::{CallerIdentity, FoundPolicies, Need, PolicySource, Tags};
use kernel::recent::Recently;
use meta::records::iam::{self, EntityKind};
use meta::records::iam_policy::{IdentityFact, OwnPolicy, Purpose};
use policy::{AttachedPolicy, Document, Grammar, ResourceRule};
use std::sync::Arc;

/// The most principals whose policies are kept.
const KNOWN_PRINCIPALS: usize = 4096;
/// The largest size of the text of all kept policies, in bytes. A parsed document takes about twenty times its text.
const KNOWN_TEXT_BYTES: usize = 1024 * 1024;

/// The listing of users, whose resource is `user/`.
const LIST_USERS: &str = "iam:ListUsers";

/// The cache of policies.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<KnownPolicies>();

struct KnownPolicies(Recently<String, Arc<PrincipalPolicies>>);

impl Default for KnownPolicies {
    fn default() -> KnownPolicies {
        KnownPolicies(Recently::new(KNOWN_PRINCIPALS, KNOWN_TEXT_BYTES))
    }
}

/// Forgets what this node knows of principals, keys and sessions. Call this after every attempt to change one.
pub(crate) fn forget(system: &System) {
    system.state::<KnownPolicies>().0.forget();
    login::forget(system);
}

/// The policies of callers, and of users and roles as resources.
pub(crate) struct IdentityPolicies;

#[async_trait::async_trait]
impl PolicySource for IdentityPolicies {
    async fn add(&self, cx: &Cx, need: &Need, found: &mut FoundPolicies) -> Result<(), CommonError> {
        if let Some(principal) = principal(cx) {
            let known = of_principal(cx, principal).await?;
            let PrincipalPolicies { identity, boundary, control, tags } = &*known;
            found.policies.control.extend(control.iter().cloned());
            found.policies.identity.extend(identity.iter().cloned());
            found.policies.boundary.extend(boundary.iter().cloned());
            found.principal_tags = tags.clone();
        }
        if let Some(session) = &cx.caller.session {
            found.policies.session.extend(session.policies.iter().cloned());
        }
        if let Some((kind, name)) = entity_of(cx, need) {
            of_resource(cx, need, kind, name, found).await?;
        }
        Ok(())
    }
}

/// The unique id of the principal whose policies a caller has: a user or role, or the account itself for the root principal, which only
/// the control policies of its account bind. `None` for callers without any.
fn principal(cx: &Cx) -> Option<&str> {
    match &cx.caller.identity {
        CallerIdentity::FederatedUser { of, .. } => principal_of(of),
        identity => principal_of(identity),
    }
}

fn principal_of(identity: &CallerIdentity) -> Option<&str> {
    match identity {
        CallerIdentity::User { id, .. } | CallerIdentity::RoleSession { id, .. } => Some(id),
        // The default account has no control policies, so its administrator costs no look-up.
        CallerIdentity::Administrator { account } => {
            Some(account.as_str()).filter(|_| *account != crate::account::MANAGEMENT)
        }
        CallerIdentity::FederatedUser { .. } | CallerIdentity::Service { .. } | CallerIdentity::Nobody => None,
    }
}

/// The policies and tags of a principal.
#[derive(Debug, Default)]
struct PrincipalPolicies {
    identity: Vec<AttachedPolicy>,
    boundary: Vec<AttachedPolicy>,
    control: Vec<AttachedPolicy>,
    tags: Tags,
}

async fn of_principal(cx: &Cx, id: &str) -> Result<Arc<PrincipalPolicies>, CommonError> {
    let cache = &cx.system.state::<KnownPolicies>().0;
    let began = match cache.find(id, cx.now()) {
        Ok(known) => return Ok(known),
        Err(began) => began,
    };
    let account = cx.caller.account().unwrap_or(cx.registry.account);
    let principal = id.to_owned();
    let facts: Result<_, CommonError> =
        cx.db.read(move |tx| Ok(tx.identity_facts(&principal, account.as_str())?)).await;
    let facts = facts?;
    let weight = facts.iter().map(text_bytes).sum();
    let known = Arc::new(read(cx, facts)?);
    cache.keep(id.to_owned(), known.clone(), weight, began);
    Ok(known)
}

fn text_bytes(fact: &IdentityFact) -> usize {
    match fact {
        IdentityFact::Inline { document, .. } | IdentityFact::Control { document, .. } => document.len(),
        IdentityFact::Managed { own, .. } => own.as_ref().map_or(0, |own| own.document.len()),
        IdentityFact::Tag { key, value } => key.len() + value.len(),
    }
}

/// Parses stored policies. Fails closed: a stored policy was valid when it was stored.
fn read(cx: &Cx, facts: Vec<IdentityFact>) -> Result<PrincipalPolicies, CommonError> {
    let mut known = PrincipalPolicies::default();
    let mut tags = Vec::new();
    for fact in facts {
        match fact {
            IdentityFact::Inline { name, document } => {
                known.identity.push(parse(format!("inline policy {name}"), &document)?)
            }
            IdentityFact::Managed { purpose, policy_id, own } => {
                let policy = managed(cx, &policy_id, own)?;
                match purpose {
                    Purpose::Permissions => known.identity.push(policy),
                    Purpose::Boundary => known.boundary.push(policy),
                }
            }
            IdentityFact::Control { name, document } => {
                known.control.push(parse(format!("service control policy {name}"), &document)?)
            }
            IdentityFact::Tag { key, value } => tags.push((key, value)),
        }
    }
    known.tags = tags.into();
    Ok(known)
}

fn parse(name: String, text: &str) -> Result<AttachedPolicy, CommonError> {
    let document = Document::parse(text, Grammar::Identity).map_err(CommonError::server)?;
    Ok(AttachedPolicy::new(name, document))
}

/// A managed policy by its ARN. A policy that is attached can't be deleted, so an unknown one is a fault: without it, a boundary would
/// not limit.
fn managed(cx: &Cx, id: &str, own: Option<OwnPolicy>) -> Result<AttachedPolicy, CommonError> {
    let partition = cx.registry.partition();
    if let Some(OwnPolicy { path_and_name, document }) = own {
        let account = cx.caller.account().unwrap_or(cx.registry.account);
        return parse(format!("arn:{partition}:iam::{account}:policy{path_and_name}"), &document);
    }
    let unknown = || CommonError::server(std::io::Error::other(format!("the attached policy {id} does not exist")));
    let aws = AwsPolicy::by_id(id).ok_or_else(unknown)?;
    Ok(AttachedPolicy::new(aws.arn(partition), aws.parsed().map_err(CommonError::server)?))
}

/// The entity of IAM that a need's resource names. An operation knows the name alone: `arn:PARTITION:iam::ACCT:user/NAME`. An empty name
/// is that of the calling user.
fn entity_of<'a>(cx: &'a Cx, need: &'a Need) -> Option<(EntityKind, &'a str)> {
    let rest = need.resource.arn.strip_prefix("arn:")?.split_once(":iam::")?.1;
    let (account, resource) = rest.split_once(':')?;
    let (kind, name) = resource.split_once('/')?;
    let kind = EntityKind::ALL.into_iter().find(|known| known.name() == kind)?;
    if account != need.resource.owner.as_str() || need.resource.is_exact {
        return None;
    }
    match (&cx.caller.identity, name) {
        // A listing of all users has no name either.
        (CallerIdentity::User { path_and_name, .. }, "") if kind == EntityKind::User && need.action != LIST_USERS => {
            Some((kind, path_and_name.rsplit('/').next().unwrap_or(path_and_name)))
        }
        (_, name) => Some((kind, name.rsplit('/').next().unwrap_or(name))),
    }
}

/// Adds the full ARN, the tags and the trust policy of a user, role or other entity as a resource.
async fn of_resource(
    cx: &Cx,
    need: &Need,
    kind: EntityKind,
    name: &str,
    found: &mut FoundPolicies,
) -> Result<(), CommonError> {
    let Some(entity) = cx.db.look_up(iam::entity_by_name(cx.registry.account.as_str(), kind, name)).await? else {
        return Ok(());
    };
    let arn = crate::entity::arn(cx.registry.partition(), &entity);
    // A role is assumed by its full ARN.
    if need.rule == ResourceRule::Trust && arn != need.resource.arn {
        return Ok(());
    }
    found.resource_arn = Some(arn);
    // A trust policy is about who may assume the role, and about no other action.
    if let Some(trust) = entity.trust_policy.as_ref().filter(|_| need.rule == ResourceRule::Trust) {
        let document = Document::parse(trust, Grammar::Resource).map_err(CommonError::server)?;
        found.policies.resource.push(AttachedPolicy::new(format!("trust policy of {}", entity.name), document));
    }
    let partition = cx.registry.partition();
    let read: Result<_, crate::Error> = cx
        .db
        .read(move |tx| Ok((tx.iam_tag_list(&entity.id)?, attachment::boundary_arn(tx, partition, &entity)?)))
        .await;
    let (tags, boundary) = read.map_err(|error| match error {
        crate::Error::Common(common) => common,
        other => CommonError::server(other),
    })?;
    found.resource_tags = tags.into();
    found.resource_boundary = boundary;
    Ok(())
}
