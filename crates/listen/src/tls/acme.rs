//! Gets certificates from an ACME authority (RFC 8555), such as Let's Encrypt, with TLS-ALPN-01 (RFC 8737).

use super::challenge::Answered;
use super::pair::{Files, Pair, PairError};
use super::{AcmeSettings, Served, provider};
use crate::outbound::{OutboundError, Trust, TrustError, exchange};
use crate::whole_file;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, ChallengeHandle, ChallengeType,
    HttpClient, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use kernel::ErrorChain;
use kernel::clock::{Clock, Time};
use oci::{Algorithm, Digest};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Maximum wait for the authority to check the names, and again to sign.
const WAIT: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_secs(120));
/// The wait after a first failure; it doubles up to the longest. Let's Encrypt allows five failures per name and hour.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(60 * 60);
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Why no certificate could be obtained.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the kept account in {} can't be understood", .0.display())]
    Account(PathBuf),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the authority refused, or did not answer")]
    Acme(#[from] instant_acme::Error),
    #[error("the authority offers no TLS-ALPN-01 for {0}")]
    NoChallenge(String),
    #[error("the authority could not reach this server under every name: TLS-ALPN-01 comes to port 443 ({0:?})")]
    Unproven(OrderStatus),
    #[error("a key or certificate can't be made")]
    Rcgen(#[from] rcgen::Error),
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
    #[error("the certificate that came can't be served")]
    Pair(#[from] PairError),
}

/// Keeps a valid certificate in service.
pub struct Acme {
    settings: AcmeSettings,
    trust: Trust,
    /// The directory of the account's and certificate's files. Their names depend on the ACME directory and the domains.
    kept: PathBuf,
    served: Served,
    clock: Arc<dyn Clock>,
}

impl Acme {
    /// Serves the certificate that is stored in `directory`, if any.
    pub fn start(settings: AcmeSettings, directory: &Path, clock: Arc<dyn Clock>) -> Result<Acme, AcmeError> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(io_error("making the directory", directory))?;
        let trust = match &settings.authorities {
            Some(path) => Trust::system_and(path)?,
            None => Trust::system()?,
        };
        let acme = Acme { settings, trust, kept: directory.to_owned(), served: Served::new(None), clock };
        let certificate = acme.certificate_file();
        if certificate.exists() {
            acme.served.replace(read(&certificate)?);
        }
        Ok(acme)
    }

    /// Returns the served certificate, which `run` replaces.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// Obtains the certificate and renews it in time. Never returns.
    pub async fn run(self) {
        let mut retry = FIRST_RETRY;
        loop {
            if let Some(pair) = self.served.pair() {
                self.clock.sleep_until(renewal(&pair)).await;
            }
            match self.renew().await {
                Ok(expires) => {
                    retry = FIRST_RETRY;
                    tracing::info!(domains = self.settings.domains.join(","), expires, "A new certificate is served");
                }
                Err(error) => {
                    tracing::error!(retry_seconds = retry.as_secs(), "No new certificate: {}", ErrorChain(&error));
                    self.clock.sleep_until(self.clock.now().plus(retry)).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// Orders a certificate, stores it, serves it, and returns its expiry as text.
    async fn renew(&self) -> Result<String, AcmeError> {
        let account = self.account().await?;
        let identifiers: Vec<_> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut answered = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or_else(|| AcmeError::NoChallenge(name.clone()))?;
            answered.push(self.answer(&name, &challenge)?);
            challenge.set_ready().await?;
        }
        let status = order.poll_ready(&WAIT).await?;
        if status != OrderStatus::Ready {
            return Err(AcmeError::Unproven(status));
        }
        let key = KeyPair::generate()?;
        let mut request = CertificateParams::new(self.settings.domains.clone())?;
        request.distinguished_name = DistinguishedName::new();
        order.finalize_csr(request.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&WAIT).await?;
        drop(answered);
        let path = self.certificate_file();
        // Key and chain go into one file, so that a crash can't leave only one of them.
        let text = Zeroizing::new(format!("{}{chain}", Zeroizing::new(key.serialize_pem()).as_str()));
        write(&path, text.as_bytes())?;
        let pair = read(&path)?;
        let expires = pair.expires_text();
        self.served.replace(pair);
        Ok(expires)
    }

    /// Answers the authority's check of a name until the result is dropped.
    fn answer(&self, name: &str, challenge: &ChallengeHandle<'_>) -> Result<Answered, AcmeError> {
        let digest = challenge.key_authorization().digest();
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let certificate = params.self_signed(&key)?.der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // Not `from_der`, which rejects the critical extension that TLS-ALPN-01 requires.
        let key = provider().key_provider.load_private_key(key)?;
        Ok(self.served.challenges.put(name, CertifiedKey::new(vec![certificate], key)))
    }

    /// Returns the stored account, or creates one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let path = self.kept_file("account", &[]);
        let builder = Account::builder_with_http(Box::new(Http(self.trust.clone())));
        if let Some(text) = read_optional(&path)? {
            let credentials: AccountCredentials =
                serde_json::from_str(&text).map_err(|_| AcmeError::Account(path.clone()))?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<_> = self.settings.contact.iter().map(String::as_str).collect();
        let account = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&account, self.settings.directory.clone(), None).await?;
        let text = Zeroizing::new(serde_json::to_vec(&credentials).map_err(|_| AcmeError::Account(path.clone()))?);
        write(&path, &text)?;
        Ok(account)
    }

    fn certificate_file(&self) -> PathBuf {
        self.kept_file("certificate", &self.settings.domains)
    }

    /// Returns the path of a file that is specific to this ACME directory and these names.
    fn kept_file(&self, kind: &str, names: &[String]) -> PathBuf {
        let about = format!("{}\n{}", self.settings.directory, names.join("\n"));
        let digest = Digest::of(Algorithm::Sha256, about.as_bytes());
        let tag: String = digest.hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.kept.join(format!("{kind}-{tag}"))
    }
}

/// Returns when to renew a certificate: when a third of its life is left, as Let's Encrypt recommends.
fn renewal(pair: &Pair) -> Time {
    let life = u64::try_from(pair.expires.0.saturating_sub(pair.begins.0)).unwrap_or(0);
    pair.expires.minus(Duration::from_micros(life / 3))
}

/// Reads a certificate with its key from one file.
fn read(path: &Path) -> Result<Pair, PairError> {
    Pair::read(&Files { certificate: path.to_owned(), key: path.to_owned() }, &provider())
}

fn read_optional(path: &Path) -> Result<Option<Zeroizing<String>>, AcmeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("reading", path)(error)),
    }
}

/// Writes a file for the owner alone, which is there whole and durable, or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    whole_file::write(path, bytes, FILE_MODE).map_err(io_error("writing", path))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AcmeError {
    move |source| AcmeError::Io { doing, path: path.to_owned(), source }
}

/// The HTTP client of the ACME client.
struct Http(Trust);

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let trust = self.0.clone();
        Box::pin(async move {
            let other = |error: OutboundError| instant_acme::Error::Other(error.into());
            let answer = exchange(request, || Ok(trust)).await.map_err(other)?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}
