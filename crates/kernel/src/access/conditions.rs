//! The condition keys of a request (`ECR.md` G.2; IAM user guide, "AWS global condition context keys").
//!
//! The keys that depend on the principal and on the resource's account alone come from [`policy::evaluate`]. A key whose feature does
//! not exist here, such as `aws:SourceVpce`, is absent.

#[cfg(test)]
mod tests;

use super::{Caller, CallerIdentity, FoundPolicies, Need};
use crate::clock::Time;
use crate::{Cx, Origin, RegistryId};
use oci::Tag;
use policy::Keys;

/// The microseconds of a second.
const MICROSECONDS: i64 = 1_000_000;

/// The tag of the image that a request reads, pushes or untags; all tags of the image that a request deletes.
pub(super) const IMAGE_TAG: &str = "ecru:ImageTag";
/// The digest by which a request names an image.
const IMAGE_DIGEST: &str = "ecru:ImageDigest";

/// The permissions boundary that a request sets, or that its user or role has (service authorization reference, IAM).
pub const PERMISSIONS_BOUNDARY: &str = "iam:PermissionsBoundary";

/// The facts about a call that condition keys are made of.
pub(super) struct RequestFacts<'a> {
    caller: &'a Caller,
    origin: &'a Origin,
    registry: &'a RegistryId,
    now: Time,
}

impl<'a> RequestFacts<'a> {
    pub(super) fn of(cx: &'a Cx) -> RequestFacts<'a> {
        RequestFacts { caller: &cx.caller, origin: &cx.origin, registry: &cx.registry, now: cx.now() }
    }
}

/// The keys that are collected so far.
struct Collected(Keys);

impl Collected {
    fn put(&mut self, key: impl Into<String>, value: String) {
        self.0.entry(key.into()).or_default().push(value);
    }

    fn put_moment(&mut self, key: &str, time: Time) {
        if let Ok(moment) = jiff::Timestamp::from_microsecond(time.0) {
            self.put(key, moment.to_string());
        }
    }
}

/// Returns the condition keys of a need of the call's caller.
pub(super) fn keys(facts: &RequestFacts<'_>, need: &Need, found: &FoundPolicies) -> Keys {
    let mut keys = Collected(Keys::new());
    request(facts, &mut keys);
    caller(facts.caller, found, &mut keys);
    // The tags and the other keys of the action.
    for (key, value) in &need.request_tags {
        keys.put(format!("aws:RequestTag/{key}"), value.clone());
    }
    for key in need.tag_keys() {
        keys.put("aws:TagKeys", key.to_owned());
    }
    for (key, values) in &need.conditions {
        values.iter().for_each(|value| keys.put(*key, value.clone()));
    }
    if !need.conditions.contains_key(PERMISSIONS_BOUNDARY) {
        found.resource_boundary.iter().for_each(|boundary| keys.put(PERMISSIONS_BOUNDARY, boundary.clone()));
    }
    if let Some(image) = &need.image {
        let named = image.tag.iter().map(Tag::to_string);
        named.chain(found.image_tags.iter().cloned()).for_each(|tag| keys.put(IMAGE_TAG, tag));
        image.digest.iter().for_each(|digest| keys.put(IMAGE_DIGEST, digest.to_string()));
    }
    // Most services have their own name for the key of a resource's tag.
    let service = need.action.split(':').next().unwrap_or_default();
    for (key, value) in found.resource_tags.iter() {
        keys.put(format!("aws:ResourceTag/{key}"), value.clone());
        keys.put(format!("{service}:ResourceTag/{key}"), value.clone());
    }
    keys.0
}

/// Puts the keys of the request itself.
fn request(RequestFacts { origin, registry, now, .. }: &RequestFacts<'_>, keys: &mut Collected) {
    if let Some(request) = origin.request() {
        keys.put("aws:SourceIp", request.address.to_canonical().to_string());
        keys.put("aws:SecureTransport", request.tls.to_string());
        if !request.user_agent.is_empty() {
            keys.put("aws:UserAgent", request.user_agent.clone());
        }
        keys.put("ecru:Listener", request.listener.to_string());
    }
    // No service sends a request of its caller's on. AWS's recipes for a deny by address have this key.
    keys.put("aws:ViaAWSService", false.to_string());
    keys.put("aws:RequestedRegion", registry.api_region().to_owned());
    let seconds = now.0.div_euclid(MICROSECONDS);
    keys.put("aws:EpochTime", seconds.to_string());
    keys.put_moment("aws:CurrentTime", Time(seconds.saturating_mul(MICROSECONDS)));
}

/// Puts the keys of the caller and of its session (IAM user guide, "Principal key values").
fn caller(caller: &Caller, found: &FoundPolicies, keys: &mut Collected) {
    match &caller.identity {
        CallerIdentity::Service { .. } => {}
        CallerIdentity::Nobody => keys.put("aws:userid", "anonymous".to_owned()),
        _ => keys.put("aws:userid", caller.user_id()),
    }
    if let CallerIdentity::User { path_and_name, .. } = &caller.identity {
        let (_, name) = path_and_name.rsplit_once('/').unwrap_or(("", path_and_name));
        keys.put("aws:username", name.to_owned());
    }
    let session = caller.session.as_deref();
    let session_tags = session.map(|session| &session.tags);
    let own = found.principal_tags.iter().map(|(key, value)| (key, value));
    // The keys of tags are compared without case.
    let is_replaced = |key: &str| session_tags.is_some_and(|tags| tags.keys().any(|k| k.eq_ignore_ascii_case(key)));
    let own = own.filter(|(key, _)| !is_replaced(key));
    for (key, value) in session_tags.into_iter().flatten().chain(own) {
        keys.put(format!("aws:PrincipalTag/{key}"), value.clone());
    }
    if let Some(session) = session {
        // To the microsecond: a session that is issued right after its predecessors were revoked must not look as old as they.
        keys.put_moment("aws:TokenIssueTime", session.issued);
        if let Some(source_identity) = &session.source_identity {
            keys.put("aws:SourceIdentity", source_identity.clone());
        }
    }
}
