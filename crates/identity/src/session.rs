//! Sessions of STS: AssumeRole, GetSessionToken, GetFederationToken (`ECR.md` P).
//!
//! A session is a row. Its secret is sealed by a root key. Of its session token only the SHA-256 is stored: the token is random, so the
//! hash reveals nothing, and a rotation of the root key does not concern it.
//!
//! A session ends at its expiry, and earlier with its role or user, or with the long-term key that began the chain of sessions. Docker
//! tokens that it fetched live on after its expiry (G.6), so its row is kept until the last of them has ended.

mod detail;
mod error;
mod expire;
mod find;

pub use error::{Error, refusal};
pub use expire::SessionExpire;
pub(crate) use find::credential;

use crate::access_key::{new_secret, seal};
use crate::credential::{self, ProcessKeys};
use crate::entity::{self, MAX_TAGS, Tags, letters};
use crate::{Cx, System};
use aws::AccountId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use detail::Detail;
use kernel::access::{Caller, CallerIdentity, SessionKind};
use kernel::clock::Time;
use kernel::event::{self, Event};
use kernel::jobs;
use meta::Tx;
use meta::records::iam::{self, EntityKind};
use meta::records::session::{self, SessionRow};
use oci::{Algorithm, Digest};
use policy::{Document, Grammar};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use zeroize::Zeroizing;

/// What the access key id of every session begins with.
pub(crate) const ID_PREFIX: &str = "ASIA";

/// The characters of an access key id after [`ID_PREFIX`].
const ID_LETTERS: usize = 16;

/// The first characters of a session token: the version of its form.
const TOKEN_PREFIX: &str = "v1.";

/// The random bytes of a session token, unless its caller wants a longer one.
const TOKEN_RANDOM_BYTES: usize = 48;

/// The most characters of a session token (STS's model, MinimumSessionTokenSize).
pub const MAX_TOKEN_CHARACTERS: usize = 4096;

/// The life of a role session if the caller does not say, and the longest one of a role that a role session assumes.
const HOUR: Duration = Duration::from_secs(3600);

/// The life of GetSessionToken's and GetFederationToken's sessions if the caller does not say.
const HALF_DAY: Duration = Duration::from_secs(43_200);

/// The most characters of an inline session policy.
pub const MAX_POLICY_CHARACTERS: u64 = 2048;

/// The most managed session policies.
pub const MAX_POLICY_ARNS: u64 = 10;

/// The most bytes of a session's policies, policy ARNs and tags together. AWS limits their packed form, whose size it does not document.
const MAX_PACKED_BYTES: usize = 16 * 1024;

/// What limits a session, and what it says about its caller.
#[derive(Clone, Debug, Default)]
pub struct SessionLimits {
    /// The inline session policy.
    pub policy: Option<String>,
    /// The ARNs of managed session policies.
    pub policy_arns: Vec<String>,
    pub tags: Tags,
}

/// A role session that does not exist yet.
#[derive(Clone, Debug)]
pub struct NewRoleSession {
    pub role_arn: String,
    pub session_name: String,
    /// `None` for an hour.
    pub duration: Option<Duration>,
    pub limits: SessionLimits,
    /// The keys of those tags that the sessions inherit which this one begins.
    pub transitive_tag_keys: BTreeSet<String>,
    pub source_identity: Option<String>,
    /// The least number of characters of the session token, at most [`MAX_TOKEN_CHARACTERS`].
    pub token_characters: usize,
}

/// A federated user's session that does not exist yet.
#[derive(Clone, Debug)]
pub struct NewFederation {
    pub name: String,
    /// `None` for 12 hours, or for an hour if the root principal asks.
    pub duration: Option<Duration>,
    pub limits: SessionLimits,
    /// See [`NewRoleSession::token_characters`].
    pub token_characters: usize,
}

/// The credentials of a new session. They have no `Debug`, because they contain the secret. They can't be read again.
pub struct SessionCredentials {
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
    pub token: Zeroizing<String>,
    pub expires: Time,
    /// Whose session it is.
    pub identity: CallerIdentity,
    pub source_identity: Option<String>,
    /// The size of the session's policies and tags, in percent of the limit. `None` if it has neither.
    pub packed_percent: Option<u32>,
}

