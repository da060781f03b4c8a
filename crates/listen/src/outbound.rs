//! Sends single requests to other servers over HTTP/1.1, plain or over TLS, and reads their whole answers. [`agent`] reuses
//! connections and streams bodies.

pub mod agent;

use crate::tls::provider;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Maximum time for a server to answer.
pub const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Maximum bytes of an answer.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("'{0}' is not an http:// or https:// address")]
    Address(Uri),
    #[error("no server answers at {uri}")]
    Connect { uri: Uri, source: io::Error },
    #[error("the TLS handshake with {uri} failed")]
    Handshake { uri: Uri, source: io::Error },
    #[error("the server at {uri} broke the call off")]
    Broken { uri: Uri, source: Box<dyn Error + Send + Sync> },
    #[error("the server at {uri} gave no answer in {} s", ANSWER_TIME.as_secs())]
    Slow { uri: Uri },
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// Why the trusted authorities could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("the certificate authorities in {} can't be read", path.display())]
    File { path: PathBuf, source: PemError },
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// The certificate authorities that a client trusts. Files are read when a connection first needs them.
#[derive(Clone, Debug)]
pub enum Authorities {
    /// The system's authorities, or those in SSL_CERT_FILE.
    System,
    /// Only the authorities in a PEM file.
    Only(PathBuf),
    /// The system's authorities and those in a PEM file.
    SystemAnd(PathBuf),
}

impl Authorities {
    pub fn trust(&self) -> Result<Trust, TrustError> {
        match self {
            Authorities::System => Trust::system(),
            Authorities::Only(path) => Trust::file(path),
            Authorities::SystemAnd(path) => Trust::system_and(path),
        }
    }
}

/// The loaded certificate authorities.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the system's authorities, or those in SSL_CERT_FILE.
    pub fn system() -> Result<Trust, TrustError> {
        Trust::of(system_roots())
    }

    /// Trusts only the authorities in a PEM file.
    pub fn file(path: &Path) -> Result<Trust, TrustError> {
        let mut roots = RootCertStore::empty();
        add(&mut roots, path)?;
        Trust::of(roots)
    }

    /// Trusts the system's authorities and those in a PEM file.
    pub fn system_and(path: &Path) -> Result<Trust, TrustError> {
        let mut roots = system_roots();
        add(&mut roots, path)?;
        Trust::of(roots)
    }

    fn of(roots: RootCertStore) -> Result<Trust, TrustError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Trust(Arc::new(config)))
    }
}

/// Loads the system's readable authorities. A single broken certificate does not prevent trust in the others.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let unreadable = |source| TrustError::File { path: path.to_owned(), source };
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    Ok(())
}

/// Sends a request with an absolute URI over a new connection. Calls `trust` only for https.
pub async fn exchange<B>(
    request: Request<B>,
    trust: impl FnOnce() -> Result<Trust, TrustError>,
) -> Result<Response<Bytes>, OutboundError>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let uri = request.uri().clone();
    match timeout(ANSWER_TIME, connect(request, trust)).await {
        Ok(answer) => answer,
        Err(_) => Err(OutboundError::Slow { uri }),
    }
}

async fn connect<B>(
    mut request: Request<B>,
    trust: impl FnOnce() -> Result<Trust, TrustError>,
) -> Result<Response<Bytes>, OutboundError>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let uri = request.uri().clone();
    let stream = dial(&uri, trust).await?;
    to_origin_form(&mut request);
    send(request, stream, &uri).await
}

/// A connection that requests are written to.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Connects to the server that an absolute URI names, over TLS for https.
async fn dial(uri: &Uri, trust: impl FnOnce() -> Result<Trust, TrustError>) -> Result<Box<dyn Wire>, OutboundError> {
    let authority = uri.authority().ok_or_else(|| OutboundError::Address(uri.clone()))?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(OutboundError::Address(uri.clone())),
    };
    let host = authority.host().trim_matches(['[', ']']);
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let unreachable = |source| OutboundError::Connect { uri: uri.clone(), source };
    let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    if !secure {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| OutboundError::Address(uri.clone()))?;
    let shaken = TlsConnector::from(trust()?.0).connect(name, stream).await;
    let stream = shaken.map_err(|source| OutboundError::Handshake { uri: uri.clone(), source })?;
    Ok(Box::new(stream))
}

/// Sets a request's Host and reduces its URI to path and query, the origin form of HTTP/1.1.
fn to_origin_form<B>(request: &mut Request<B>) {
    let uri = request.uri();
    let host = uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let path = uri.path_and_query().cloned().map_or(Uri::from_static("/"), Uri::from);
    if let Some(host) = host {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    *request.uri_mut() = path;
}

async fn send<B, S>(request: Request<B>, stream: S, uri: &Uri) -> Result<Response<Bytes>, OutboundError>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |source: Box<dyn Error + Send + Sync>| OutboundError::Broken { uri: uri.clone(), source };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(|error| broken(error.into()))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(broken)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    // The connection must be polled while the answer is read. The exchange reports its errors.
    tokio::select! {
        answer = exchange => answer,
        Err(error) = connection => Err(broken(error.into())),
    }
}
