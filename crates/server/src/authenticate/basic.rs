//! The docker door's callers: a token as the password of the user `AWS`, or as a Bearer token (`ECR.md` B.1).
use crate::addresses::HostName;
use crate::app::App;
use aws::Region;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::request::Parts;
use http::{HeaderMap, header};
use registry::access::Caller;
use registry::token::{self, InvalidToken, Token};
use registry::{Error, RegistryId, credential};

/// The user name of every docker login.
const USER: &str = "AWS";

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a request on `/v2/` has no caller.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// No credentials, or none of ours: the challenge.
    #[error("Not Authorized")]
    Challenge,
    #[error("{}", InvalidToken::Expired)]
    Expired,
    /// A good token of another region. AWS's sentence comes first, since tools look for it.
    #[error("{} The token is for the region {token}; this registry is in {registry}.", InvalidToken::Expired)]
    Region { token: Region, registry: Region },
    #[error("The region {0} is not served here")]
    NotServed(Region),
    #[error(transparent)]
    Failed(#[from] Error),
}

/// The caller behind a request's token, and the registry that the request is about. The token's principal must still be who
/// it was when the token was made.
pub async fn authenticate(app: &App, head: &Parts) -> Result<(Caller, RegistryId), Unauthenticated> {
    let password = password(&head.headers).ok_or(Unauthenticated::Challenge)?;
    let token = token::verify(&app.system, &password).map_err(|why| match why {
        InvalidToken::Unknown => Unauthenticated::Challenge,
        InvalidToken::Expired => Unauthenticated::Expired,
    })?;
    let found = credential::caller(&app.system, &app.process_keys, &token.access_key_id).await?;
    let same =
        |caller: &Caller| caller.account() == Some(token.registry.account) && caller.user_id() == token.principal;
    let caller = found.filter(same).ok_or(Unauthenticated::Challenge)?;
    Ok((caller, registry(app, head, &token)?))
}

/// The host's registry, else the token's own.
fn registry(app: &App, head: &Parts, token: &Token) -> Result<RegistryId, Unauthenticated> {
    let RegistryId { account, region } = token.registry.clone();
    let registry = match app.addresses.host(host(head).unwrap_or_default()) {
        HostName::Registry(registry) => registry,
        HostName::Api(region) => RegistryId { account, region },
        HostName::Other => token.registry.clone(),
    };
    if registry.region != region {
        return Err(Unauthenticated::Region { token: region, registry: registry.region });
    }
    if !app.addresses.serves(&region) {
        return Err(Unauthenticated::NotServed(region));
    }
    Ok(registry)
}

/// The host that a request is for: that of its target, where it names one, else the Host header's.
pub fn host(head: &Parts) -> Option<&str> {
    let header = || head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    head.uri.authority().map(http::uri::Authority::as_str).or_else(header)
}

/// The token that an Authorization header carries. Of several headers none counts.
fn password(headers: &HeaderMap) -> Option<String> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().filter(|_| given.next().is_none())?.to_str().ok()?;
    let (scheme, credentials) = value.trim().split_once(' ')?;
    let credentials = credentials.trim_start();
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Some(credentials.to_owned());
    }
    // Longer ones can't be tokens, whose length `token` bounds: base64 of that, and the user.
    let bounded = credentials.len() <= 2 * token::MAX_LENGTH;
    if !scheme.eq_ignore_ascii_case("Basic") || !bounded {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(credentials).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    (user == USER).then(|| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static(value));
        password(&headers)
    }

    #[test]
    fn the_token_is_the_password_of_aws_or_a_bearer_token() {
        for (value, expected) in [
            ("Basic QVdTOnBhc3M=", Some("pass")),
            ("basic QVdTOnBhc3M", Some("pass")),
            ("Basic  QVdTOmE6Yg==", Some("a:b")),
            ("Bearer pass", Some("pass")),
            ("Basic Ym9iOnBhc3M=", None),
            ("Basic QVdT", None),
            ("Basic !!", None),
            ("Basic", None),
            ("Digest x", None),
            ("", None),
        ] {
            assert_eq!(read(value).as_deref(), expected, "{value}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, http::HeaderValue::from_static("Bearer a"));
        twice.append(header::AUTHORIZATION, http::HeaderValue::from_static("Bearer b"));
        assert_eq!(password(&twice), None);
    }
}
