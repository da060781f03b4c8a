//! The versions of managed policies (IAM API reference).

use crate::error::Error;
use crate::managed_policy::{self, KnownPolicy, PolicyArn};
use crate::{Cx, entity};
use meta::Tx;
use meta::records::iam::EntityKind;
use meta::records::iam_policy::PolicyVersionRow;
use serde_json::json;

const KIND: EntityKind = EntityKind::Policy;

/// The most versions of a policy.
pub const MAX_VERSIONS: usize = 5;

/// A version of a managed policy.
#[derive(Clone, Debug)]
pub struct PolicyVersion {
    pub number: i64,
    pub document: String,
    pub is_default: bool,
    pub created_at: i64,
}

impl PolicyVersion {
    fn of(row: PolicyVersionRow, default: Option<i64>) -> PolicyVersion {
        let PolicyVersionRow { number, document, created_at } = row;
        PolicyVersion { number, document, is_default: Some(number) == default, created_at }
    }
}

/// The number of a version id such as `v3`. `None` if no version has this id.
fn number(id: &str) -> Option<i64> {
    id.strip_prefix('v').and_then(|number| number.parse().ok())
}

/// The versions of a policy, the newest first.
fn versions(tx: &mut Tx<'_>, policy: &KnownPolicy) -> Result<Vec<PolicyVersion>, Error> {
    match policy {
        KnownPolicy::Aws(aws) => Ok(vec![PolicyVersion {
            number: aws.version,
            document: aws.document.to_owned(),
            is_default: true,
            created_at: aws.updated_at * 1_000_000,
        }]),
        KnownPolicy::Own(own) => {
            let rows = tx.policy_version_list(&own.id)?;
            Ok(rows.into_iter().map(|row| PolicyVersion::of(row, own.default_version)).collect())
        }
    }
}

/// Lists the versions of a policy, the newest first. Fails with [`Error::NoSuchEntity`].
pub async fn list(cx: &Cx, arn: &PolicyArn) -> Result<Vec<PolicyVersion>, Error> {
    let target = arn.target(cx);
    let listed = cx.db.read(move |tx| target.find(tx)?.map(|policy| versions(tx, &policy)).transpose());
    let listed: Result<_, Error> = listed.await;
    listed?.ok_or_else(|| arn.not_found())
}

/// Returns the version with an id such as `v3`. Fails with [`Error::NoSuchEntity`].
pub async fn get(cx: &Cx, arn: &PolicyArn, id: &str) -> Result<PolicyVersion, Error> {
    let found = list(cx, arn).await?.into_iter().find(|version| Some(version.number) == number(id));
    found.ok_or_else(|| arn.no_version(id))
}

/// Adds a version, and makes it the default if `as_default`.
///
/// # Errors
/// [`Error::MalformedPolicyDocument`]; [`Error::LimitExceeded`] for a sixth version, or a document over
/// [`MAX_SIZE`](managed_policy::MAX_SIZE); [`Error::NoSuchEntity`]; [`Error::ForeignPolicy`].
pub async fn create(cx: &Cx, arn: &PolicyArn, document: String, as_default: bool) -> Result<PolicyVersion, Error> {
    managed_policy::check(&document)?;
    let now = cx.now().0;
    let name = arn.own(cx).await?;
    entity::change(cx, KIND, name, "iam.create_version", move |tx, policy| {
        if tx.policy_version_list(&policy.id)?.len() >= MAX_VERSIONS {
            // AWS's words.
            let text = format!(
                "A managed policy can have up to {MAX_VERSIONS} versions. Before you create a new version, you must delete an existing \
                 version."
            );
            return Err(Error::LimitExceeded(text));
        }
        let number = policy.last_version.unwrap_or_default() + 1;
        policy.last_version = Some(number);
        if as_default {
            policy.default_version = Some(number);
        }
        let row = PolicyVersionRow { number, document: document.clone(), created_at: now };
        tx.policy_version_insert(&policy.id, &row)?;
        Ok((json!({ "version": number, "default": as_default }), PolicyVersion::of(row, policy.default_version)))
    })
    .await
}

/// Makes a version the default, by which calls are authorized. Fails as [`delete`] does.
pub async fn set_default(cx: &Cx, arn: &PolicyArn, id: &str) -> Result<(), Error> {
    let name = arn.own(cx).await?;
    let (number, missing) = (number(id), arn.clone());
    let id = id.to_owned();
    entity::change(cx, KIND, name, "iam.set_default_version", move |tx, policy| {
        let number = existing(tx, &policy.id, number)?.ok_or_else(|| missing.no_version(&id))?;
        let before = policy.default_version.replace(number);
        Ok((json!({ "before": before, "version": number }), ()))
    })
    .await
}

/// Deletes a version that is not the default.
///
/// # Errors
/// [`Error::NoSuchEntity`]; [`Error::PolicyInUse`] for the default version; [`Error::ForeignPolicy`].
pub async fn delete(cx: &Cx, arn: &PolicyArn, id: &str) -> Result<(), Error> {
    let name = arn.own(cx).await?;
    let (number, missing) = (number(id), arn.clone());
    let id = id.to_owned();
    entity::change(cx, KIND, name, "iam.delete_version", move |tx, policy| {
        let number = existing(tx, &policy.id, number)?.ok_or_else(|| missing.no_version(&id))?;
        if policy.default_version == Some(number) {
            return Err(Error::PolicyInUse("Cannot delete the default version of a policy."));
        }
        tx.policy_version_delete(&policy.id, number)?;
        Ok((json!({ "version": number }), ()))
    })
    .await
}

/// Returns the number if the policy has that version.
fn existing(tx: &mut Tx<'_>, policy: &str, number: Option<i64>) -> Result<Option<i64>, Error> {
    let Some(number) = number else { return Ok(None) };
    Ok(tx.policy_version_get(policy, number)?.map(|version| version.number))
}