/// What a role session inherits from the session that assumes the role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    pub tags: Tags,
    pub source_identity: Option<String>,
}

impl Inherited {
    /// What a role session of this caller inherits.
    pub fn from(caller: &Caller) -> Inherited {
        let Some(session) = &caller.session else { return Inherited::default() };
        let tags = session.tags.iter().filter(|(key, _)| session.transitive_tag_keys.contains(*key));
        Inherited {
            tags: tags.map(|(key, value)| (key.clone(), value.clone())).collect(),
            source_identity: session.source_identity.clone(),
        }
    }
}

/// Begins a session of a role. The caller must be authorized by the role's trust policy.
///
/// # Errors
/// [`Error::Denied`] if the role is gone, if a federated user asks, or if the source identity would change. [`Error::invalid`] if the
/// duration exceeds the role's longest session or the hour of chained sessions, or if tags are in conflict.
/// [`Error::MalformedPolicy`], [`Error::PackedPolicyTooLarge`].
pub async fn assume_role(cx: &Cx, new: NewRoleSession) -> Result<SessionCredentials, Error> {
    let denied = || Error::not_authorized(cx, "sts:AssumeRole", &new.role_arn);
    if cx.caller.session.as_ref().is_some_and(|session| session.kind == SessionKind::Federation) {
        return Err(denied());
    }
    let role = role_of(cx, &new.role_arn).await?.ok_or_else(denied)?;
    let duration = role_duration(cx, new.duration, role.max_session)?;
    // The tags and the source identity of the calling session.
    let inherited = Inherited::from(&cx.caller);
    let source_identity = match (inherited.source_identity, new.source_identity) {
        (Some(set), Some(new)) if set != new => {
            return Err(Error::Denied("The source identity of a session can't be changed once it is set.".to_owned()));
        }
        (set, new) => set.or(new),
    };
    let transitive = new.transitive_tag_keys.into_iter().chain(inherited.tags.keys().cloned()).collect();
    let tags = merged(inherited.tags, new.limits.tags)?;
    let detail = Detail::of(SessionLimits { tags, ..new.limits }, transitive, source_identity);
    let identity = CallerIdentity::RoleSession {
        account: cx.registry.account,
        id: role.id.clone(),
        path: role.path,
        role: role.name,
        session: new.session_name.clone(),
    };
    let plan = Plan {
        kind: SessionKind::AssumedRole,
        principal: role.id,
        name: new.session_name,
        identity,
        duration,
        detail,
        token_characters: new.token_characters,
    };
    begin(cx, plan).await
}

/// Begins a session of the caller itself.
///
/// # Errors
/// [`Error::Denied`] if the caller is a session.
pub async fn get_session_token(
    cx: &Cx,
    duration: Option<Duration>,
    token_characters: usize,
) -> Result<SessionCredentials, Error> {
    let plan = Plan {
        kind: SessionKind::SessionToken,
        principal: own_principal(cx, "GetSessionToken")?,
        name: String::new(),
        identity: cx.caller.identity.clone(),
        duration: own_duration(cx, duration),
        detail: Detail::of(SessionLimits::default(), BTreeSet::new(), None),
        token_characters,
    };
    begin(cx, plan).await
}

/// Begins the session of a federated user, who has the rights of the caller that the session policies allow too.
///
/// # Errors
/// [`Error::Denied`] if the caller is a session. [`Error::MalformedPolicy`], [`Error::PackedPolicyTooLarge`].
pub async fn get_federation_token(cx: &Cx, new: NewFederation) -> Result<SessionCredentials, Error> {
    let identity = CallerIdentity::FederatedUser {
        account: cx.registry.account,
        name: new.name.clone(),
        of: Box::new(cx.caller.identity.clone()),
    };
    let plan = Plan {
        kind: SessionKind::Federation,
        principal: own_principal(cx, "GetFederationToken")?,
        name: new.name,
        identity,
        duration: own_duration(cx, new.duration),
        detail: Detail::of(new.limits, BTreeSet::new(), None),
        token_characters: new.token_characters,
    };
    begin(cx, plan).await
}

