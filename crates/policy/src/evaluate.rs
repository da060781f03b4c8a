//! The evaluation of a request by the policies that apply to it (`ECR.md` G.1; IAM user guide, "Policy evaluation logic").

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crate::decision::{Cause, Decision, Denial, DenyingStatement, Grant, PolicyKind};
use crate::document::{Document, Effect, Facts};
use crate::principal::GrantStrength;
use crate::request::{Principal, PrincipalKind, Request, ResourceRule};
use std::sync::Arc;

/// The policies that apply to a request.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// The policies of the caller and of the caller's groups.
    pub identity: Vec<Arc<Document>>,
    /// The resource's own policy, parsed by [`Grammar::Resource`](crate::Grammar::Resource). Empty for an action that such policies
    /// can't grant, such as `ecr:GetAuthorizationToken`.
    pub resource: Vec<Arc<Document>>,
    /// The policy of the registry that contains the resource, parsed in the same way. An allow in either of the two is enough.
    pub registry: Vec<Arc<Document>>,
    /// The caller's permissions boundary. Empty if the caller has none.
    pub boundary: Vec<Arc<Document>>,
    /// The session policies. Empty if the session has none. A federated user without session policies is allowed nothing by identity
    /// policies.
    pub session: Vec<Arc<Document>>,
}

impl Policies {
    /// True if there is no policy of any kind.
    pub fn is_empty(&self) -> bool {
        let kinds = [&self.identity, &self.resource, &self.registry, &self.boundary, &self.session];
        kinds.iter().all(|documents| documents.is_empty())
    }
}

/// The combined effect of the policies of one kind.
struct Verdict {
    /// The first statement that denies.
    denied: Option<DenyingStatement>,
    /// The strongest allow.
    allowed: Option<GrantStrength>,
}

impl Verdict {
    fn of(documents: &[Arc<Document>], facts: &Facts<'_>) -> Verdict {
        let mut verdict = Verdict { denied: None, allowed: None };
        let statements = documents.iter().flat_map(|document| document.statements.iter().enumerate());
        for (index, statement) in statements {
            match (statement.applies(facts), statement.effect) {
                (Some(_), Effect::Deny) => {
                    verdict.denied.get_or_insert_with(|| DenyingStatement { index, sid: statement.sid.clone() });
                }
                (Some(strength), Effect::Allow) => verdict.allowed = verdict.allowed.max(Some(strength)),
                (None, _) => {}
            }
        }
        verdict
    }
}

/// Decides a request. It is denied unless a policy allows it.
///
/// An explicit deny in any policy wins. Otherwise the root principal may do everything in its own account. Another principal of the
/// account needs an allow in its identity policies or in the resource's policy. How much the resource's policy alone can allow depends
/// on how it names the principal ([`GrantStrength`]). A caller from another account needs an allow both in its identity policies and in
/// the resource's policy.
///
/// If the resource's policy is required ([`ResourceRule::Required`]), it must allow the action, also for the root principal. An allow
/// that names the account is sufficient for its root principal. For other principals the account's identity policies decide then.
pub fn evaluate(request: &Request<'_>, policies: &Policies) -> Decision {
    match judge(request, policies) {
        Ok(by) => Decision::Allowed { by },
        Err((cause, statement)) => Decision::Denied {
            reason: Denial {
                principal: request.principal.arn.clone(),
                action: request.action.to_owned(),
                resource: request.resource.to_owned(),
                cause,
                statement,
            },
        },
    }
}

/// Returns what allows the request, or the cause of its denial and the statement that denies it.
fn judge(request: &Request<'_>, policies: &Policies) -> Result<Grant, (Cause, Option<DenyingStatement>)> {
    // An explicit deny in any policy wins.
    let facts = Facts::of(request, !policies.boundary.is_empty());
    let verdicts = Verdicts {
        identity: Verdict::of(&policies.identity, &facts),
        resource: Verdict::of(&policies.resource, &facts),
        registry: Verdict::of(&policies.registry, &facts),
        boundary: Verdict::of(&policies.boundary, &facts),
        session: Verdict::of(&policies.session, &facts),
    };
    for (kind, verdict) in [
        (PolicyKind::Identity, &verdicts.identity),
        (PolicyKind::Resource, &verdicts.resource),
        (PolicyKind::Registry, &verdicts.registry),
        (PolicyKind::Boundary, &verdicts.boundary),
        (PolicyKind::Session, &verdicts.session),
    ] {
        if let Some(statement) = &verdict.denied {
            return Err((Cause::ExplicitDeny(kind), Some(statement.clone())));
        }
    }
    weigh_allows(request, policies, &facts, verdicts).map_err(|cause| (cause, None))
}

/// The combined effect of the policies, by kind.
struct Verdicts {
    identity: Verdict,
    resource: Verdict,
    registry: Verdict,
    boundary: Verdict,
    session: Verdict,
}

/// Returns what allows a request that no statement denies.
fn weigh_allows(
    request: &Request<'_>,
    policies: &Policies,
    facts: &Facts<'_>,
    Verdicts { identity, resource, registry, boundary, session }: Verdicts,
) -> Result<Grant, Cause> {
    // An allow of the registry's policy is as strong as an allow of the resource's own policy.
    let resource = Verdict { allowed: resource.allowed.max(registry.allowed), ..resource };
    // The permissions boundary and the session policies limit most allows.
    let principal = request.principal;
    let within_limits = || {
        if facts.has_boundary && boundary.allowed.is_none() {
            return Err(Cause::NoAllow(PolicyKind::Boundary));
        }
        let needs_session =
            !policies.session.is_empty() || matches!(principal.kind, PrincipalKind::FederatedUser { .. });
        if needs_session && session.allowed.is_none() {
            return Err(Cause::NoAllow(PolicyKind::Session));
        }
        Ok(())
    };
    let has_identity_allow = identity.allowed.is_some() || acts_as_root(principal);
    let is_required = request.resource_rule == ResourceRule::Required;
    let no_resource_allow = Err(Cause::NoAllow(PolicyKind::Resource));
    match (&principal.kind, principal.account) {
        // Services and anonymous clients have no identity policies.
        (PrincipalKind::Service | PrincipalKind::Anonymous, _) | (_, None) => match resource.allowed {
            Some(_) => Ok(Grant::ResourcePolicy),
            None => no_resource_allow,
        },
        // Within the account, the identity policies or the resource's policy can allow.
        (kind, Some(account)) if account == request.resource_account => match resource.allowed {
            None if is_required => no_resource_allow,
            Some(_) if is_required && *kind == PrincipalKind::Root => Ok(Grant::ResourcePolicy),
            _ if *kind == PrincipalKind::Root => Ok(Grant::Root),
            Some(GrantStrength::Alone) => Ok(Grant::ResourcePolicy),
            Some(GrantStrength::Limited) if !has_identity_allow => within_limits().map(|()| Grant::ResourcePolicy),
            _ if has_identity_allow => within_limits().map(|()| Grant::IdentityPolicy),
            _ => Err(Cause::NoAllow(PolicyKind::Identity)),
        },
        // A caller from another account needs both.
        _ if resource.allowed.is_none() => no_resource_allow,
        _ if has_identity_allow => within_limits().map(|()| Grant::ResourcePolicy),
        _ => Err(Cause::NoAllow(PolicyKind::Identity)),
    }
}

/// True for a principal that needs no identity policy: the root principal, and a federated user whom it asked for.
fn acts_as_root(principal: &Principal) -> bool {
    match &principal.kind {
        PrincipalKind::Root => true,
        PrincipalKind::FederatedUser { of } => of.ends_with(":root"),
        _ => false,
    }
}
