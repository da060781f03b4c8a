//! The members that several operations of STS share. The limits are those of STS's model.

use aws::Timestamp;
use call::check;
use identity::entity::{MAX_TAGS, Tags};
use identity::session::{
    Error, MAX_POLICY_ARNS, MAX_POLICY_CHARACTERS, MAX_TOKEN_CHARACTERS, SessionCredentials, SessionLimits,
};
use kernel::Cx;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A rule for the characters of a text: the model's pattern, and what it means.
pub type Characters = (&'static str, fn(char) -> bool);

/// The characters of names of sessions, federated users and source identities.
pub const NAME: Characters = (r"[\w+=,.@-]*", |c| is_word(c) || "+=,.@-".contains(c));
pub const EXTERNAL_ID: Characters = (r"[\w+=,.@:\/-]*", |c| is_word(c) || "+=,.@:/-".contains(c));
const TAG: Characters = (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", |c| {
    c.is_alphanumeric() || c.is_whitespace() && !c.is_control() || "_.:/=+-@".contains(c)
});
const ARN: Characters = (
    r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
    |c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..),
);
const POLICY: Characters =
    (r"[\u0009\u000A\u000D\u0020-\u00FF]+", |c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FF}'));
const SERIAL_NUMBER: Characters = (r"[\w+=/:,.@-]*", |c| is_word(c) || "+=/:,.@-".contains(c));
const TOKEN_CODE: Characters = (r"[\d]*", |c| c.is_ascii_digit());

/// Whether a character matches `\w`.
pub fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Checks a text's length and characters.
pub fn text(
    member: impl Into<Cow<'static, str>>,
    text: String,
    (min, max): (u64, u64),
    (pattern, known): Characters,
) -> Result<String, Error> {
    let member = member.into();
    check::length(member.clone(), &text, min, max)?;
    check::pattern(member, text.chars().all(known), pattern)?;
    Ok(text)
}

/// Checks an ARN's length and characters.
pub fn arn(member: impl Into<Cow<'static, str>>, value: Option<String>) -> Result<String, Error> {
    let member = member.into();
    text(member.clone(), check::required(member, value)?, (20, 2048), ARN)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// Checks session tags: keys of 1 to 128 and values of 0 to 256 characters, no key twice, no key of AWS, at most 50.
pub fn tags(tags: Vec<Tag>) -> Result<Tags, Error> {
    check::size("tags", tags.len(), 0, MAX_TAGS as u64)?;
    let mut checked = Tags::new();
    for (index, tag) in tags.into_iter().enumerate() {
        let member = |name| check::element("tags", index, name);
        let key = tag_key(member("key"), check::required(member("key"), tag.key)?)?;
        let value = text(member("value"), check::required(member("value"), tag.value)?, (0, 256), TAG)?;
        if is_of_aws(&key) {
            return Err(Error::invalid("The prefix aws: of tag keys is reserved."));
        }
        if checked.keys().any(|known| known.to_lowercase() == key.to_lowercase()) {
            // AWS's words.
            return Err(Error::invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
        }
        checked.insert(key, value);
    }
    Ok(checked)
}

/// Checks a session tag's key.
pub fn tag_key(member: Cow<'static, str>, key: String) -> Result<String, Error> {
    text(member, key, (1, 128), TAG)
}

/// Whether a text begins with `aws:`, which is reserved.
pub fn is_of_aws(text: &str) -> bool {
    text.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

/// A managed session policy. The model spells this member in lower case.
#[derive(Clone, Debug, Deserialize)]
pub struct PolicyDescriptor {
    arn: Option<String>,
}

/// Checks session policies and tags.
pub fn limits(
    policy: Option<String>,
    policy_arns: Vec<PolicyDescriptor>,
    tags: Vec<Tag>,
) -> Result<SessionLimits, Error> {
    let policy = policy.map(|policy| text("policy", policy, (1, MAX_POLICY_CHARACTERS), POLICY)).transpose()?;
    check::size("policyArns", policy_arns.len(), 0, MAX_POLICY_ARNS)?;
    let arns = policy_arns.into_iter().enumerate();
    let policy_arns = arns.map(|(index, policy)| arn(check::element("policyArns", index, "arn"), policy.arn));
    Ok(SessionLimits { policy, policy_arns: policy_arns.collect::<Result<_, _>>()?, tags: self::tags(tags)? })
}

/// Checks `DurationSeconds`, which is at least a quarter of an hour.
pub fn duration(seconds: Option<i64>, max: i64) -> Result<Option<Duration>, Error> {
    let Some(seconds) = seconds else { return Ok(None) };
    check::range("durationSeconds", seconds, 900, max)?;
    Ok(u64::try_from(seconds).ok().map(Duration::from_secs))
}

/// Checks `MinimumSessionTokenSize`.
pub fn token_characters(size: Option<i64>) -> Result<usize, Error> {
    let size = size.unwrap_or_default();
    check::range("minimumSessionTokenSize", size, 0, MAX_TOKEN_CHARACTERS as i64)?;
    Ok(usize::try_from(size).unwrap_or_default())
}

/// The serial number and the code of an MFA device.
pub type Mfa = (Option<String>, Option<String>);

/// Checks the members about an MFA device.
pub fn mfa(serial_number: Option<String>, token_code: Option<String>) -> Result<Mfa, Error> {
    let serial_number = serial_number.map(|number| text("serialNumber", number, (9, 256), SERIAL_NUMBER));
    let token_code = token_code.map(|code| text("tokenCode", code, (6, 6), TOKEN_CODE));
    Ok((serial_number.transpose()?, token_code.transpose()?))
}

/// Refuses a call that names an MFA device: no user has one.
pub fn refuse_mfa((serial_number, token_code): &Mfa) -> Result<(), Error> {
    if serial_number.is_none() && token_code.is_none() {
        return Ok(());
    }
    // AWS's words.
    Err(Error::Denied("MultiFactorAuthentication failed with invalid MFA one time pass code.".to_owned()))
}

/// The credentials of a session on the wire. They have no `Debug`, because they contain the secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Timestamp,
}

impl Credentials {
    pub fn of(issued: &SessionCredentials) -> Credentials {
        Credentials {
            access_key_id: issued.access_key_id.clone(),
            secret_access_key: issued.secret.to_string(),
            session_token: issued.token.to_string(),
            expiration: Timestamp(issued.expires.0),
        }
    }
}

/// The size of a session token in characters, and in percent of the largest.
pub fn token_size(issued: &SessionCredentials) -> (usize, usize) {
    let size = issued.token.len();
    (size, (size * 100).div_ceil(MAX_TOKEN_CHARACTERS))
}

/// The ARN and the unique id of whose session it is.
pub fn arn_and_id(cx: &Cx, issued: &SessionCredentials) -> (String, String) {
    let caller = kernel::access::Caller::with_key(issued.identity.clone(), &issued.access_key_id);
    (caller.arn(cx.registry.partition()), caller.user_id())
}
