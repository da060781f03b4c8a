//! AssumeRole: a session of a role (`ECR.md` P, S).

use crate::Sts;
use crate::types::{self, Credentials, PolicyDescriptor, Tag};
use aws::{AccountId, Arn};
use call::{Operation, check};
use identity::session::{self, Error, Inherited, NewRoleSession};
use kernel::access::{self, Need, Resource};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The longest session, in seconds.
const MAX_SECONDS: i64 = 43_200;
/// The most elements of `ProvidedContexts`.
const MAX_CONTEXTS: u64 = 5;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AssumeRole {
    role_arn: Option<String>,
    role_session_name: Option<String>,
    #[serde(default)]
    policy_arns: Vec<PolicyDescriptor>,
    policy: Option<String>,
    duration_seconds: Option<i64>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    transitive_tag_keys: Vec<String>,
    external_id: Option<String>,
    serial_number: Option<String>,
    token_code: Option<String>,
    source_identity: Option<String>,
    provided_contexts: Option<Vec<ProvidedContext>>,
    minimum_session_token_size: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProvidedContext {
    provider_arn: Option<String>,
    context_assertion: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    credentials: Credentials,
    assumed_role_user: AssumedRoleUser,
    packed_policy_size: Option<u32>,
    source_identity: Option<String>,
    session_token_utilization: usize,
    session_token_size: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRoleUser {
    assumed_role_id: String,
    arn: String,
}

/// A checked call.
#[derive(Debug)]
pub struct Checked {
    new: NewRoleSession,
    external_id: Option<String>,
    /// The factors and contexts, which are judged after the permissions.
    mfa: types::Mfa,
    has_contexts: bool,
}

impl Operation for AssumeRole {
    const NAME: &'static str = "AssumeRole";
    type Api = Sts;
    type Checked = Checked;
    type Output = Output;

    /// The account of the role.
    fn registry_id(&self) -> Option<&str> {
        let rest = self.role_arn.as_deref()?.strip_prefix("arn:")?;
        let account = rest.split_once(":iam::")?.1.split(':').next()?;
        account.parse::<AccountId>().is_ok().then_some(account)
    }

    /// The role's trust policy must allow each of them. Nothing is needed for an input that [`Operation::check`] will refuse, because no
    /// role can be named in it.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let Ok(checked) = self.clone().check() else { return Vec::new() };
        let Checked { new, external_id, .. } = checked;
        let on_role = |action: &'static str| {
            let mut need = on_role(action, &new.role_arn, registry.account);
            need.request_tags = new.limits.tags.clone();
            let mut put = |key: &'static str, values: Vec<String>| drop(need.conditions.insert(key, values));
            put("sts:RoleSessionName", vec![new.session_name.clone()]);
            put("sts:ExternalId", external_id.iter().cloned().collect());
            put("sts:SourceIdentity", new.source_identity.iter().cloned().collect());
            put("sts:TransitiveTagKeys", new.transitive_tag_keys.iter().cloned().collect());
            need
        };
        let mut needs = vec![on_role("sts:AssumeRole")];
        if !new.limits.tags.is_empty() {
            needs.push(on_role("sts:TagSession"));
        }
        if new.source_identity.is_some() {
            needs.push(on_role("sts:SetSourceIdentity"));
        }
        needs
    }

    fn check(self) -> Result<Checked, Error> {
        let role_arn = role_arn(self.role_arn)?;
        let session_name = check::required("roleSessionName", self.role_session_name)?;
        let session_name = types::text("roleSessionName", session_name, (2, 64), types::NAME)?;
        let duration = types::duration(self.duration_seconds, MAX_SECONDS)?;
        let limits = types::limits(self.policy, self.policy_arns, self.tags)?;
        let transitive_tag_keys = transitive(self.transitive_tag_keys, &limits.tags)?;
        let external_id = self.external_id.map(|id| types::text("externalId", id, (2, 1224), types::EXTERNAL_ID));
        let source_identity = source_identity(self.source_identity)?;
        let has_contexts = self.provided_contexts.is_some();
        contexts(self.provided_contexts)?;
        let mfa = types::mfa(self.serial_number, self.token_code)?;
        let token_characters = types::token_characters(self.minimum_session_token_size)?;
        let new = NewRoleSession {
            role_arn,
            session_name,
            duration,
            limits,
            transitive_tag_keys,
            source_identity,
            token_characters,
        };
        Ok(Checked { new, external_id: external_id.transpose()?, mfa, has_contexts })
    }

    async fn handle(checked: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let Checked { new, mfa, has_contexts, .. } = checked;
        authorize_inherited(cx, &new).await?;
        types::refuse_mfa(&mfa)?;
        if has_contexts {
            return Err(Error::InvalidContextAssertion("There are no trusted context providers."));
        }
        let issued = session::assume_role(cx, new).await?;
        let (arn, assumed_role_id) = types::arn_and_id(cx, &issued);
        let (session_token_size, session_token_utilization) = types::token_size(&issued);
        Ok(Output {
            credentials: Credentials::of(&issued),
            assumed_role_user: AssumedRoleUser { assumed_role_id, arn },
            packed_policy_size: issued.packed_percent,
            source_identity: issued.source_identity,
            session_token_utilization,
            session_token_size,
        })
    }
}

