//! A signed call of the `ecru` door over HTTP/1.1.
use super::credentials::{Credentials, CredentialsError};
use crate::admin;
use aws::sigv4::{Head, SigningKey, sign};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use oci::{Algorithm, Digest};
use registry::clock::{Clock, SystemClock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest that a server may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The server that `ecru serve` is without further settings.
const DEFAULT_ENDPOINT: &str = "http://localhost:5050";
const DEFAULT_REGION: &str = "us-east-1";

/// A server to speak to, and who speaks.
pub struct Client {
    endpoint: Uri,
    region: String,
    credentials: Credentials,
}

/// Why a call had no output.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("'{0}' is not the address of a server: http://HOST:PORT is")]
    Endpoint(String),
    #[error("no server answers at {endpoint}")]
    Connect { endpoint: Uri, source: std::io::Error },
    #[error("the server at {endpoint} broke the call off")]
    Broken { endpoint: Uri, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the server at {endpoint} gave no answer in {} s", ANSWER_TIME.as_secs())]
    Slow { endpoint: Uri },
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
        let parsed = text.parse().ok().filter(|uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        let endpoint = parsed.ok_or(ClientError::Endpoint(text))?;
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| DEFAULT_REGION.to_owned());
        Ok(Client { endpoint, region, credentials })
    }

    /// Calls an operation of the `ecru` door.
    pub async fn call<O: DeserializeOwned>(&self, operation: &str, input: &impl Serialize) -> Result<O, ClientError> {
        let body = serde_json::to_vec(input).map_err(|error| self.broken(error))?;
        let request = self.request(operation, body)?;
        let answer = timeout(ANSWER_TIME, self.send(request))
            .await
            .map_err(|_| ClientError::Slow { endpoint: self.endpoint.clone() })?;
        let (status, body) = answer?;
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
        let mut request = Request::builder().method(Method::POST).uri("/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in signed {
            request = request.header(name, value);
        }
        request.body(Full::from(body)).map_err(|error| self.broken(error))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let host = self.endpoint.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.endpoint.port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|source| ClientError::Connect { endpoint: self.endpoint.clone(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES)
                .collect()
                .await
                .map_err(|source| ClientError::Broken { endpoint: self.endpoint.clone(), source })?;
            Ok((status, body.to_bytes()))
        };
        // The connection has to be driven while the answer is read; its own end says nothing that the exchange doesn't.
        tokio::select! {
            answer = exchange => answer,
            Err(error) = connection => Err(self.broken(error)),
        }
    }

    fn broken(&self, source: impl std::error::Error + Send + Sync + 'static) -> ClientError {
        ClientError::Broken { endpoint: self.endpoint.clone(), source: Box::new(source) }
    }
}

#[derive(serde::Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    name: String,
    #[serde(default)]
    message: String,
}