/// Returns the account that an access key belongs to, whether the key is active or not.
///
/// # Errors
/// [`Error::Denied`] if the caller is a session of GetSessionToken or GetFederationToken. [`Error::invalid`] if there is no such key.
pub async fn account_of_key(cx: &Cx, process: &ProcessKeys, access_key_id: &str) -> Result<AccountId, Error> {
    let kind = cx.caller.session.as_ref().map(|session| session.kind);
    if matches!(kind, Some(SessionKind::SessionToken | SessionKind::Federation)) {
        return Err(Error::Denied("Cannot call GetAccessKeyInfo with session credentials".to_owned()));
    }
    let account = credential::account(cx, process, access_key_id).await?;
    account.ok_or_else(|| Error::invalid(format!("The access key {access_key_id} does not exist.")))
}

/// The unique id of a caller with a long-term key.
fn own_principal(cx: &Cx, operation: &str) -> Result<String, Error> {
    match &cx.caller.identity {
        CallerIdentity::Administrator { .. } | CallerIdentity::User { .. } if cx.caller.session.is_none() => {
            Ok(cx.caller.user_id())
        }
        // AWS's words.
        _ => Err(Error::Denied(format!("Cannot call {operation} with session credentials"))),
    }
}

/// The life of a session that belongs to a user or the root principal. The root principal's are cut to an hour, as on AWS.
fn own_duration(cx: &Cx, asked: Option<Duration>) -> Duration {
    let asked = asked.unwrap_or(HALF_DAY);
    if matches!(cx.caller.identity, CallerIdentity::Administrator { .. }) { asked.min(HOUR) } else { asked }
}

/// The role with exactly this ARN.
async fn role_of(cx: &Cx, arn: &str) -> Result<Option<entity::Entity>, Error> {
    let name = arn.rsplit('/').next().unwrap_or_default();
    let found = cx.db.look_up(iam::entity_by_name(cx.registry.account.as_str(), EntityKind::Role, name)).await?;
    Ok(found.filter(|role| entity::arn(cx.registry.partition(), role) == arn))
}

