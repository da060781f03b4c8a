//! The claim of a request: its access key, scope, time and signature, parsed from the head.

use std::collections::BTreeSet;
use std::fmt;

use super::canonical::{self, SIGNATURE_PARAMETER};
use super::{ALGORITHM, Head, MAX_CREDENTIAL_BYTES, MAX_EXPIRES_SECONDS, MAX_HEAD_BYTES, MAX_SIGNED_HEADERS};
use super::{SignatureRejection, date};

/// The largest number of characters of an invalid algorithm or date that a message repeats. A valid one has 16.
const MAX_ECHO: usize = 64;

/// The claim of a request. It is parsed but not checked.
#[derive(Clone)]
pub struct PresentedSignature {
    pub access_key_id: String,
    pub session_token: Option<String>,
    /// The credential scope's region and service.
    pub region: String,
    pub service: String,
    /// True if the claim is in the query string.
    pub presigned: bool,
    /// The credential scope's date. Eight digits if it is valid.
    pub(super) scope_date: String,
    /// The credential scope's last element.
    pub(super) terminator: String,
    /// The request's time, in seconds since 1970.
    pub(super) signed_at: i64,
    /// The text of `X-Amz-Expires`. [`PresentedSignature::check`] parses it if it is used.
    pub(super) expires: Option<String>,
    /// The names of the signed headers. A name that is not lower-case matches no header.
    pub(super) signed_headers: BTreeSet<String>,
    pub(super) signature: String,
    /// The value of `x-amz-content-sha256`.
    pub(super) content_sha256: Option<String>,
}

/// Hides the signature and the session token, which must not be logged.
impl fmt::Debug for PresentedSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedSignature")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .field("service", &self.service)
            .field("presigned", &self.presigned)
            .finish_non_exhaustive()
    }
}

impl PresentedSignature {
    /// Parses the claim.
    ///
    /// # Errors
    /// [`SignatureRejection::Missing`] if the request has no signature, or an `Authorization` of another scheme. [`SignatureRejection::Incomplete`] if a
    /// part of the claim is missing, repeated, malformed or larger than this module's limits.
    pub fn read(head: &Head<'_>) -> Result<PresentedSignature, SignatureRejection> {
        if head_bytes(head) > MAX_HEAD_BYTES {
            return Err(incomplete(format!("The request's head is larger than {MAX_HEAD_BYTES} bytes.")));
        }
        let authorization = single_header(head, "authorization")?;
        match (authorization, has_query_claim(head.query)) {
            (Some(_), true) => Err(incomplete(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
            )),
            (Some(authorization), false) if authorization.starts_with("AWS4-") => from_header(head, &authorization),
            (None, true) => from_query(head),
            _ => Err(SignatureRejection::Missing),
        }
    }

    /// Removes `X-Amz-Expires`, for a service that ignores it. A presigned request is then valid for the maximal clock skew (`ECR.md` P;
    /// STS does so).
    #[must_use]
    pub fn without_stated_life(mut self) -> PresentedSignature {
        self.expires = None;
        self
    }

    /// Parses `X-Amz-Expires` to seconds.
    ///
    /// # Errors
    /// [`SignatureRejection::Incomplete`] if it is not a number of seconds up to 7 days.
    pub(super) fn stated_life(&self) -> Result<Option<i64>, SignatureRejection> {
        self.expires.as_deref().map(expires).transpose()
    }
}

fn head_bytes(head: &Head<'_>) -> usize {
    let headers = head.headers.iter().map(|(name, value)| name.len() + value.len());
    head.method.len() + head.path.len() + head.query.len() + headers.sum::<usize>()
}

fn incomplete(message: impl Into<String>) -> SignatureRejection {
    SignatureRejection::Incomplete(message.into())
}

/// The trimmed value of a header that may occur once.
fn single_header(head: &Head<'_>, name: &str) -> Result<Option<String>, SignatureRejection> {
    let mut values = head.headers.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value);
    let value = values.next();
    if values.next().is_some() {
        return Err(incomplete(format!("The request has more than one '{name}' header.")));
    }
    value
        .map(|value| match std::str::from_utf8(value) {
            Ok(text) => Ok(text.trim_ascii().to_owned()),
            Err(_) => Err(incomplete(format!("The value of the '{name}' header is not text."))),
        })
        .transpose()
}

