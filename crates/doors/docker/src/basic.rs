//! Authenticates callers of the docker door: by a token as the password of the user `AWS`, or as a Bearer token (`ECR.md` B.1).

use aws::Region;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::request::Parts;
use http::{HeaderMap, header};
use identity::login::{NoLogin, login};
use identity::token::{self, InvalidToken, Token};
use kernel::access::Caller;
use kernel::clock::Time;
use kernel::{CommonError, Realm, RegistryId};
use listen::addresses::{HostName, host};
use listen::app::App;
use std::sync::Arc;

/// The user name of every docker login.
const USER: &str = "AWS";

/// Base64 with or without padding: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a request on `/v2/` has no caller.
#[derive(Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// No valid credentials: answered with the challenge.
    #[error("Not Authorized")]
    Challenge(NoToken),
    #[error("{EXPIRED}")]
    Expired { at: Time },
    /// A valid token for another region, or for ECR Public at a private registry, or the other way round. AWS's sentence comes first,
    /// because tools match on it.
    #[error("{EXPIRED} The token is for {token:#}; this registry is in {registry}.")]
    Realm { token: Realm, registry: Realm },
    #[error("The region {region} is not served here")]
    NotServed { region: Region, default: Region },
    #[error(transparent)]
    Failed(#[from] CommonError),
}

/// AWS's sentence about a token that has expired or is not valid here.
const EXPIRED: &str = "Your authorization token has expired. Reauthenticate and try again.";

/// Why a request carries no usable token. Only the last variant reveals anything beyond the request's own text, and only the
/// holder of a valid token can trigger it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    #[error("no credentials")]
    Nothing,
    #[error("the Authorization header is not one of Basic or Bearer")]
    Unreadable,
    #[error("the user name is not AWS")]
    User,
    #[error("the password is not a token")]
    NotAToken,
    #[error("the token was made by another server, or under a root key that is gone")]
    Foreign,
    #[error("the credentials that the token was made for are gone")]
    Gone,
}

/// Returns the caller that a request's token belongs to, and the registry that the request addresses.
pub async fn authenticate(app: &App, head: &Parts) -> Result<(Arc<Caller>, RegistryId), Unauthenticated> {
    let password = password(&head.headers).map_err(Unauthenticated::Challenge)?;
    let login = login(&app.system, &app.process_keys, &password).await.map_err(|why| match why {
        NoLogin::Token(InvalidToken::NotAToken) => Unauthenticated::Challenge(NoToken::NotAToken),
        NoLogin::Token(InvalidToken::Foreign) => Unauthenticated::Challenge(NoToken::Foreign),
        NoLogin::Token(InvalidToken::Expired { at }) => Unauthenticated::Expired { at },
        NoLogin::Gone => Unauthenticated::Challenge(NoToken::Gone),
        NoLogin::Failed(error) => error.into(),
    })?;
    Ok((login.caller.clone(), registry(app, head, &login.token)?))
}

/// Returns the registry that the host names, or the token's own if the host names none.
fn registry(app: &App, head: &Parts, token: &Token) -> Result<RegistryId, Unauthenticated> {
    let registry = match app.addresses.host(host(head).unwrap_or_default()) {
        HostName::Registry(registry) => registry,
        HostName::Api(region) => RegistryId::private(token.registry.account, region),
        HostName::Other => token.registry.clone(),
    };
    if registry.realm != token.registry.realm {
        return Err(Unauthenticated::Realm { token: token.registry.realm.clone(), registry: registry.realm });
    }
    if let Some(region) = registry.region().filter(|region| !app.addresses.serves(region)) {
        let (region, default) = (region.clone(), app.addresses.default_region().clone());
        return Err(Unauthenticated::NotServed { region, default });
    }
    Ok(registry)
}

/// Returns the token in the Authorization header. A request with several such headers is refused.
fn password(headers: &HeaderMap) -> Result<String, NoToken> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().ok_or(NoToken::Nothing)?;
    let value = if given.next().is_none() { value.to_str().ok() } else { None };
    let (scheme, credentials) = value.and_then(|value| value.trim().split_once(' ')).ok_or(NoToken::Unreadable)?;
    let credentials = credentials.trim_start();
    // A Bearer token needs no trimming: the whitespace around the header's value is already gone.
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Ok(credentials.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("Basic") {
        return Err(NoToken::Unreadable);
    }
    // Too long for the base64 of a user name and a token, whose length `token` bounds.
    if credentials.len() > 2 * token::MAX_LENGTH {
        return Err(NoToken::NotAToken);
    }
    let text = BASE64.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or(NoToken::Unreadable)?;
    let (user, password) = text.split_once(':').ok_or(NoToken::Unreadable)?;
    if trimmed(user) == USER { Ok(trimmed(password).to_owned()) } else { Err(NoToken::User) }
}

/// Removes trailing whitespace from a user name or password. Pipes and files on Windows leave CR, LF or a space there; no token
/// ends with whitespace.
fn trimmed(text: &str) -> &str {
    text.trim_end_matches(|character: char| character.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Result<String, NoToken> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, http::HeaderValue::from_static(value));
        password(&headers)
    }

    #[test]
    fn the_token_is_the_password_of_aws_or_a_bearer_token() {
        for (value, expected) in [
            ("Basic QVdTOnBhc3M=", Ok("pass")),
            ("basic QVdTOnBhc3M", Ok("pass")),
            ("Basic  QVdTOmE6Yg==", Ok("a:b")),
            ("Bearer pass", Ok("pass")),
            ("Bearer pass  ", Ok("pass")),
            // AWS:pass and CR, LF, CR LF, a blank and CR LF
            ("Basic QVdTOnBhc3MN", Ok("pass")),
            ("Basic QVdTOnBhc3MK", Ok("pass")),
            ("Basic QVdTOnBhc3MNCg==", Ok("pass")),
            ("Basic QVdTOnBhc3MgDQo=", Ok("pass")),
            // AWS CR LF:pass
            ("Basic QVdTDQo6cGFzcw==", Ok("pass")),
            // A blank in front is no line's end: " pass"
            ("Basic QVdTOiBwYXNz", Ok(" pass")),
            ("Basic Ym9iOnBhc3M=", Err(NoToken::User)),
            ("Basic QVdT", Err(NoToken::Unreadable)),
            ("Basic !!", Err(NoToken::Unreadable)),
            ("Basic", Err(NoToken::Unreadable)),
            ("Digest x", Err(NoToken::Unreadable)),
            ("", Err(NoToken::Unreadable)),
        ] {
            assert_eq!(read(value), expected.map(str::to_owned), "{value}");
        }
        assert_eq!(password(&HeaderMap::new()), Err(NoToken::Nothing));
        let mut twice = HeaderMap::new();
        twice.append(header::AUTHORIZATION, http::HeaderValue::from_static("Bearer a"));
        twice.append(header::AUTHORIZATION, http::HeaderValue::from_static("Bearer b"));
        assert_eq!(password(&twice), Err(NoToken::Unreadable));
    }
}
