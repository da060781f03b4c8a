//! The policy of a repository (`ECR.md` A.2 SetRepositoryPolicy and the following, G.1).

use crate::access;
use crate::event::{self, Event};
use crate::policies::REPOSITORY_POLICY;
use crate::policy_text::{self, PolicyText};
use crate::{Cx, Error, permission, repository};
use oci::RepositoryName;
use policy::AttachedPolicy;
use serde_json::json;

/// Sets or replaces the policy and returns its text.
///
/// # Errors
/// [`CommonError::InvalidParameter`](crate::CommonError::InvalidParameter) on `PolicyText` if the text is not a policy of a repository,
/// names a principal that does not exist, or without `force` would deny the caller the next SetRepositoryPolicy.
pub async fn set(cx: &Cx, name: &RepositoryName, text: &str, force: bool) -> Result<String, Error> {
    let policy = PolicyText::of_repository(cx, text).await?;
    if !force {
        refuse_lockout(cx, name, &policy).await?;
    }
    let PolicyText { text, stored, .. } = policy;
    let now = cx.now().0;
    let event = Event::new(cx, "repository-policy.set", None);
    repository::change(cx, name, move |tx, row| {
        let before = tx.repository_policy_get(row.id)?;
        tx.repository_policy_put(row.id, &stored, now)?;
        let detail = json!({ "before": before, "after": stored, "force": force });
        event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
        Ok(())
    })
    .await?;
    Ok(text)
}

/// Refuses a policy that would deny its caller the next SetRepositoryPolicy.
async fn refuse_lockout(cx: &Cx, name: &RepositoryName, policy: &PolicyText) -> Result<(), Error> {
    let need = permission::need_on("ecr:SetRepositoryPolicy", &cx.registry, Some(name.as_str()));
    let mut found = access::find_policies(cx, &need).await?;
    found.policies.resource = vec![AttachedPolicy::new(REPOSITORY_POLICY, policy.document.clone())];
    match access::decide(cx, &need, &found) {
        policy::Decision::Allowed { .. } => Ok(()),
        policy::Decision::Denied { .. } => Err(policy_text::refused(
            policy_text::REPOSITORY,
            "it would deny you another ecr:SetRepositoryPolicy on this repository; force sets it all the same",
        )),
    }
}

/// Returns the policy. Fails with [`Error::RepositoryPolicyNotFound`] if there is none.
pub async fn get(cx: &Cx, name: &RepositoryName) -> Result<String, Error> {
    let partition = cx.registry.partition();
    let text = repository::read(cx, name, move |tx, row| {
        let stored = tx.repository_policy_get(row.id)?;
        stored.map(|stored| policy_text::shown(tx, partition, stored)).transpose()
    });
    text.await?.ok_or_else(|| not_found(cx, name))
}

/// Deletes the policy and returns it. Fails with [`Error::RepositoryPolicyNotFound`] if there is none.
pub async fn delete(cx: &Cx, name: &RepositoryName) -> Result<String, Error> {
    let (event, partition) = (Event::new(cx, "repository-policy.delete", None), cx.registry.partition());
    let (_, deleted) = repository::change_to_free(cx, name, move |tx, row| {
        let Some(text) = tx.repository_policy_get(row.id)? else { return Ok(None) };
        tx.repository_policy_delete(row.id)?;
        let detail = json!({ "before": text });
        event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
        policy_text::shown(tx, partition, text).map(Some)
    })
    .await?;
    deleted.ok_or_else(|| not_found(cx, name))
}

fn not_found(cx: &Cx, name: &RepositoryName) -> Error {
    Error::RepositoryPolicyNotFound { name: name.to_string(), account: cx.registry.account.to_string() }
}
