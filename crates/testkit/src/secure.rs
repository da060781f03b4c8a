//! The server's TLS listener, with certificates as `ecru tls init` makes them, and clients that trust their authority.

use crate::clock::TestClock;
use crate::http::{Answer, Call};
use bytes::Bytes;
use ecru::cli::tls::init::Init;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kernel::clock::Clock as _;
use listen::listener::{Listener, Serves};
use listen::tls::{Files, Reloader, Tls, provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TLS listener and its certificate's files.
pub struct Secure {
    pub address: SocketAddr,
    /// The directory of `ca.pem`, `server.pem` and `server-key.pem`, as `ecru tls init` writes them.
    pub directory: PathBuf,
    /// Reloads the certificate when a test calls it.
    pub reloader: Mutex<Reloader>,
    clock: Arc<TestClock>,
}

impl Secure {
    /// Binds a port, with a certificate in `directory` that is created at the first start.
    pub(crate) fn bind(directory: &Path, http2: bool, clock: Arc<TestClock>) -> (Listener, Secure) {
        let directory = directory.join("tls");
        init(&directory, &clock);
        let reloader = Reloader::start(files(&directory), clock.clone()).expect("the certificate");
        let tls = Tls::new(reloader.served(), http2, clock.clone()).expect("TLS");
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(any, Serves::Everything).expect("a port").over(tls);
        let address = listener.address();
        (listener, Secure { address, directory, reloader: Mutex::new(reloader), clock })
    }

    /// Renews the certificate, as a second `ecru tls init` does.
    pub fn renew(&self) {
        init(&self.directory, &self.clock);
    }

    /// Returns a client that trusts the authority and offers HTTP/1.1.
    pub fn client(&self) -> TlsClient {
        self.client_with(&[&version::TLS13, &version::TLS12], &["http/1.1"])
    }

    /// Returns a client that offers only HTTP/2.
    pub fn http2_client(&self) -> TlsClient {
        self.client_with(&[&version::TLS13, &version::TLS12], &["h2"])
    }

    /// Returns a client that offers these TLS versions and ALPN protocols.
    pub fn client_with(&self, versions: &[&'static SupportedProtocolVersion], protocols: &[&str]) -> TlsClient {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.directory.join("ca.pem")).expect("the authority");
        roots.add(ca).expect("an authority");
        let time = Arc::new(TestTime(self.clock.clone()));
        let mut config = ClientConfig::builder_with_details(provider(), time)
            .with_protocol_versions(versions)
            .expect("the versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsClient { address: self.address, connector: TlsConnector::from(Arc::new(config)) }
    }
}

/// Returns the paths of the certificate and key that `ecru tls init` writes.
fn files(directory: &Path) -> Files {
    Files { certificate: directory.join("server.pem"), key: directory.join("server-key.pem") }
}

fn init(directory: &Path, clock: &TestClock) {
    let region = "us-east-1".parse().expect("a region");
    let (names, dropped) = (Vec::new(), Vec::new());
    let init = Init { dir: directory.to_owned(), domains: Vec::new(), regions: vec![region], names, dropped };
    init.run(clock.now()).expect("the certificates");
}

/// A client that trusts the server's authority.
#[derive(Clone)]
pub struct TlsClient {
    pub address: SocketAddr,
    connector: TlsConnector,
}

impl TlsClient {
    /// Returns the client with another address.
    pub fn at(self, address: SocketAddr) -> TlsClient {
        TlsClient { address, ..self }
    }

    /// Connects and completes the handshake with the name `localhost`.
    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        self.connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await
    }

    /// Sends a request over a new connection by the negotiated protocol, and reads the whole answer.
    pub async fn send(&self, call: &Call) -> Answer {
        let stream = self.connect().await.expect("a handshake");
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            send_http2(stream, call, self.address).await
        } else {
            call.send_over(stream, self.address).await
        }
    }
}

/// An HTTP/2 connection for several requests.
pub struct Http2Client {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    address: SocketAddr,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Http2Client {
    /// Connects with a stream window of `bytes`, which the server may send before they are read.
    pub async fn with_window(client: TlsClient, bytes: u32) -> Http2Client {
        let stream = client.connect().await.expect("a handshake");
        Http2Client::over(stream, client.address, Some(bytes)).await
    }

    async fn over(stream: TlsStream<TcpStream>, address: SocketAddr, window: Option<u32>) -> Http2Client {
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("HTTP/2");
        Http2Client { sender, address, connection: tokio::spawn(connection) }
    }

    /// Sends a request and reads the head of the answer.
    pub async fn begin(&self, call: &Call) -> http::Response<hyper::body::Incoming> {
        let host = call.headers.iter().find(|(name, _)| name == "host");
        let host = host.map_or(self.address.to_string(), |(_, host)| host.clone());
        let mut request =
            http::Request::builder().method(call.method.as_str()).uri(format!("https://{host}{}", call.target));
        for (name, value) in call.headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body.clone())).expect("a request");
        self.sender.clone().send_request(request).await.expect("an answer")
    }
}

impl Drop for Http2Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn send_http2(stream: TlsStream<TcpStream>, call: &Call, address: SocketAddr) -> Answer {
    let client = Http2Client::over(stream, address, None).await;
    let response = client.begin(call).await;
    let status = response.status().as_u16();
    let text = |value: &http::HeaderValue| value.to_str().expect("a header's text").to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body: Bytes = response.into_body().collect().await.expect("a body").to_bytes();
    Answer { status, http2: true, reason: String::new(), headers, body }
}

/// The test's clock, as rustls's time provider.
struct TestTime(Arc<TestClock>);

impl TimeProvider for TestTime {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

impl std::fmt::Debug for TestTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestTime").finish_non_exhaustive()
    }
}