fn has_query_claim(query: &str) -> bool {
    canonical::query_pairs(query).any(|(name, _)| {
        let name = canonical::query_decode(name);
        [b"X-Amz-Algorithm".as_slice(), b"X-Amz-Credential", SIGNATURE_PARAMETER.as_bytes()].contains(&name.as_slice())
    })
}

fn from_header(head: &Head<'_>, authorization: &str) -> Result<PresentedSignature, SignatureRejection> {
    let (algorithm, parameters) = authorization.split_once([' ', ',']).unwrap_or((authorization, ""));
    let [credential, signature, signed_headers] = authorization_parameters(parameters)?;
    let amz_date = single_header(head, "x-amz-date")?;
    let date = single_header(head, "date")?;

    let mut missing = Vec::new();
    for (name, value) in [("Credential", credential), ("Signature", signature), ("SignedHeaders", signed_headers)] {
        if value.is_none() {
            missing.push(format!("Authorization header requires '{name}' parameter."));
        }
    }
    if amz_date.is_none() && date.is_none() {
        missing.push("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into());
    }
    let (Some(credential), Some(signature), Some(signed_headers), true) =
        (credential, signature, signed_headers, missing.is_empty())
    else {
        // AWS repeats the whole header here. Leave out the signature, because the message may be logged.
        missing.push(format!("Authorization={ALGORITHM}"));
        return Err(incomplete(missing.join(" ")));
    };

    check_algorithm(algorithm)?;
    let signed_at = match (&amz_date, &date) {
        (Some(text), _) => date::parse_basic(text),
        (None, Some(text)) => date::parse_date_header(text),
        (None, None) => None,
    };
    let written = amz_date.or(date).unwrap_or_default();
    Ok(PresentedSignature {
        session_token: single_header(head, "x-amz-security-token")?,
        signed_at: signed_at.ok_or_else(|| malformed_date(&written))?,
        content_sha256: single_header(head, "x-amz-content-sha256")?,
        ..claim(credential, signature, signed_headers)?
    })
}

/// The values of `Credential`, `Signature` and `SignedHeaders`. They may come in any order, separated by commas or spaces.
fn authorization_parameters(text: &str) -> Result<[Option<&str>; 3], SignatureRejection> {
    let mut found = [None; 3];
    for parameter in text.split([',', ' ', '\t']).filter(|parameter| !parameter.is_empty()) {
        let Some((name, value)) = parameter.split_once('=') else {
            return Err(incomplete(
                "The Authorization header has a parameter that is not a valid key=value pair (missing equal-sign).",
            ));
        };
        let place = match name {
            "Credential" => &mut found[0],
            "Signature" => &mut found[1],
            "SignedHeaders" => &mut found[2],
            _ => continue,
        };
        if !value.is_empty() && place.replace(value).is_some() {
            return Err(incomplete(format!("Authorization header has more than one '{name}' parameter.")));
        }
    }
    Ok(found)
}

/// The query parameters of a presigned request.
#[derive(Default)]
struct QueryClaim {
    algorithm: Option<String>,
    credential: Option<String>,
    signature: Option<String>,
    signed_headers: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    security_token: Option<String>,
}

impl QueryClaim {
    fn read(query: &str) -> Result<QueryClaim, SignatureRejection> {
        let mut claim = QueryClaim::default();
        for (name, value) in canonical::query_pairs(query) {
            let name = canonical::query_decode(name);
            let place = match name.as_slice() {
                b"X-Amz-Algorithm" => &mut claim.algorithm,
                b"X-Amz-Credential" => &mut claim.credential,
                b"X-Amz-Signature" => &mut claim.signature,
                b"X-Amz-SignedHeaders" => &mut claim.signed_headers,
                b"X-Amz-Date" => &mut claim.date,
                b"X-Amz-Expires" => &mut claim.expires,
                b"X-Amz-Security-Token" => &mut claim.security_token,
                _ => continue,
            };
            let name = String::from_utf8_lossy(&name);
            let value = String::from_utf8(canonical::query_decode(value))
                .map_err(|_| incomplete(format!("The value of '{name}' is not text.")))?;
            if place.replace(value).is_some() {
                return Err(incomplete(format!("AWS query-string parameters must include '{name}' once.")));
            }
        }
        Ok(claim)
    }
}

fn from_query(head: &Head<'_>) -> Result<PresentedSignature, SignatureRejection> {
    let query = QueryClaim::read(head.query)?;
    // Name every missing parameter at once, as AWS does.
    let required = [
        ("X-Amz-Algorithm", &query.algorithm),
        ("X-Amz-Credential", &query.credential),
        ("X-Amz-Signature", &query.signature),
        ("X-Amz-SignedHeaders", &query.signed_headers),
        ("X-Amz-Date", &query.date),
    ];
    let present = |value: &&Option<String>| value.as_deref().is_some_and(|text| !text.is_empty());
    let missing: String = required
        .iter()
        .filter(|(_, value)| !present(value))
        .map(|(name, _)| format!("AWS query-string parameters must include '{name}'. "))
        .collect();
    let (Some(algorithm), Some(credential), Some(signature), Some(signed_headers), Some(date), true) =
        (&query.algorithm, &query.credential, &query.signature, &query.signed_headers, &query.date, missing.is_empty())
    else {
        return Err(incomplete(format!("{missing}Re-examine the query-string parameters.")));
    };

    // The token and the body's hash may be in headers too.
    check_algorithm(algorithm)?;
    Ok(PresentedSignature {
        session_token: match query.security_token {
            Some(token) => Some(token),
            None => single_header(head, "x-amz-security-token")?,
        },
        presigned: true,
        signed_at: date::parse_basic(date).ok_or_else(|| malformed_date(date))?,
        expires: query.expires,
        content_sha256: single_header(head, "x-amz-content-sha256")?,
        ..claim(credential, signature, signed_headers)?
    })
}

/// Parses the parts that both kinds of claim have. The caller sets the other fields.
fn claim(credential: &str, signature: &str, signed_headers: &str) -> Result<PresentedSignature, SignatureRejection> {
    if credential.len() > MAX_CREDENTIAL_BYTES || !credential.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(incomplete(format!(
            "Credential must have at most {MAX_CREDENTIAL_BYTES} visible ASCII characters."
        )));
    }
    let elements: Vec<&str> = credential.split('/').collect();
    let [access_key_id, scope_date, region, service, terminator] = elements[..] else {
        return Err(incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
        )));
    };
    Ok(PresentedSignature {
        access_key_id: access_key_id.into(),
        session_token: None,
        region: region.into(),
        service: service.into(),
        presigned: false,
        scope_date: scope_date.into(),
        terminator: terminator.into(),
        signed_at: 0,
        expires: None,
        signed_headers: signed_header_names(signed_headers)?,
        signature: signature.into(),
        content_sha256: None,
    })
}

