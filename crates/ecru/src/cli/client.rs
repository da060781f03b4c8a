//! Signed calls of a server's AWS doors, and how a command finds the server and the keys.

use super::credentials::{Credentials, CredentialsError, Found, Sources};
use crate::config::{DEFAULT_DATA, Variables};
use crate::data_dir::{DataDirError, Endpoint};
use aws::sigv4::{Head, SigningKey, sign};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use kernel::clock::{Clock, SystemClock};
use listen::connection::PLAIN_TO_TLS;
use listen::outbound::{Authorities, OutboundError, exchange};
use oci::{Algorithm, Digest};
use rustls::{CertificateError, InvalidMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// Why AWS's doors refuse keys that they do not know.
const UNKNOWN_KEY: &str = "UnrecognizedClientException";
/// The same of services of the query protocol.
const UNKNOWN_KEY_OF_QUERY: &str = "InvalidClientTokenId";

/// Which server a command speaks to; docs/configure.md "Keys of the commands".
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// The server's address, such as http://localhost:5050.
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,
    /// The server's data directory: its address, keys and region are used whatever the AWS_* variables say. Without this flag
    /// they are used where the environment names no server and no keys [default: ECRU_DATA, else ./ecru-data].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl From<OutboundError> for ClientError {
    /// Says the cure, where the cause has one.
    fn from(error: OutboundError) -> ClientError {
        match error {
            OutboundError::Connect { uri, source } => ClientError::Unreachable { uri, problem: source },
            OutboundError::Handshake { uri, source } => match source.get_ref().and_then(|cause| cause.downcast_ref()) {
                Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                    ClientError::SpeaksPlain(uri)
                }
                Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                    ClientError::UnknownAuthority { uri, problem: source }
                }
                Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })) => {
                    ClientError::OtherName { uri, problem: source }
                }
                _ => ClientError::Outbound(OutboundError::Handshake { uri, source }),
            },
            other => ClientError::Outbound(other),
        }
    }
}

impl ServerArgs {
    /// A client of the first server that is named by `--endpoint-url`, `--data`, AWS_ENDPOINT_URL_ECRU, AWS_ENDPOINT_URL,
    /// ECRU_URL or the data directory of ECRU_DATA or `./ecru-data`; of the default server if there is none.
    pub fn client(&self, environment: Variables<'_>) -> Result<Client, ClientError> {
        match &self.data {
            Some(data) => self.of_directory(data, environment),
            None => self.of_environment(environment),
        }
    }

    /// With `--data`, the AWS_* variables do not choose the address, the keys or the region of the server.
    fn of_directory(&self, data: &Path, environment: Variables<'_>) -> Result<Client, ClientError> {
        let left = Endpoint::read(data)?;
        let sources = Sources { environment, data, endpoint: left.as_ref() };
        // A directory need not hold keys. Then the caller's own may be good there.
        let credentials = match sources.of_server() {
            Err(CredentialsError::None(_) | CredentialsError::AdminVariables) => sources.find()?,
            found => found?,
        };
        let left = match (left, &self.endpoint_url) {
            (Some(left), _) => left,
            (None, Some(_)) => Endpoint::of_defaults(),
            (None, None) => return Err(ClientError::NoServer(data.to_owned())),
        };
        let url = self.endpoint_url.clone().unwrap_or_else(|| left.url.clone());
        let region = left.region.clone();
        Client::new(url, region, environment, credentials, left)
    }

    fn of_environment(&self, environment: Variables<'_>) -> Result<Client, ClientError> {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty());
        let data = set("ECRU_DATA").map_or_else(|| PathBuf::from(DEFAULT_DATA), PathBuf::from);
        let left = Endpoint::read(&data)?;
        let credentials = Sources { environment, data: &data, endpoint: left.as_ref() }.find()?;
        let left = left.unwrap_or_else(Endpoint::of_defaults);
        let named = || ["AWS_ENDPOINT_URL_ECRU", "AWS_ENDPOINT_URL", "ECRU_URL"].into_iter().find_map(set);
        let url = self.endpoint_url.clone().or_else(named).unwrap_or_else(|| left.url.clone());
        let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).unwrap_or_else(|| left.region.clone());
        Client::new(url, region, environment, credentials, left)
    }
}

