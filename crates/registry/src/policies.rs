//! Finds the policies and the tags for an authorization.
//!
//! Every request needs them, so they are cached for [`KNOWN_TIME`]. A change on another node takes effect here within that time. A
//! change on this node takes effect at once, because everything that changes a policy, a tag, a setting or a repository calls
//! [`forget`].

use crate::account_setting::{self, REGISTRY_POLICY_SCOPE, V1};
use crate::clock::Time;
use crate::{Capability, CommonError, Cx, Error, RegistryId, lock, permission};
use kernel::access::{FoundPolicies, Need, PolicySource, Resource, Tags};
use meta::records::policy::{self as records, ResourcePolicyRow};
use oci::Digest;
use policy::{AttachedPolicy, Document, Grammar};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long a cached entry is valid.
const KNOWN_TIME: Duration = Duration::from_millis(500);
/// The largest number of cached resources. Resources that do not exist are cached too, so that both cost the same time.
const KNOWN_RESOURCES: usize = 4096;
/// The largest size of the text of all cached policies, in bytes. A parsed document takes about twenty times its text.
const KNOWN_TEXT_BYTES: usize = 1024 * 1024;

/// The actions of a registry policy in the scope V1, without their prefix (`ECR.md` G.1).
pub(crate) const VERSION_1_ACTIONS: &[&str] = &["ReplicateImage", "BatchImportUpstreamImage", "CreateRepository"];
/// The names of the two policies in decisions.
pub(crate) const REPOSITORY_POLICY: &str = "repository policy";
pub(crate) const REGISTRY_POLICY: &str = "registry policy";

/// The action that only the caller's own policies can allow (`ECR.md` G.1).
const FROM_IDENTITY_ALONE: &str = "ecr:GetAuthorizationToken";

/// The cache of policies.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<KnownPolicies>();

/// The policies of repositories and registries.
pub(crate) struct StoredPolicies;

#[async_trait::async_trait]
impl PolicySource for StoredPolicies {
    async fn add(&self, cx: &Cx, need: &Need, found: &mut FoundPolicies) -> Result<(), CommonError> {
        let known = of_resource(cx, &need.resource).await?;
        let ResourcePolicies { repository, registry, of_version_1, tags, .. } = &*known;
        // Such a policy covers the actions of its own service alone, whatever a NotAction in it matches.
        let service = need.action.split_once(':').map(|(service, _)| service);
        if service == Some(cx.registry.service()) && need.action != FROM_IDENTITY_ALONE {
            found.policies.resource.extend(repository.clone());
            let concerned = !of_version_1 || is_of_version_1_action(&need.action);
            found.policies.registry.extend(registry.clone().filter(|_| concerned));
        }
        if !tags.is_empty() {
            found.resource_tags = tags.clone();
        }
        Ok(())
    }

    async fn image_tags(&self, cx: &Cx, need: &Need, image: &Digest) -> Result<Vec<String>, CommonError> {
        let Some(name) = permission::repository_of(&cx.registry, &need.resource) else { return Ok(Vec::new()) };
        let (registry, digest) = (cx.registry.key(), image.to_bytes());
        let tags = cx.db.read(move |tx| tx.tag_of_digest(&registry, name.as_str(), &digest)).await;
        tags.map_err(|error: meta::Error| error.into())
    }
}

fn is_of_version_1_action(action: &str) -> bool {
    action.strip_prefix("ecr:").is_some_and(|name| VERSION_1_ACTIONS.contains(&name))
}

/// Returns true if the registry's policy has the scope V1.
pub(crate) async fn is_of_version_1(cx: &Cx) -> Result<bool, Error> {
    Ok(account_setting::get(cx, REGISTRY_POLICY_SCOPE.name).await? == V1)
}

/// Removes the registry of the call from the cache. Call this after every attempt to change something that authorizations use,
/// even if the attempt failed.
pub(crate) fn forget(cx: &Cx) {
    let mut known = lock(&KnownPolicies::of(cx).0);
    known.changes += 1;
    known.retain(|registry, _| *registry != cx.registry);
}

/// The stored policies and tags of a resource.
#[derive(Debug, Default)]
struct ResourcePolicies {
    repository: Option<AttachedPolicy>,
    registry: Option<AttachedPolicy>,
    of_version_1: bool,
    /// The repository's tags, which the caller's policies may test too.
    tags: Tags,
    /// The size of the text of both policies and the tags, in bytes.
    text_bytes: usize,
}

async fn of_resource(cx: &Cx, resource: &Resource) -> Result<Arc<ResourcePolicies>, CommonError> {
    let now = cx.now();
    let changes = {
        let known = lock(&KnownPolicies::of(cx).0);
        if let Some(found) = known.get(&cx.registry, &resource.arn, now) {
            return Ok(found);
        }
        known.changes
    };
    let name = permission::repository_of(&cx.registry, resource);
    let text = name.as_ref().map_or("", |name| name.as_str());
    let row = cx.db.look_up(records::of_resource(&cx.registry.key(), text)).await?.unwrap_or_default();
    let found = Arc::new(read(row)?);
    lock(&KnownPolicies::of(cx).0).put(&cx.registry, &resource.arn, &found, now, changes);
    Ok(found)
}

