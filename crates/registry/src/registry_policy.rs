//! The policy of a registry (`ECR.md` A.1 PutRegistryPolicy and the following, G.1).

use crate::access::{self, Need};
use crate::event::{self, Event};
use crate::policies::REGISTRY_POLICY;
use crate::policy_text::{self, PolicyText};
use crate::{Cx, Error, permission, policies};
use ::policy::AttachedPolicy;
use meta::records::policy;
use serde_json::json;

/// The actions that a caller needs to repair a registry's policy.
const TO_MEND: [&str; 2] = ["ecr:PutRegistryPolicy", "ecr:DeleteRegistryPolicy"];

/// Sets or replaces the policy and returns its text.
///
/// # Errors
/// [`CommonError::InvalidParameter`](crate::CommonError::InvalidParameter) on `PolicyText` if the text is not a policy of this registry,
/// names a principal that does not exist, or would deny the caller both to replace and to delete it.
pub async fn put(cx: &Cx, text: &str) -> Result<String, Error> {
    let policy = PolicyText::of_registry(cx, text).await?;
    refuse_lockout(cx, &policy).await?;
    let PolicyText { text, stored, .. } = policy;
    let registry = cx.registry.key();
    let now = cx.now().0;
    let event = Event::new(cx, "registry-policy.put", None);
    let put = cx
        .db
        .write(move |tx| {
            let before = tx.look_up(policy::of_registry(&registry))?;
            tx.registry_policy_put(&registry, &stored, now)?;
            let detail = json!({ "before": before, "after": stored });
            event::record(tx, Event { detail, ..event.clone() })?;
            Ok::<(), Error>(())
        })
        .await;
    policies::forget(cx);
    put?;
    Ok(text)
}

/// Refuses a policy that its caller could neither replace nor delete. AWS has no such check, and a caller is then locked out.
async fn refuse_lockout(cx: &Cx, policy: &PolicyText) -> Result<(), Error> {
    let mut mendable = false;
    for action in TO_MEND {
        let need = Need::new(action, permission::registry(&cx.registry));
        let mut found = access::find_policies(cx, &need).await?;
        found.policies.registry = vec![AttachedPolicy::new(REGISTRY_POLICY, policy.document.clone())];
        mendable |= access::decide(cx, &need, &found).is_allowed();
    }
    if mendable {
        return Ok(());
    }
    let reason = "it would deny you both another ecr:PutRegistryPolicy and ecr:DeleteRegistryPolicy";
    Err(policy_text::refused(policy_text::REGISTRY, reason))
}

/// Returns the policy. Fails with [`Error::RegistryPolicyNotFound`] if there is none.
pub async fn get(cx: &Cx) -> Result<String, Error> {
    let (registry, partition) = (cx.registry.key(), cx.registry.partition());
    let text: Result<_, Error> = cx
        .db
        .read(move |tx| {
            let stored = tx.look_up(policy::of_registry(&registry))?;
            stored.map(|stored| policy_text::shown(tx, partition, stored)).transpose()
        })
        .await;
    text?.ok_or_else(|| not_found(cx))
}

/// Deletes the policy and returns it. Fails with [`Error::RegistryPolicyNotFound`] if there is none.
pub async fn delete(cx: &Cx) -> Result<String, Error> {
    let (registry, partition) = (cx.registry.key(), cx.registry.partition());
    let event = Event::new(cx, "registry-policy.delete", None);
    let deleted = cx
        .db
        .write_to_free(move |tx| {
            let Some(text) = tx.look_up(policy::of_registry(&registry))? else { return Ok::<_, Error>(None) };
            tx.registry_policy_delete(&registry)?;
            event::record(tx, Event { detail: json!({ "before": text }), ..event.clone() })?;
            policy_text::shown(tx, partition, text).map(Some)
        })
        .await;
    policies::forget(cx);
    deleted?.ok_or_else(|| not_found(cx))
}

fn not_found(cx: &Cx) -> Error {
    Error::RegistryPolicyNotFound { account: cx.registry.account.to_string() }
}
