//! The evaluation of a request by the policies that apply to it (`ECR.md` G.1; IAM user guide, "Policy evaluation logic").

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use crate::decision::{Cause, DecidingStatement, Decision, Denial, Grant, GrantBasis, PolicyKind};
use crate::document::{Effect, Facts, Statement};
use crate::policies::{AttachedPolicy, Policies};
use crate::principal::GrantStrength;
use crate::request::{Principal, PrincipalKind, Request, ResourceRule};

/// The combined effect of the policies of one kind.
struct Verdict<'p> {
    kind: PolicyKind,
    /// The first statement that denies.
    denied: Option<StatementAt<'p>>,
    /// The first statement with the strongest allow.
    allowed: Option<(GrantStrength, StatementAt<'p>)>,
}

/// A statement and its place.
#[derive(Clone, Copy)]
struct StatementAt<'p> {
    policy: &'p AttachedPolicy,
    index: usize,
    statement: &'p Statement,
}

impl<'p> StatementAt<'p> {
    fn explained(self, kind: PolicyKind) -> DecidingStatement {
        let StatementAt { policy, index, statement } = self;
        DecidingStatement { kind, policy: policy.name.clone(), index, sid: statement.sid.clone() }
    }
}

impl<'p> Verdict<'p> {
    fn of(kind: PolicyKind, policies: &'p [AttachedPolicy], facts: &Facts<'_>) -> Verdict<'p> {
        let mut verdict = Verdict { kind, denied: None, allowed: None };
        for policy in policies {
            for (index, statement) in policy.document.statements.iter().enumerate() {
                let Some(strength) = statement.applies(facts) else { continue };
                let found = StatementAt { policy, index, statement };
                match statement.effect {
                    Effect::Deny => drop(verdict.denied.get_or_insert(found)),
                    Effect::Allow if verdict.strength() < Some(strength) => verdict.allowed = Some((strength, found)),
                    Effect::Allow => {}
                }
            }
        }
        verdict
    }

    /// The strength of the strongest allow.
    fn strength(&self) -> Option<GrantStrength> {
        self.allowed.map(|(strength, _)| strength)
    }

    fn allows(&self) -> bool {
        self.allowed.is_some()
    }

    fn no_allow(&self) -> Cause {
        Cause::NoAllow(self.kind)
    }
}

/// Decides a request. It is denied unless a policy allows it.
///
/// An explicit deny in any policy wins. If the caller's account has service control policies, one of them must allow the action, for the
/// root principal too. Otherwise the root principal may do everything in its own account. Another principal of the account needs an allow
/// in its identity policies or in the resource's policy. How much the resource's policy alone can allow depends on how it names the
/// principal ([`GrantStrength`]). A caller from another account needs an allow both in its identity policies and in the resource's policy.
///
/// If the resource's policy is required ([`ResourceRule::Required`], [`ResourceRule::Trust`]), it must allow the action, also for the root
/// principal. An allow that names the account is sufficient for its root principal. For other principals the account's identity policies
/// decide then.
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
fn judge(request: &Request<'_>, policies: &Policies) -> Result<Grant, (Cause, Option<DecidingStatement>)> {
    let facts = Facts::of(request, !policies.boundary.is_empty());
    let of = |kind, policies| Verdict::of(kind, policies, &facts);
    let verdicts = Verdicts {
        control: of(PolicyKind::Control, &policies.control),
        identity: of(PolicyKind::Identity, &policies.identity),
        resource: of(request.resource_rule.kind(), &policies.resource),
        registry: of(PolicyKind::Registry, &policies.registry),
        boundary: of(PolicyKind::Boundary, &policies.boundary),
        session: of(PolicyKind::Session, &policies.session),
    };
    // An explicit deny in any policy wins.
    let Verdicts { control, identity, resource, registry, boundary, session } = &verdicts;
    for verdict in [control, identity, resource, registry, boundary, session] {
        if let Some(found) = verdict.denied {
            return Err((Cause::ExplicitDeny(verdict.kind), Some(found.explained(verdict.kind))));
        }
    }
    weigh_allows(request, policies, verdicts).map_err(|cause| (cause, None))
}