fn signed_header_names(text: &str) -> Result<BTreeSet<String>, SignatureRejection> {
    let mut names = BTreeSet::new();
    for name in text.split(';') {
        if names.len() == MAX_SIGNED_HEADERS {
            return Err(incomplete(format!("SignedHeaders must not name more than {MAX_SIGNED_HEADERS} headers.")));
        }
        if name.is_empty() || !names.insert(name.to_owned()) {
            return Err(incomplete("SignedHeaders must name each header once, parted by semicolons."));
        }
    }
    Ok(names)
}

fn check_algorithm(algorithm: &str) -> Result<(), SignatureRejection> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    let algorithm = echo(algorithm);
    Err(incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}' (only {ALGORITHM} for now).")))
}

fn expires(text: &str) -> Result<i64, SignatureRejection> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if digits_only && (1..=MAX_EXPIRES_SECONDS).contains(&seconds) => Ok(seconds),
        _ => Err(incomplete(format!("X-Amz-Expires must be a number of seconds between 1 and {MAX_EXPIRES_SECONDS}."))),
    }
}

fn malformed_date(written: &str) -> SignatureRejection {
    let written = echo(written);
    incomplete(format!(
        "Date must be in ISO-8601 'basic format'. Got '{written}'. See http://en.wikipedia.org/wiki/ISO_8601"
    ))
}

/// Shortens a caller's text for a message and removes control characters.
fn echo(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_ECHO).collect()
}