/// Parses stored policies. Fails closed: a stored policy was valid when it was stored.
fn read(row: ResourcePolicyRow) -> Result<ResourcePolicies, CommonError> {
    let policies = [&row.repository, &row.registry].into_iter().flatten().map(String::len);
    let tags = row.tags.iter().map(|(key, value)| key.len() + value.len());
    let text_bytes = policies.chain(tags).sum();
    let parse = |name: &str, text: Option<String>| {
        let document = text.map(|text| Document::parse(&text, Grammar::Resource)).transpose();
        let named = document.map(|document| document.map(|document| AttachedPolicy::new(name, document)));
        named.map_err(CommonError::server)
    };
    Ok(ResourcePolicies {
        repository: parse(REPOSITORY_POLICY, row.repository)?,
        registry: parse(REGISTRY_POLICY, row.registry)?,
        of_version_1: row.scope.as_deref() == Some(V1),
        tags: row.tags.into(),
        text_bytes,
    })
}

/// The cached policies of this node.
#[derive(Default)]
struct KnownPolicies(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The number of calls of [`forget`]. An entry that was read before a change must not be cached after it.
    changes: u64,
    /// The entries by registry and by the ARN of the resource.
    registries: HashMap<RegistryId, HashMap<String, Remembered>>,
    /// The number of entries, and the total size of their text in bytes.
    resources: usize,
    text_bytes: usize,
}

struct Remembered {
    found: Arc<ResourcePolicies>,
    since: Time,
}

impl Remembered {
    fn holds(&self, now: Time) -> bool {
        // After the clock was set back, the age of an entry is unknown.
        self.since <= now && now < self.since.plus(KNOWN_TIME)
    }
}

impl KnownPolicies {
    fn of(cx: &Cx) -> &KnownPolicies {
        cx.system.state()
    }
}

impl Known {
    fn get(&self, registry: &RegistryId, arn: &str, now: Time) -> Option<Arc<ResourcePolicies>> {
        let remembered = self.registries.get(registry)?.get(arn)?;
        remembered.holds(now).then(|| remembered.found.clone())
    }

    /// Caches what was read at `since`, unless something was changed since then.
    fn put(&mut self, registry: &RegistryId, arn: &str, found: &Arc<ResourcePolicies>, since: Time, changes: u64) {
        if changes != self.changes {
            return;
        }
        if !self.has_room(found) {
            self.retain(|_, remembered| remembered.holds(since));
        }
        if self.has_room(found) {
            let remembered = Remembered { found: found.clone(), since };
            let before = self.registries.entry(registry.clone()).or_default().insert(arn.to_owned(), remembered);
            self.resources += usize::from(before.is_none());
            self.text_bytes += found.text_bytes;
            self.text_bytes -= before.map_or(0, |before| before.found.text_bytes);
        }
    }

    fn retain(&mut self, stays: impl Fn(&RegistryId, &Remembered) -> bool) {
        self.registries.retain(|registry, all| {
            all.retain(|_, remembered| stays(registry, remembered));
            !all.is_empty()
        });
        let all = || self.registries.values().flat_map(HashMap::values);
        self.resources = all().count();
        self.text_bytes = all().map(|remembered| remembered.found.text_bytes).sum();
    }

    fn has_room(&self, for_one: &ResourcePolicies) -> bool {
        self.resources < KNOWN_RESOURCES && self.text_bytes + for_one.text_bytes <= KNOWN_TEXT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::AccountId;

    fn registry() -> RegistryId {
        RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap())
    }

    fn found(text_bytes: usize) -> Arc<ResourcePolicies> {
        Arc::new(ResourcePolicies { text_bytes, ..ResourcePolicies::default() })
    }

    #[test]
    fn an_entry_that_was_read_before_a_change_is_not_cached_after_it() {
        let mut known = Known::default();
        let read_at = known.changes;
        known.changes += 1;
        known.put(&registry(), "app", &found(1), Time(0), read_at);
        assert!(known.get(&registry(), "app", Time(0)).is_none());
        known.put(&registry(), "app", &found(1), Time(0), known.changes);
        assert!(known.get(&registry(), "app", Time(0)).is_some());
        assert!(known.get(&registry(), "other", Time(0)).is_none());
        assert!(known.get(&registry(), "app", Time(0).plus(KNOWN_TIME)).is_none());
        assert!(known.get(&registry(), "app", Time(-1)).is_none());
    }

    #[test]
    fn the_cache_stays_within_its_limits_and_removes_stale_entries() {
        for (count, bytes, kept) in [(KNOWN_RESOURCES + 1, 0, KNOWN_RESOURCES), (5, KNOWN_TEXT_BYTES / 4, 4)] {
            let mut known = Known::default();
            for number in 0..count {
                known.put(&registry(), &number.to_string(), &found(bytes), Time(0), 0);
                // Replace the entry by an equal one.
                known.put(&registry(), "0", &found(bytes), Time(0), 0);
            }
            assert_eq!((known.resources, known.text_bytes), (kept, kept * bytes));
            assert!(known.get(&registry(), &(count - 1).to_string(), Time(0)).is_none());
            let later = Time(0).plus(KNOWN_TIME);
            known.put(&registry(), "later", &found(bytes), later, 0);
            assert_eq!((known.resources, known.text_bytes), (1, bytes));
        }
    }
}
