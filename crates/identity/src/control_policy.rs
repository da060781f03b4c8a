//! The service control policies of an account, which limit every principal of the account, its root principal too (AWS Organizations,
//! "Service control policies"; `ECR.md` G.1). An account without any is not limited.

use crate::account::{self, MANAGEMENT};
use crate::error::Error;
use crate::{Cx, policies};
use aws::AccountId;
use kernel::event::{self, Event};
use policy::{Document, Grammar};
use serde_json::json;

/// The most control policies of an account (AWS Organizations: 10 policies on an account).
pub const MAX_POLICIES: usize = 10;

/// The most characters of a document (AWS Organizations: 10,240 for a service control policy).
pub const MAX_CHARACTERS: u64 = 10_240;

/// The policy that an account gets with its first one, as every account of AWS has it. Without it, a policy that only denies would deny
/// everything. Delete it to allow only what the other policies allow.
const FULL_ACCESS: (&str, &str) = (
    "FullAWSAccess",
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}"#,
);

/// A service control policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPolicy {
    pub name: String,
    pub document: String,
}

/// Adds a control policy to an account, or replaces the one with the same name. The first policy comes with `FullAWSAccess`.
///
/// # Errors
/// [`Error::MalformedPolicyDocument`]; [`Error::NoSuchEntity`] for an unknown account; [`Error::InvalidInput`] for the default account;
/// [`Error::LimitExceeded`].
pub async fn put(cx: &Cx, account: AccountId, policy: ControlPolicy) -> Result<(), Error> {
    if account == MANAGEMENT {
        let reason = "is the default account, which control policies never bind";
        return Err(Error::InvalidInput(format!("The account {account} {reason}.")));
    }
    let parsed = Document::parse(&policy.document, Grammar::Identity);
    parsed.map_err(|invalid| Error::MalformedPolicyDocument(invalid.to_string()))?;
    let now = cx.now().0;
    let event = Event::new(cx, "control_policy.put", None);
    let stored: Result<(), Error> = cx
        .db
        .write(move |tx| {
            account::find(tx, account)?;
            let before = tx.control_policy_list(account.as_str())?;
            let replaced = before.iter().find(|(name, _)| *name == policy.name).map(|(_, document)| document.as_str());
            if before.is_empty() {
                tx.control_policy_put(account.as_str(), FULL_ACCESS.0, FULL_ACCESS.1, now)?;
            }
            if replaced.is_none() && before.len() >= MAX_POLICIES {
                return Err(Error::over("ControlPoliciesPerAccount", MAX_POLICIES));
            }
            tx.control_policy_put(account.as_str(), &policy.name, &policy.document, now)?;
            let detail =
                json!({ "account": account, "name": policy.name, "before": replaced, "after": policy.document });
            Ok(event::record(tx, Event { detail, ..event.clone() })?)
        })
        .await;
    policies::forget(cx);
    stored
}

/// Removes a control policy of an account. Fails with [`Error::NoSuchEntity`].
pub async fn delete(cx: &Cx, account: AccountId, name: String) -> Result<(), Error> {
    let detail = json!({ "account": account, "name": name });
    let event = Event { detail, ..Event::new(cx, "control_policy.delete", None) };
    let deleted: Result<(), Error> = cx
        .db
        .write_to_free(move |tx| {
            account::find(tx, account)?;
            if !tx.control_policy_delete(account.as_str(), &name)? {
                let missing = format!("The control policy with name {name} cannot be found.");
                return Err(Error::NoSuchEntity(missing));
            }
            // Without any policy the account would be unlimited, which nobody means who limits it by what is allowed.
            if name != FULL_ACCESS.0 && tx.control_policy_list(account.as_str())?.is_empty() {
                let why = format!("{name} is the last control policy of the account: put {} first", FULL_ACCESS.0);
                return Err(Error::InvalidInput(why));
            }
            Ok(event::record(tx, event.clone())?)
        })
        .await;
    policies::forget(cx);
    deleted
}

/// The control policies of an account, ordered by name. Fails with [`Error::NoSuchEntity`] for an unknown account.
pub async fn list(cx: &Cx, account: AccountId) -> Result<Vec<ControlPolicy>, Error> {
    let listed: Result<_, Error> = cx
        .db
        .read(move |tx| {
            account::find(tx, account)?;
            Ok(tx.control_policy_list(account.as_str())?)
        })
        .await;
    Ok(listed?.into_iter().map(|(name, document)| ControlPolicy { name, document }).collect())
}