/// The combined effect of the policies, by kind.
struct Verdicts<'p> {
    control: Verdict<'p>,
    identity: Verdict<'p>,
    resource: Verdict<'p>,
    registry: Verdict<'p>,
    boundary: Verdict<'p>,
    session: Verdict<'p>,
}

/// Returns what allows a request that no statement denies.
fn weigh_allows(
    request: &Request<'_>,
    policies: &Policies,
    Verdicts { control, identity, resource, registry, boundary, session }: Verdicts<'_>,
) -> Result<Grant, Cause> {
    // The service control policies limit every principal of their account, the root principal too.
    if !policies.control.is_empty() && !control.allows() {
        return Err(control.no_allow());
    }
    // An allow of the registry's policy is as strong as an allow of the resource's own policy.
    let by_resource = if registry.strength() > resource.strength() { &registry } else { &resource };
    // The permissions boundary and the session policies limit most allows.
    let principal = request.principal;
    let unlimited = |basis, needed: &[&Verdict<'_>]| Ok(explain(basis, needed, &[&control]));
    let limited = |basis, needed: &[&Verdict<'_>]| {
        if !policies.boundary.is_empty() && !boundary.allows() {
            return Err(boundary.no_allow());
        }
        let needs_session =
            !policies.session.is_empty() || matches!(principal.kind, PrincipalKind::FederatedUser { .. });
        if needs_session && !session.allows() {
            return Err(session.no_allow());
        }
        Ok(explain(basis, needed, &[&boundary, &session, &control]))
    };
    let has_identity_allow = identity.allows() || acts_as_root(principal);
    let is_required = request.resource_rule != ResourceRule::Either;
    let no_resource_allow = Err(resource.no_allow());
    match (&principal.kind, principal.account) {
        // Services and anonymous clients have no identity policies.
        (PrincipalKind::Service | PrincipalKind::Anonymous, _) | (_, None) => match by_resource.strength() {
            Some(_) => unlimited(GrantBasis::ResourcePolicy, &[by_resource]),
            None => no_resource_allow,
        },
        // Within the account, the identity policies or the resource's policy can allow.
        (kind, Some(account)) if account == request.resource_account => match by_resource.strength() {
            None if is_required => no_resource_allow,
            Some(_) if is_required && *kind == PrincipalKind::Root => {
                unlimited(GrantBasis::ResourcePolicy, &[by_resource])
            }
            _ if *kind == PrincipalKind::Root => unlimited(GrantBasis::Root, &[]),
            Some(GrantStrength::Alone) => unlimited(GrantBasis::ResourcePolicy, &[by_resource]),
            Some(GrantStrength::Limited) if !has_identity_allow => limited(GrantBasis::ResourcePolicy, &[by_resource]),
            _ if has_identity_allow && is_required => limited(GrantBasis::IdentityPolicy, &[&identity, by_resource]),
            _ if has_identity_allow => limited(GrantBasis::IdentityPolicy, &[&identity]),
            _ => Err(identity.no_allow()),
        },
        // A caller from another account needs both.
        _ if !by_resource.allows() => no_resource_allow,
        _ if has_identity_allow => limited(GrantBasis::ResourcePolicy, &[by_resource, &identity]),
        _ => Err(identity.no_allow()),
    }
}

/// A grant with the statements that allow it: first the ones that grant, then the ones that only limit.
fn explain(basis: GrantBasis, granting: &[&Verdict<'_>], limiting: &[&Verdict<'_>]) -> Grant {
    let statement = |verdict: &&Verdict<'_>| {
        let (_, found) = verdict.allowed?;
        Some(found.explained(verdict.kind))
    };
    Grant { basis, statements: granting.iter().chain(limiting).filter_map(statement).collect() }
}

/// True for a principal that needs no identity policy: the root principal, and a federated user whom it asked for.
fn acts_as_root(principal: &Principal) -> bool {
    match &principal.kind {
        PrincipalKind::Root => true,
        PrincipalKind::FederatedUser { of } => of.ends_with(":root"),
        _ => false,
    }
}
