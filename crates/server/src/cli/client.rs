//! A signed call of the `ecru` door.
use super::credentials::{Credentials, CredentialsError};
use crate::admin;
use crate::outbound::{OutboundError, Trust, exchange};
use aws::sigv4::{Head, SigningKey, sign};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use oci::{Algorithm, Digest};
use registry::clock::{Clock, SystemClock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// The server that `ecru serve` is without further settings.
const DEFAULT_ENDPOINT: &str = "http://localhost:5050";
const DEFAULT_REGION: &str = "us-east-1";

/// A server to speak to, and who speaks.
pub struct Client {
    endpoint: Uri,
    region: String,
    credentials: Credentials,
    /// AWS_CA_BUNDLE: whose certificates to take, instead of the system's.
    authorities: Option<PathBuf>,
}

/// Why a call had no output.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("'{0}' is not the address of a server: http://HOST:PORT or https://HOST:PORT is")]
    Endpoint(String),
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the call can't be put into a request")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server's own error, as it says it.
    #[error("{name}: {message}")]
    Refused { name: String, message: String },
    #[error("the server at {endpoint} answered with {status}, which is no answer of the ecru door")]
    Foreign { endpoint: Uri, status: StatusCode },
}

impl Client {
    /// A client of the first server named by: `endpoint`, AWS_ENDPOINT_URL_ECRU, AWS_ENDPOINT_URL, ECRU_URL; else of the default one.
    pub fn new(
        endpoint: Option<String>,
        environment: &dyn Fn(&str) -> Option<String>,
        credentials: Credentials,
    ) -> Result<Client, ClientError> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let named = || ["AWS_ENDPOINT_URL_ECRU", "AWS_ENDPOINT_URL", "ECRU_URL"].into_iter().find_map(variable);
        let text = endpoint.or_else(named).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let parsed = text
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https"));
        let endpoint = parsed.ok_or(ClientError::Endpoint(text))?;
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let authorities = variable("AWS_CA_BUNDLE").map(PathBuf::from);
        Ok(Client { endpoint, region, credentials, authorities })
    }

    /// Calls an operation of the `ecru` door.
    pub async fn call<O: DeserializeOwned>(&self, operation: &str, input: &impl Serialize) -> Result<O, ClientError> {
        let body = serde_json::to_vec(input).map_err(|error| ClientError::Request(error.into()))?;
        let request = self.request(operation, body)?;
        let trust = || self.authorities.as_deref().map_or_else(Trust::system, Trust::file);
        let (parts, body) = exchange(request, trust).await?.into_parts();
        let status = parts.status;
        let foreign = |_| ClientError::Foreign { endpoint: self.endpoint.clone(), status };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(foreign);
        }
        let refusal: ErrorBody = serde_json::from_slice(&body).map_err(foreign)?;
        Err(ClientError::Refused { name: refusal.name, message: refusal.message })
    }

    fn request(&self, operation: &str, body: Vec<u8>) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = self.endpoint.authority().map(ToString::to_string).unwrap_or_default();
        let target = format!("{}.{operation}", admin::TARGET);
        let headers = [
            ("host", host.as_bytes()),
            ("content-type", aws::json::CONTENT_TYPE.as_bytes()),
            ("x-amz-target", target.as_bytes()),
        ];
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(Digest::of(Algorithm::Sha256, &body).hash());
        let Credentials { access_key_id, secret, session_token } = &self.credentials;
        let key = SigningKey { access_key_id, secret, session_token: session_token.as_deref().map(String::as_str) };
        let head = Head { method: "POST", path: "/", query: "", headers: &headers };
        let signed = sign(&head, sha256, &key, &self.region, admin::SIGNING_NAME, SystemClock.now().0);
        let mut request = Request::builder().method(Method::POST).uri(&self.endpoint);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request.body(Full::from(body)).map_err(|error| ClientError::Request(error.into()))
    }
}

#[derive(serde::Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    name: String,
    #[serde(default)]
    message: String,
}