/// A server to speak to, and who speaks.
pub struct Client {
    endpoint: Uri,
    region: String,
    credentials: Credentials,
    authorities: Authorities,
}

/// Which of a server's AWS services is called.
#[derive(Clone, Copy)]
struct Service {
    /// The part of X-Amz-Target before the dot.
    target: &'static str,
    signing_name: &'static str,
}

const ECRU: Service = Service { target: admin::TARGET, signing_name: admin::SIGNING_NAME };
const ECR: Service = Service { target: ecr::TARGET, signing_name: ecr::SIGNING_NAME };

/// Why a call had no output.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("'{0}' is not the address of a server: http://HOST:PORT or https://HOST:PORT is")]
    Endpoint(String),
    #[error(transparent)]
    Outbound(OutboundError),
    #[error("no server answers at {uri} ({problem}); start `ecru serve`, or name the server with --endpoint-url")]
    Unreachable { uri: Uri, problem: std::io::Error },
    #[error("the TLS handshake with {0} failed: it speaks plain HTTP; use http://")]
    SpeaksPlain(Uri),
    #[error(
        "the TLS handshake with {uri} failed: {problem}; set AWS_CA_BUNDLE to the certificate of the authority that signed for it, such as ca.pem of `ecru tls init`"
    )]
    UnknownAuthority { uri: Uri, problem: std::io::Error },
    #[error("the TLS handshake with {uri} failed: {problem}; use a name that the certificate is for")]
    OtherName { uri: Uri, problem: std::io::Error },
    #[error("the call can't be put into a request")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server's own error, as it says it.
    #[error("{name}: {message}")]
    Refused { name: String, message: String },
    /// It does not know the keys; said with where they are from, since another place may have the right ones.
    #[error("{name}: {message} These are the keys of {found}.")]
    UnknownKey { name: String, message: String, found: Found },
    #[error("the server at {endpoint} answered with {status}, which is not an answer of an AWS service")]
    Foreign { endpoint: Uri, status: StatusCode },
    #[error("there is no dead job '{key}' of the kind '{kind}'; `ecru jobs --dead` shows those there are")]
    NoDeadJob { kind: String, key: String },
    #[error("{0}: add --yes to go on")]
    NotAgreed(String),
    #[error("'{0}' names no digest: REPOSITORY@sha256:… does, and `ecru image list-deleted REPOSITORY` shows them")]
    NotByDigest(String),
    #[error("the policy document can't be read from {}", .path.display())]
    Document { path: PathBuf, source: std::io::Error },
    #[error("the server at {0} speaks TLS: use https://")]
    SpeaksTls(Uri),
    #[error("no server has run in {} yet; start `ecru serve` with it, or name the directory of a server with --data", .0.display())]
    NoServer(PathBuf),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl Client {
    /// `left` is what the server of the data directory left there.
    fn new(
        url: String,
        region: String,
        environment: Variables<'_>,
        credentials: Credentials,
        left: Endpoint,
    ) -> Result<Client, ClientError> {
        let parsed = url
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https"));
        // The directory's authority signed for the directory's server, and for no other.
        let own_authority = left.ca.filter(|_| url.trim_end_matches('/') == left.url);
        let bundle = || environment("AWS_CA_BUNDLE").filter(|value| !value.is_empty());
        let file = own_authority.or_else(bundle).map(PathBuf::from);
        let authorities = file.map_or(Authorities::System, Authorities::Only);
        let endpoint = parsed.ok_or(ClientError::Endpoint(url))?;
        Ok(Client { endpoint, region, credentials, authorities })
    }

    /// A client of a server that no variable of the environment has a say in.
    pub fn at(endpoint: Uri, region: String, credentials: Credentials, authorities: Authorities) -> Client {
        Client { endpoint, region, credentials, authorities }
    }

    /// The server's address.
    pub fn endpoint(&self) -> &Uri {
        &self.endpoint
    }

    /// Whose certificates are accepted from the server.
    pub fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// Whose keys sign the calls.
    pub fn access_key_id(&self) -> &str {
        &self.credentials.access_key_id
    }

    /// Calls an operation of the `ecru` door.
    pub async fn call<O: DeserializeOwned>(&self, operation: &str, input: &impl Serialize) -> Result<O, ClientError> {
        self.call_service(ECRU, operation, input).await
    }

    /// Calls an operation of ECR.
    pub async fn call_ecr<O: DeserializeOwned>(
        &self,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<O, ClientError> {
        self.call_service(ECR, operation, input).await
    }

    /// Calls an operation of IAM, by the query protocol, and returns its result.
    pub async fn call_iam(&self, operation: &str, input: &[(&str, &str)]) -> Result<serde_json::Value, ClientError> {
        let mut form = format!("Action={operation}&Version={}", iam::VERSION);
        for (name, value) in input {
            form.push_str(&format!("&{name}={}", aws::percent_encode(value)));
        }
        let headers = [
            ("content-type", aws::query::CONTENT_TYPE.as_bytes()),
            // Answers of the query protocol are XML without it.
            ("accept", b"application/json".as_slice()),
        ];
        // IAM is one for all regions, and its calls are signed for its own.
        let request = self.request(iam::SIGNING_NAME, iam::REGION, &headers, form.into_bytes())?;
        let (status, body) = self.exchange(request).await?;
        let foreign = |_| ClientError::Foreign { endpoint: self.endpoint.clone(), status };
        let mut answer: serde_json::Value = serde_json::from_slice(&body).map_err(foreign)?;
        if status == StatusCode::OK {
            return Ok(answer[format!("{operation}Response")][format!("{operation}Result")].take());
        }
        let refusal: QueryErrorBody = serde_json::from_value(answer["Error"].take()).map_err(foreign)?;
        Err(self.refused(refusal.code, refusal.message))
    }

    async fn call_service<O: DeserializeOwned>(
        &self,
        service: Service,
        operation: &str,
        input: &impl Serialize,
    ) -> Result<O, ClientError> {
        let body = serde_json::to_vec(input).map_err(|error| ClientError::Request(error.into()))?;
        let target = format!("{}.{operation}", service.target);
        let headers = [("content-type", aws::json::CONTENT_TYPE.as_bytes()), ("x-amz-target", target.as_bytes())];
        let (status, body) = self.exchange(self.request(service.signing_name, &self.region, &headers, body)?).await?;
        let foreign = |_| ClientError::Foreign { endpoint: self.endpoint.clone(), status };
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(foreign);
        }
        let refusal: ErrorBody = serde_json::from_slice(&body).map_err(foreign)?;
        Err(self.refused(refusal.name, refusal.message))
    }

    fn refused(&self, name: String, message: String) -> ClientError {
        match name.as_str() {
            UNKNOWN_KEY | UNKNOWN_KEY_OF_QUERY => {
                ClientError::UnknownKey { name, message, found: self.credentials.found.clone() }
            }
            _ => ClientError::Refused { name, message },
        }
    }

    /// Sends a request, and returns the status and the body of the answer.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), ClientError> {
        let (parts, body) = exchange(request, || self.authorities.trust()).await?.into_parts();
        if parts.status == StatusCode::BAD_REQUEST && body.starts_with(PLAIN_TO_TLS.as_bytes()) {
            return Err(ClientError::SpeaksTls(self.endpoint.clone()));
        }
        Ok((parts.status, body))
    }

    /// Makes a signed request.
    fn request(
        &self,
        signing_name: &str,
        region: &str,
        own_headers: &[(&'static str, &[u8])],
        body: Vec<u8>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let host = self.endpoint.authority().map(ToString::to_string).unwrap_or_default();
        let headers: Vec<_> = [("host", host.as_bytes())].into_iter().chain(own_headers.iter().copied()).collect();
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(Digest::of(Algorithm::Sha256, &body).hash());
        let Credentials { access_key_id, secret, session_token, .. } = &self.credentials;
        let key = SigningKey { access_key_id, secret, session_token: session_token.as_deref().map(String::as_str) };
        let head = Head { method: "POST", path: "/", query: "", headers: &headers };
        let signed = sign(&head, sha256, &key, region, signing_name, SystemClock.now().0);
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
#[serde(rename_all = "PascalCase")]
struct QueryErrorBody {
    code: String,
    message: String,
}

#[derive(serde::Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    name: String,
    #[serde(default)]
    message: String,
}