/// The life of a role session. The texts are AWS's.
fn role_duration(cx: &Cx, asked: Option<Duration>, max_session: Option<i64>) -> Result<Duration, Error> {
    let duration = asked.unwrap_or(HOUR);
    let longest = max_session.and_then(|seconds| u64::try_from(seconds).ok()).map_or(HOUR, Duration::from_secs);
    let chained = cx.caller.session.as_ref().is_some_and(|session| session.kind == SessionKind::AssumedRole);
    if chained && duration > HOUR {
        let text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(Error::invalid(text));
    }
    if duration > longest {
        return Err(Error::invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    Ok(duration)
}

/// Adds the tags of a request to those that the session inherits, which the request can't replace.
fn merged(mut inherited: Tags, new: Tags) -> Result<Tags, Error> {
    let taken: BTreeSet<String> = inherited.keys().map(|key| key.to_lowercase()).collect();
    if new.keys().any(|key| taken.contains(&key.to_lowercase())) {
        // AWS's words.
        return Err(Error::invalid(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling \
             session.",
        ));
    }
    inherited.extend(new);
    if inherited.len() > MAX_TAGS {
        return Err(Error::invalid(format!("A session can have at most {MAX_TAGS} tags, inherited ones included.")));
    }
    Ok(inherited)
}

/// A session that is about to begin.
struct Plan {
    kind: SessionKind,
    principal: String,
    name: String,
    identity: CallerIdentity,
    duration: Duration,
    detail: Detail,
    token_characters: usize,
}

/// Checks the session policies, and stores the session.
async fn begin(cx: &Cx, plan: Plan) -> Result<SessionCredentials, Error> {
    let packed_percent = check_policies(cx, &plan.detail).await?;
    let access_key_id = format!("{ID_PREFIX}{}", letters(cx, ID_LETTERS));
    let (secret, token) = (new_secret(cx), new_token(cx, plan.token_characters));
    let issued = cx.now();
    let expires = issued.plus(plan.duration);
    // A docker token that the session fetches at its end lives for another token life.
    let kept_until = expires.plus(cx.limits.token_life);
    let row = SessionRow {
        account: cx.registry.account.to_string(),
        principal: plan.principal,
        kind: find::kind_name(plan.kind).to_owned(),
        name: plan.name,
        made_by: cx.caller.access_key_id.clone(),
        secret: seal(cx, &access_key_id, &secret)?,
        token_hash: token_hash(&token),
        issued_at: issued.0,
        expires_at: expires.0,
        kept_until: kept_until.0,
        detail: plan.detail.to_text(),
    };
    let chained = cx.caller.session.is_some();
    let (id, event) = (access_key_id.clone(), Event::new(cx, "sts.begin_session", None));
    let begun = cx.db.write(move |tx| {
        let made_by = if chained { first_key(tx, &row.made_by)? } else { row.made_by.clone() };
        let row = SessionRow { made_by, ..row.clone() };
        tx.session_insert(&id, &row)?;
        jobs::enqueue(tx, &SessionExpire, &id, kept_until)?;
        let detail = json!({
            "kind": row.kind, "principal": row.principal, "name": row.name, "access_key_id": id, "made_by": row.made_by,
            "expires_at": row.expires_at,
        });
        event::record(tx, Event { detail, ..event.clone() })?;
        Ok::<_, Error>(())
    });
    begun.await?;
    Ok(SessionCredentials {
        access_key_id,
        secret,
        token,
        expires,
        identity: plan.identity,
        source_identity: plan.detail.source_identity,
        packed_percent,
    })
}

/// The long-term key that began the chain of the calling session.
fn first_key(tx: &mut Tx<'_>, access_key_id: &str) -> Result<String, Error> {
    let ended = || Error::Denied("The calling session has ended.".to_owned());
    Ok(tx.look_up(session::session(access_key_id))?.ok_or_else(ended)?.row.made_by)
}

/// Checks a session's policies and the size of all that limits it. Returns the size in percent of the limit; `None` if nothing limits
/// the session.
async fn check_policies(cx: &Cx, detail: &Detail) -> Result<Option<u32>, Error> {
    if let Some(text) = &detail.policy {
        Document::parse(text, Grammar::Identity).map_err(|error| Error::MalformedPolicy(error.to_string()))?;
    }
    let found = find::managed(cx, cx.registry.account, detail.policy_arns.clone()).await?;
    if let Some((arn, _)) = found.iter().find(|(_, document)| document.is_none()) {
        return Err(Error::invalid(format!(
            "The managed session policy {} does not exist.",
            kernel::excerpt(arn, 256)
        )));
    }
    let bytes = detail.packed_bytes();
    let percent = u32::try_from((bytes * 100).div_ceil(MAX_PACKED_BYTES)).unwrap_or(u32::MAX);
    if percent > 100 {
        return Err(Error::PackedPolicyTooLarge { percent });
    }
    Ok(Some(percent).filter(|_| bytes > 0))
}

/// Makes a session token with at least this many characters.
fn new_token(system: &System, characters: usize) -> Zeroizing<String> {
    // Three bytes are four characters of base64.
    let wanted = characters.saturating_sub(TOKEN_PREFIX.len()).div_ceil(4) * 3;
    let mut chance = Zeroizing::new(vec![0_u8; wanted.max(TOKEN_RANDOM_BYTES)]);
    system.random.fill(&mut chance);
    let mut token = Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(chance.as_slice())));
    token.truncate(MAX_TOKEN_CHARACTERS);
    token
}

/// What is stored of a session token.
fn token_hash(token: &str) -> Vec<u8> {
    Digest::of(Algorithm::Sha256, token.as_bytes()).hash().to_vec()
}
