//! Authorization: the caller of an operation, the permissions that the operation needs, and the check of one against the other.
//! Nothing is allowed by default.

mod caller;
mod conditions;
mod need;

pub use caller::{Caller, CallerIdentity, Session, SessionKind};
pub use conditions::PERMISSIONS_BOUNDARY;
pub use need::{NamedImage, Need, Resource};

use crate::{CommonError, Cx};
use conditions::RequestFacts;
use oci::Digest;
use policy::{Cause, PolicyKind};
use std::sync::Arc;

/// The tags of a resource or a principal, as keys and values.
pub type Tags = Arc<[(String, String)]>;

/// The stored policies and tags by which [`authorize`] evaluates one caller's access to one resource.
#[derive(Clone, Debug, Default)]
pub struct FoundPolicies {
    /// The policies of the caller and of the resource.
    pub policies: policy::Policies,
    /// The resource's tags.
    pub resource_tags: Tags,
    /// The tags of the caller's user or role. The tags of its session win over them.
    pub principal_tags: Tags,
    /// All tags of the image that the need takes all tags from. Empty unless a policy depends on them.
    pub image_tags: Vec<String>,
    /// The ARN of the permissions boundary of a user or role that is the resource (`iam:PermissionsBoundary`, unless the need has it).
    pub resource_boundary: Option<String>,
    /// The resource's full ARN, if the need names it by less: IAM's operations name a user without the user's path.
    pub resource_arn: Option<String>,
}

/// A domain's part in finding the policies by which [`authorize`] evaluates calls. A domain has at most one.
#[async_trait::async_trait]
pub trait PolicySource: Send + Sync {
    /// Adds the policies and tags that the domain knows of the call's caller and of the resource. A resource that does not exist has
    /// none.
    async fn add(&self, cx: &Cx, need: &Need, found: &mut FoundPolicies) -> Result<(), CommonError>;

    /// Returns all tags of an image in the need's repository. Empty for an image or a repository that does not exist, and for a domain
    /// without images.
    async fn image_tags(&self, _cx: &Cx, _need: &Need, _image: &Digest) -> Result<Vec<String>, CommonError> {
        Ok(Vec::new())
    }
}

/// Finds the policies for a need in all domains.
pub async fn find_policies(cx: &Cx, need: &Need) -> Result<FoundPolicies, CommonError> {
    let mut found = FoundPolicies::default();
    for source in cx.policy_sources() {
        source.add(cx, need, &mut found).await?;
    }
    if let Some(image) = need.digest_to_delete()
        && found.policies.mention(conditions::IMAGE_TAG)
    {
        for source in cx.policy_sources() {
            found.image_tags.extend(source.image_tags(cx, need, image).await?);
        }
    }
    Ok(found)
}

/// Checks that the caller has every permission that is not optional. Returns true if it has the optional ones too.
///
/// # Errors
/// [`CommonError::AccessDenied`] names the first permission that is denied.
pub async fn authorize(cx: &Cx, needs: &[Need]) -> Result<bool, CommonError> {
    // If the data directory is gone, answer no call from the metadata that is still in memory.
    cx.blobs.present()?;
    let mut optional = true;
    let principal = cx.caller.identity.principal(cx.registry.partition());
    for need in needs {
        let found = find_policies(cx, need).await?;
        match decide_for(&principal, cx, need, &found) {
            policy::Decision::Denied { .. } if need.optional => optional = false,
            policy::Decision::Denied { reason } => {
                return Err(CommonError::AccessDenied(Box::new(shown(&principal, cx, need, found, reason))));
            }
            policy::Decision::Allowed { .. } => {}
        }
    }
    Ok(optional)
}

/// Returns a denial as its caller may read it. It tells nobody more than the caller's own rights do.
///
/// A caller can write policies of its own that test what is stored, and learn it from the denial's text. So whoever would be denied
/// without what is stored reads that denial: the tags of images are for those who may do the action on an image without tags, and the
/// tags of a resource are for them and for its account.
///
/// A resource that does not exist has no policy, so callers of other accounts are not told that a policy of the resource denies.
fn shown(
    principal: &policy::Principal,
    cx: &Cx,
    need: &Need,
    mut found: FoundPolicies,
    denial: policy::Denial,
) -> policy::Denial {
    let is_own = cx.caller.account() == Some(need.resource.owner);
    found.image_tags.clear();
    if !is_own {
        found.resource_tags = Tags::default();
        found.resource_boundary = None;
    }
    let denial = match decide_for(principal, cx, need, &found) {
        policy::Decision::Denied { reason } => reason,
        policy::Decision::Allowed { .. } => denial,
    };
    let own = need.rule.kind();
    let is_of_resource =
        matches!(denial.cause, Cause::ExplicitDeny(kind) if [own, PolicyKind::Registry].contains(&kind));
    if is_own || !is_of_resource {
        return denial;
    }
    policy::Denial { cause: Cause::NoAllow(own), statement: None, ..denial }
}

/// What these policies make of a need of the call's caller.
pub fn decide(cx: &Cx, need: &Need, found: &FoundPolicies) -> policy::Decision {
    decide_for(&cx.caller.identity.principal(cx.registry.partition()), cx, need, found)
}

fn decide_for(principal: &policy::Principal, cx: &Cx, need: &Need, found: &FoundPolicies) -> policy::Decision {
    let request = policy::Request {
        principal,
        action: &need.action,
        resource: found.resource_arn.as_deref().unwrap_or(&need.resource.arn),
        resource_account: need.resource.owner,
        resource_rule: need.rule,
        context: &|| conditions::keys(&RequestFacts::of(cx), need, found),
    };
    policy::evaluate(&request, &found.policies)
}
