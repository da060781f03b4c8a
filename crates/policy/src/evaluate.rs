//! The evaluation of one request by all policies that apply (`ECR.md` G.1; IAM user guide, "Policy evaluation logic").

#[cfg(test)]
mod tests;

use crate::decision::{Cause, Decision, Denial, Grant, PolicyKind};
use crate::document::{Document, Effect, Facts};
use crate::principal::GrantStrength;
use crate::request::{Principal, PrincipalKind, Request, ResourceRule};

/// The policies that apply to a request.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Of the caller and the caller's groups.
    pub identity: Vec<Document>,
    /// Of the resource: its own policy and its registry's, read by [`Grammar::Resource`](crate::Grammar::Resource).
    /// None for an action that such policies can't grant, such as `ecr:GetAuthorizationToken`.
    pub resource: Vec<Document>,
    /// The caller's permissions boundary; empty when there is none.
    pub boundary: Vec<Document>,
    /// The session's policies; empty when it has none (a federated user without any may do nothing by them).
    pub session: Vec<Document>,
}

impl Policies {
    /// True if there is no policy of any kind.
    pub fn is_empty(&self) -> bool {
        let kinds = [&self.identity, &self.resource, &self.boundary, &self.session];
        kinds.iter().all(|documents| documents.is_empty())
    }
}

/// What the policies of one kind say.
struct Verdict {
    denied: bool,
    /// The strongest allow.
    allowed: Option<GrantStrength>,
}

impl Verdict {
    fn of(documents: &[Document], facts: &Facts<'_>) -> Verdict {
        let mut verdict = Verdict { denied: false, allowed: None };
        for statement in documents.iter().flat_map(|document| &document.statements) {
            match (statement.applies(facts), statement.effect) {
                (Some(_), Effect::Deny) => verdict.denied = true,
                (Some(strength), Effect::Allow) => verdict.allowed = verdict.allowed.max(Some(strength)),
                (None, _) => {}
            }
        }
        verdict
    }
}

/// Judges a request; what no policy allows is denied.
///
/// An explicit deny in any policy wins. In its own account the root principal may then do everything; others need an
/// allow, of which the resource's policy can give as much as it names them for. A foreign caller needs both its own
/// policies' allow and the resource's.
///
/// Where the resource's policy is required ([`ResourceRule::Required`]), what it does not allow is denied to everybody, to the
/// root principal too. An allow that names the account is enough for its root principal, and leaves others to the account's
/// identity policies.
pub fn evaluate(request: &Request<'_>, policies: &Policies) -> Decision {
    match judge(request, policies) {
        Ok(by) => Decision::Allowed { by },
        Err(cause) => Decision::Denied {
            reason: Denial {
                principal: request.principal.arn.clone(),
                action: request.action.to_owned(),
                resource: request.resource.to_owned(),
                cause,
            },
        },
    }
}

fn judge(request: &Request<'_>, policies: &Policies) -> Result<Grant, Cause> {
    let facts = Facts::of(request, !policies.boundary.is_empty());
    let identity = Verdict::of(&policies.identity, &facts);
    let resource = Verdict::of(&policies.resource, &facts);
    let boundary = Verdict::of(&policies.boundary, &facts);
    let session = Verdict::of(&policies.session, &facts);
    for (kind, verdict) in [
        (PolicyKind::Identity, &identity),
        (PolicyKind::Resource, &resource),
        (PolicyKind::Boundary, &boundary),
        (PolicyKind::Session, &session),
    ] {
        if verdict.denied {
            return Err(Cause::ExplicitDeny(kind));
        }
    }
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
        (PrincipalKind::Service | PrincipalKind::Anonymous, _) | (_, None) => match resource.allowed {
            Some(_) => Ok(Grant::ResourcePolicy),
            None => no_resource_allow,
        },
        (kind, Some(account)) if account == request.resource_account => match resource.allowed {
            None if is_required => no_resource_allow,
            Some(_) if is_required && *kind == PrincipalKind::Root => Ok(Grant::ResourcePolicy),
            _ if *kind == PrincipalKind::Root => Ok(Grant::Root),
            Some(GrantStrength::Alone) => Ok(Grant::ResourcePolicy),
            Some(GrantStrength::Limited) if !has_identity_allow => within_limits().map(|()| Grant::ResourcePolicy),
            _ if has_identity_allow => within_limits().map(|()| Grant::IdentityPolicy),
            _ => Err(Cause::NoAllow(PolicyKind::Identity)),
        },
        _ if resource.allowed.is_none() => no_resource_allow,
        _ if has_identity_allow => within_limits().map(|()| Grant::ResourcePolicy),
        _ => Err(Cause::NoAllow(PolicyKind::Identity)),
    }
}

/// True for those whom identity policies do not bind: the root principal, and sessions that it asked for.
fn acts_as_root(principal: &Principal) -> bool {
    match &principal.kind {
        PrincipalKind::Root => true,
        PrincipalKind::FederatedUser { of } => of.ends_with(":root"),
        _ => false,
    }
}
