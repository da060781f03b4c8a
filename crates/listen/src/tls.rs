//! TLS for the listeners: certificates, protocols, and private authorities.

#[cfg(feature = "acme")]
pub mod acme;
mod ahead;
#[cfg(feature = "acme")]
mod challenge;
mod gathered;
pub mod issue;
mod pair;
mod reload;

pub use ahead::Ahead;
pub use gathered::Gathered;
pub use pair::{Files, NEAR_EXPIRY, Pair, PairError};
pub use reload::{LOOK_EVERY, Reloader};

use kernel::clock::Clock;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ServerConfig, version};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The names of HTTP/1.1 and HTTP/2 in ALPN (RFC 7301, RFC 9113 3.2).
const HTTP_1_1: &[u8] = b"http/1.1";
const HTTP_2: &[u8] = b"h2";

/// Maximum bytes that a TLS connection buffers for sending, in addition to the pooled buffers. With slow clients on all
/// connections this is half a GiB. rustls's default is half of it, and needs more writes.
const SEND_BYTES: usize = 128 * 1024;

/// The settings for certificates from an ACME authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// At least one name, and no wildcards: TLS-ALPN-01 can't prove them.
    pub domains: Vec<String>,
    /// Contact for the authority, such as `mailto:ops@example.com`.
    pub contact: Option<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Authorities to trust for the directory's own certificate, in addition to the system's.
    pub authorities: Option<PathBuf>,
}

/// TLS 1.2 and 1.3 for an https:// listener, with the certificate that is currently served.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Creates TLS with `served`'s certificate. Offers HTTP/1.1 and, if `http2`, prefers HTTP/2. `clock` limits the age of
    /// resumed sessions.
    pub fn new(served: &Served, http2: bool, clock: Arc<dyn Clock>) -> Result<Tls, rustls::Error> {
        let mut config = ServerConfig::builder_with_details(provider(), Arc::new(ContextTime(clock)))
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(served.clone()));
        config.alpn_protocols = if http2 { vec![HTTP_2.to_vec(), HTTP_1_1.to_vec()] } else { vec![HTTP_1_1.to_vec()] };
        #[cfg(feature = "acme")]
        config.alpn_protocols.push(challenge::PROTOCOL.to_vec());
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Completes a handshake that a client has begun.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        self.acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(SEND_BYTES))).await
    }
}

/// Whether this is an ACME authority's check, which ends with the handshake.
pub fn is_challenge<S>(stream: &TlsStream<S>) -> bool {
    #[cfg(feature = "acme")]
    return stream.get_ref().1.alpn_protocol() == Some(challenge::PROTOCOL);
    #[cfg(not(feature = "acme"))]
    {
        let _ = stream;
        false
    }
}

/// Whether the client and the server have agreed on HTTP/2.
pub fn is_http2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP_2)
}

/// Returns the only crypto provider of the program.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificate that new connections get. Clones share it.
#[derive(Clone)]
pub struct Served {
    pair: Arc<watch::Sender<Option<Arc<Pair>>>>,
    #[cfg(feature = "acme")]
    challenges: challenge::Challenges,
}

impl Served {
    /// Serves a certificate. Without one, every handshake fails until [`Served::replace`] sets one.
    pub fn new(pair: Option<Pair>) -> Served {
        Served {
            pair: Arc::new(watch::Sender::new(pair.map(Arc::new))),
            #[cfg(feature = "acme")]
            challenges: challenge::Challenges::default(),
        }
    }

    /// Returns the certificate that is currently served.
    pub fn pair(&self) -> Option<Arc<Pair>> {
        self.pair.borrow().clone()
    }

    /// Serves another certificate from now on. Open connections continue.
    pub fn replace(&self, pair: Pair) {
        self.pair.send_replace(Some(Arc::new(pair)));
    }

    /// Returns a receiver of every certificate that is served after this call.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Pair>>> {
        self.pair.subscribe()
    }
}

impl ResolvesServerCert for Served {
    /// Returns the same certificate for every name; clients check whether it matches.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        #[cfg(feature = "acme")]
        if challenge::is_challenge(&hello) {
            return self.challenges.answer(&hello);
        }
        #[cfg(not(feature = "acme"))]
        let _ = hello;
        self.pair.borrow().as_ref().map(|pair| pair.key.clone())
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

/// The context's clock, as rustls's time provider.
struct ContextTime(Arc<dyn Clock>);

impl TimeProvider for ContextTime {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

impl std::fmt::Debug for ContextTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextTime").finish_non_exhaustive()
    }
}
