//! The `Authorization` of requests to a registry.

use super::TransferError;
use super::challenge::{BearerChallenge, Challenge, choose};
use super::docker_config::SourceCredentials;
use super::error::shown;
use crate::cli::client::Client;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use listen::outbound::agent::{self, Agent};
use serde::Deserialize;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// The largest answer of a token server, in bytes.
const MAX_TOKEN_BYTES: usize = 1024 * 1024;
/// Who a token server is told that asks.
const CLIENT_ID: &str = "ecru";

/// How requests to one registry are authorized. What one login holds never goes to another registry.
pub struct Login {
    kind: LoginKind,
    /// The header that was last accepted.
    held: Mutex<Option<HeaderValue>>,
}

enum LoginKind {
    /// GetAuthorizationToken of the registry's own ECR API: ours, and a source that `--from-profile` opens.
    Ecr(Box<Client>),
    /// What docker would send, or nothing.
    Docker(Option<SourceCredentials>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationTokens {
    authorization_data: Vec<AuthorizationData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationData {
    authorization_token: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
}

/// The registry that wants a login, and what is asked of it.
pub struct Asked<'a> {
    pub agent: &'a Agent,
    /// The registry's address.
    pub base: &'a Uri,
    /// As its user named it.
    pub host: &'a str,
    pub repository: &'a str,
}

impl Login {
    pub fn ecr(client: Client) -> Login {
        Login { kind: LoginKind::Ecr(Box::new(client)), held: Mutex::default() }
    }

    pub fn docker(credentials: Option<SourceCredentials>) -> Login {
        Login { kind: LoginKind::Docker(credentials), held: Mutex::default() }
    }

    /// The API of the registry's account, where that is what the login goes by.
    pub fn client(&self) -> Option<&Client> {
        match &self.kind {
            LoginKind::Ecr(client) => Some(client),
            LoginKind::Docker(_) => None,
        }
    }

    /// Who logs in by a password, where that is how.
    pub fn user(&self) -> Option<&str> {
        match &self.kind {
            LoginKind::Docker(Some(SourceCredentials::Password { user, .. })) => Some(user),
            _ => None,
        }
    }

    /// The header to send; a registry of ECR is never asked without.
    pub async fn header(&self) -> Result<Option<HeaderValue>, TransferError> {
        let mut held = self.held.lock().await;
        if let (None, LoginKind::Ecr(client)) = (held.as_ref(), &self.kind) {
            *held = Some(ecr_token(client).await?);
        }
        Ok(held.clone())
    }

    /// Answers a 401 to a request that had the header `refused`. Returns false where there is nothing more to send.
    pub async fn renew(
        &self,
        asked: &Asked<'_>,
        refused: Option<&HeaderValue>,
        headers: &HeaderMap,
    ) -> Result<bool, TransferError> {
        let mut held = self.held.lock().await;
        // Another request was faster.
        if held.as_ref() != refused {
            return Ok(true);
        }
        let fresh = match &self.kind {
            LoginKind::Ecr(client) => Some(ecr_token(client).await?),
            LoginKind::Docker(credentials) => {
                let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
                match (choose(challenges), credentials) {
                    (Some(Challenge::Basic), Some(SourceCredentials::Password { user, secret })) => {
                        Some(basic(user, secret)?)
                    }
                    (Some(Challenge::Bearer(bearer)), credentials) => {
                        Some(bearer_token(asked, &bearer, credentials.as_ref()).await?)
                    }
                    _ => None,
                }
            }
        };
        let changed = fresh.is_some() && fresh.as_ref() != refused;
        *held = fresh;
        Ok(changed)
    }
}

async fn ecr_token(client: &Client) -> Result<HeaderValue, TransferError> {
    let tokens: AuthorizationTokens = client.call_ecr("GetAuthorizationToken", &serde_json::json!({})).await?;
    let token = tokens.authorization_data.first().map(|data| &data.authorization_token);
    let header = token.and_then(|token| secret_header(&format!("Basic {}", token.as_str())).ok());
    header.ok_or_else(|| TransferError::Protocol {
        host: client.endpoint().to_string(),
        reason: "its GetAuthorizationToken gives no token".to_owned(),
    })
}

fn basic(user: &str, secret: &str) -> Result<HeaderValue, TransferError> {
    let pair = Zeroizing::new(format!("{user}:{secret}"));
    secret_header(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// A header whose `Debug` shows nothing.
fn secret_header(text: &str) -> Result<HeaderValue, TransferError> {
    let header = HeaderValue::from_str(text);
    let mut header = header.map_err(|_| TransferError::Usage("a password can't stand in a header".to_owned()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Asks the token server that the registry names. It gets the registry's own credentials, as the specification has it, and only
/// over TLS; without TLS only where the registry itself speaks plain HTTP and is at the same host.
async fn bearer_token(
    asked: &Asked<'_>,
    challenge: &BearerChallenge,
    credentials: Option<&SourceCredentials>,
) -> Result<HeaderValue, TransferError> {
    let protocol = |reason: String| TransferError::Protocol { host: asked.host.to_owned(), reason };
    // Find the token server, and refuse to send it credentials in plain text.
    let realm: Uri = challenge
        .realm
        .parse()
        .map_err(|_| protocol(format!("it names the token server '{}'", shown(&challenge.realm))))?;
    let plain_allowed = asked.base.scheme_str() == Some("http") && realm.host() == asked.base.host();
    match realm.scheme_str() {
        Some("https") => {}
        Some("http") if plain_allowed => {}
        _ => return Err(protocol(format!("its token server {} does not speak TLS", shown(&challenge.realm)))),
    }
    // Ask for a token.
    let default_scope = format!("repository:{}:pull", asked.repository);
    let scope = challenge.scope.as_deref().unwrap_or(&default_scope);
    let request = token_request(&realm, challenge.service.as_deref(), scope, credentials)?;
    let response = agent::read(asked.agent.send(request).await?, MAX_TOKEN_BYTES, &realm).await?;
    // Say whose mistake a refusal is: the password, docker's configuration, or no credentials at all.
    if !response.status().is_success() {
        let (status, host) = (response.status(), asked.host.to_owned());
        let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
        return Err(match credentials {
            Some(SourceCredentials::Password { user, .. }) if refused => {
                TransferError::Password { host, user: user.clone() }
            }
            Some(SourceCredentials::Identity(_)) if refused => TransferError::Login {
                hint: format!(
                    "it refuses the token in docker's configuration. Log in again with `docker login {host}`"
                ),
                host,
            },
            Some(_) => TransferError::Protocol { host, reason: format!("its token server answers {status}") },
            None => TransferError::Login {
                host,
                hint: format!("its token server answers {status} to one without credentials. {LOGIN_HINT}"),
            },
        });
    }
    // Servers answer with one of two members.
    let token: Token = serde_json::from_slice(response.body())
        .map_err(|_| protocol("the answer of its token server can't be read".to_owned()))?;
    let given = token.token.or(token.access_token);
    let token = given.ok_or_else(|| protocol("its token server gives no token".to_owned()))?;
    secret_header(&format!("Bearer {}", token.as_str()))
}

/// What helps against a missing login.
pub const LOGIN_HINT: &str =
    "Log in with `docker login`, or give --from-username and --from-password-stdin (for Amazon ECR: --from-profile)";

fn token_request(
    realm: &Uri,
    service: Option<&str>,
    scope: &str,
    credentials: Option<&SourceCredentials>,
) -> Result<Request<agent::Payload>, TransferError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    if let Some(service) = service {
        form.append_pair("service", service);
    }
    form.append_pair("scope", scope);
    // An identity token is exchanged by POST; with a password or without credentials the token is fetched by GET.
    let built = match credentials {
        Some(SourceCredentials::Identity(token)) => {
            form.append_pair("client_id", CLIENT_ID);
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("refresh_token", token);
            let request = Request::builder().method(Method::POST).uri(realm);
            let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            request.body(agent::whole(form.finish()))
        }
        credentials => {
            let separator = if realm.query().is_some() { '&' } else { '?' };
            let mut request = Request::builder().uri(format!("{realm}{separator}{}", form.finish()));
            if let Some(SourceCredentials::Password { user, secret }) = credentials {
                request = request.header(AUTHORIZATION, basic(user, secret)?);
            }
            request.body(agent::whole(""))
        }
    };
    built.map_err(|error| TransferError::Usage(format!("the token server can't be asked: {error}")))
}