fn on_role(action: &'static str, role_arn: &str, account: AccountId) -> Need {
    Need::new(action, Resource::new(role_arn.to_owned(), account)).required_of_trust_policy()
}

/// Checks the permissions to pass on what the calling session passes on by itself: its transitive tags and its source identity.
async fn authorize_inherited(cx: &Cx, new: &NewRoleSession) -> Result<(), Error> {
    let inherited = Inherited::from(&cx.caller);
    let mut needs = Vec::new();
    if !inherited.tags.is_empty() && new.limits.tags.is_empty() {
        needs.push(on_role("sts:TagSession", &new.role_arn, cx.registry.account));
    }
    if let Some(identity) = inherited.source_identity.filter(|_| new.source_identity.is_none()) {
        let mut need = on_role("sts:SetSourceIdentity", &new.role_arn, cx.registry.account);
        need.conditions.insert("sts:SourceIdentity", vec![identity]);
        needs.push(need);
    }
    access::authorize(cx, &needs).await?;
    Ok(())
}

/// Checks `RoleArn`: `arn:PARTITION:iam::ACCT:role/PATH/NAME`.
fn role_arn(value: Option<String>) -> Result<String, Error> {
    let text = types::arn("roleArn", value)?;
    let parsed: Option<Arn> = text.parse().ok();
    let is_role = parsed.is_some_and(|arn| {
        let name = arn.resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next());
        let in_account = arn.service == "iam" && arn.region.is_empty() && arn.account.parse::<AccountId>().is_ok();
        in_account && name.is_some_and(|name| !name.is_empty())
    });
    // AWS's words.
    if is_role { Ok(text) } else { Err(Error::invalid(format!("{} is invalid", kernel::excerpt(&text, 256)))) }
}

/// Checks `TransitiveTagKeys`, and returns them as the tags spell them.
fn transitive(keys: Vec<String>, tags: &identity::entity::Tags) -> Result<BTreeSet<String>, Error> {
    check::size("transitiveTagKeys", keys.len(), 0, identity::entity::MAX_TAGS as u64)?;
    let mut found = BTreeSet::new();
    for (index, key) in keys.into_iter().enumerate() {
        let key = types::tag_key(check::element("transitiveTagKeys", index, ""), key)?;
        let tag = tags.keys().find(|tag| tag.to_lowercase() == key.to_lowercase());
        // AWS's words.
        let missing = || Error::invalid("The specified transitive tag key must be included in the requested tags.");
        found.insert(tag.ok_or_else(missing)?.clone());
    }
    Ok(found)
}

fn source_identity(value: Option<String>) -> Result<Option<String>, Error> {
    let Some(value) = value else { return Ok(None) };
    let value = types::text("sourceIdentity", value, (2, 256), types::NAME)?;
    if types::is_of_aws(&value) {
        return Err(Error::invalid("The prefix aws: of source identities is reserved."));
    }
    Ok(Some(value))
}

/// Checks `ProvidedContexts`, of which none can be valid.
fn contexts(contexts: Option<Vec<ProvidedContext>>) -> Result<(), Error> {
    let Some(contexts) = contexts else { return Ok(()) };
    check::size("providedContexts", contexts.len(), 1, MAX_CONTEXTS)?;
    for (index, context) in contexts.into_iter().enumerate() {
        let member = |name| check::element("providedContexts", index, name);
        if let Some(arn) = context.provider_arn {
            types::arn(member("providerArn"), Some(arn))?;
        }
        if let Some(assertion) = context.context_assertion {
            check::length(member("contextAssertion"), &assertion, 4, 3072)?;
        }
    }
    Ok(())
}
