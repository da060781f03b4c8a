//! Settings. Flags override environment variables, which override one TOML file, which overrides the defaults (DESIGN "Names,
//! addresses, settings").

mod certificate;
mod environment;
mod file;
mod limits;
mod listen;
mod root_key;
#[cfg(test)]
mod tests;

pub use certificate::Certificate;
pub use environment::Variables;
pub use limits::OutOfBounds;
pub use listen::{DEFAULT_LISTEN, DEFAULT_PORT, InvalidListenAddress, ListenAddress};
pub use root_key::{InvalidRootKey, RootKeys};

use crate::logging::LogFormat;
use ::listen::addresses::{BaseUrl, Domain, Regions};
use ::listen::forwarded::{ProxyNetwork, TrustedProxies};
use aws::Region;
use identity::credential::ProcessKeys;
use kernel::limits::Limits;
use kernel::quirks::{Quirk, Quirks};
use serde::Deserialize;
use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use zeroize::Zeroizing;

/// The default data directory.
pub const DEFAULT_DATA: &str = "./ecru-data";
/// The default region of the default registry.
pub const DEFAULT_REGION: &str = "us-east-1";
/// The variables of the administrator's keys, which are valid while they are set.
pub const ADMIN_ID: &str = "ECRU_ADMIN_ACCESS_KEY_ID";
pub const ADMIN_SECRET: &str = "ECRU_ADMIN_SECRET_ACCESS_KEY";
/// Default maximum of connections to PostgreSQL: a few per core of a small server, out of its default limit of a hundred.
const POSTGRES_CONNECTIONS: usize = 16;
/// Default maximum wait for PostgreSQL, in seconds.
const POSTGRES_TIMEOUT: u64 = 10;
/// Allowed values of that wait, in seconds: a slow commit takes some, and clients give up after some minutes.
const POSTGRES_TIMEOUTS: RangeInclusive<u64> = 1..=300;

/// The groups of flags in `ecru serve --help`.
const STORES: &str = "Stores";
const ADDRESSES: &str = "Addresses";
const TLS: &str = "TLS";
const LOG: &str = "Log";

/// What one source sets: the flags, the environment, or the file. Absent is "not set here".
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettingsSource {
    /// The data directory [default: ./ecru-data].
    #[arg(long, value_name = "DIR", help_heading = STORES)]
    pub data: Option<PathBuf>,
    /// An address to listen at, several times or with commas, http:// or https://
    /// [default: http://127.0.0.1:5050 and http://[::1]:5050].
    #[arg(long, value_name = "http://ADDR:PORT", value_delimiter = ',', help_heading = ADDRESSES)]
    #[serde(deserialize_with = "file::texts")]
    pub listen: Option<Vec<ListenAddress>>,
    /// The certificate of the https:// listeners in PEM, with those that lead to its authority; `ecru tls init` makes one.
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub tls_key: Option<PathBuf>,
    /// Have the certificate of the https:// listeners made for these names by an authority that speaks ACME, with commas; one
    /// listener must be reached at port 443 under each. Only in a build with the feature `acme`.
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = TLS)]
    #[serde(deserialize_with = "file::texts")]
    pub acme_domains: Option<Vec<String>>,
    /// The e-mail address that the ACME authority writes to.
    #[arg(long, value_name = "ADDRESS", help_heading = TLS)]
    pub acme_contact: Option<String>,
    /// The ACME authority's directory [default: that of Let's Encrypt].
    #[arg(long, value_name = "URL", help_heading = TLS)]
    pub acme_directory: Option<String>,
    /// Who signs the ACME directory's own certificate, in PEM, beside the authorities that the system trusts.
    #[arg(long, value_name = "FILE", help_heading = TLS)]
    pub acme_ca: Option<PathBuf>,
    /// Offer HTTP/2 on the https:// listeners.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = TLS)]
    pub http2: Option<bool>,
    /// Where clients reach this server, such as https://registry.example.com: the base of what its answers name
    /// [default: localhost with the first listener's scheme and port].
    #[arg(long, help_heading = ADDRESSES)]
    #[serde(deserialize_with = "file::text")]
    pub url: Option<BaseUrl>,
    /// The domain under which registries have names as on AWS: ACCOUNT.dkr.ecr.REGION.DOMAIN.
    #[arg(long, help_heading = ADDRESSES)]
    #[serde(deserialize_with = "file::text")]
    pub domain: Option<Domain>,
    /// The regions that are served, with commas; the first is the default registry's [default: us-east-1; any with --dev].
    #[arg(long, value_name = "REGION", value_delimiter = ',', help_heading = ADDRESSES)]
    #[serde(deserialize_with = "file::texts")]
    pub regions: Option<Vec<Region>>,
    /// For a laptop and for CI: the well-known keys test/test, every region, and no listener beyond this machine.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub dev: Option<bool>,
    /// A PostgreSQL database for the metadata, instead of SQLite in the data directory. Prefer ECRU_POSTGRES for a URL
    /// that holds a password: other users of the machine see flags.
    #[arg(long, value_name = "URL", help_heading = STORES)]
    #[serde(deserialize_with = "file::text")]
    pub postgres: Option<PostgresUrl>,
    /// Connections to PostgreSQL at most [default: 16].
    #[arg(long, value_name = "NUMBER", help_heading = STORES)]
    pub postgres_connections: Option<usize>,
    /// Seconds that a wait for PostgreSQL may take before the call is answered 503, 1 to 300 [default: 10].
    #[arg(long, value_name = "SECONDS")]
    pub postgres_timeout: Option<u64>,
    /// Only ECRU_ROOT_KEY sets it.
    #[arg(skip)]
    #[serde(skip)]
    pub root_key: Option<RootKeys>,
    /// A file with the root key, instead of root.key in the data directory: 32 bytes as base64 or hexadecimal digits, or
    /// several as NUMBER:KEY, a line each. ECRU_ROOT_KEY gives the same without a file.
    #[arg(long, value_name = "FILE", help_heading = STORES)]
    pub root_key_file: Option<PathBuf>,
    /// A listener of their own for /metrics and the health paths.
    #[arg(long, value_name = "http://ADDR:PORT", help_heading = ADDRESSES)]
    #[serde(deserialize_with = "file::text")]
    pub metrics_listen: Option<ListenAddress>,
    /// Answer docker's GET of a layer with a redirect to a signed URL.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub redirect_layers: Option<bool>,
    /// The proxies whose X-Forwarded-For, -Proto and -Host are believed: addresses and networks, with commas [default: none].
    #[arg(long, value_name = "ADDR[/BITS]", value_delimiter = ',', help_heading = ADDRESSES)]
    #[serde(deserialize_with = "file::texts")]
    pub trusted_proxies: Option<Vec<ProxyNetwork>>,
    /// How log lines look on stderr [default: text].
    #[arg(long, value_enum, help_heading = LOG)]
    pub log_format: Option<LogFormat>,
    /// The least severe lines that are logged: error, warn, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL", help_heading = LOG)]
    #[serde(deserialize_with = "file::text")]
    pub log_level: Option<LevelFilter>,
    #[arg(skip)]
    quirks: file::QuirkTable,
    #[arg(skip)]
    limits: limits::LimitTable,
}

/// PostgreSQL's URL, with user and password. `Debug` hides it.
#[derive(Clone)]
pub struct PostgresUrl(Zeroizing<String>);

impl PostgresUrl {
    /// Returns the URL, including its password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresUrl")
    }
}

impl std::str::FromStr for PostgresUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<PostgresUrl, Infallible> {
        Ok(PostgresUrl(Zeroizing::new(text.to_owned())))
    }
}

/// The engine of the metadata store.
#[derive(Clone, Debug)]
pub enum MetadataStore {
    /// `ecru.db` in the data directory.
    Sqlite,
    Postgres {
        url: PostgresUrl,
        connections: usize,
        /// Maximum wait for the server.
        timeout: Duration,
    },
}

/// All settings, resolved from their sources and checked.
pub struct Settings {
    pub data: PathBuf,
    /// At least one address.
    pub listen: Vec<ListenAddress>,
    /// Whether `listen` is [`DEFAULT_LISTEN`], whose IPv6 half may be missing.
    pub listen_is_default: bool,
    /// The certificate of the https:// listeners; present if there is such a listener.
    pub certificate: Option<Certificate>,
    /// Whether the https:// listeners offer HTTP/2.
    pub http2: bool,
    pub url: Option<BaseUrl>,
    pub domain: Option<Domain>,
    pub regions: Regions,
    /// Keys that are valid in this process only: those of `--dev` and ECRU_ADMIN_*.
    pub process_keys: ProcessKeys,
    pub metadata: MetadataStore,
    /// `None`: `root.key` in the data directory.
    pub root_keys: Option<RootKeys>,
    pub metrics_listen: Option<ListenAddress>,
    pub redirect_layers: bool,
    pub trusted_proxies: TrustedProxies,
    pub log_format: LogFormat,
    pub log_level: LevelFilter,
    pub quirks: Quirks,
    pub limits: Limits,
    /// Variables named `ECRU_*` that nothing reads, for a warning.
    pub unknown_variables: Vec<String>,
}

/// Why the settings can't be used. No variant shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings file {} can't be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}, line {line}: {reason}", path.display())]
    File { path: PathBuf, line: usize, reason: String },
    #[error("{name}: {reason}")]
    Variable { name: &'static str, reason: String },
    #[error("quirks.{0} is not a quirk; these are: {known}", known = quirk_names())]
    UnknownQuirk(String),
    #[error(transparent)]
    Limit(#[from] OutOfBounds),
    #[error("the root key file {} can't be read", path.display())]
    RootKeyUnreadable { path: PathBuf, source: std::io::Error },
    #[error("the root key file {} is wrong", path.display())]
    RootKeyFile { path: PathBuf, source: InvalidRootKey },
    #[error("ECRU_ROOT_KEY and ECRU_ROOT_KEY_FILE are both set; set one of them")]
    TwoRootKeys,
    #[error(
        "PostgreSQL needs a root key that all nodes share: set ECRU_ROOT_KEY or root_key_file (`openssl rand -base64 32` makes one)"
    )]
    NoRootKey { data: PathBuf },
    #[error("PostgreSQL needs a root key that all nodes share, named by a setting: --root-key-file {} is this store's", .0.display())]
    RootKeyNotNamed(PathBuf),
    #[error("postgres_connections must be 2 or more: one is for look-ups, one for changes")]
    TooFewConnections,
    #[error("postgres_timeout must be from {least} to {most} seconds", least = POSTGRES_TIMEOUTS.start(), most = POSTGRES_TIMEOUTS.end())]
    PostgresTimeout,
    #[error("listen: there must be one address at least")]
    NoListener,
    #[error("tls_cert and tls_key must be set together")]
    HalfCertificate,
    #[error("{0} needs a certificate: set --tls-cert and --tls-key (`ecru tls init` makes both files)")]
    NoCertificate(ListenAddress),
    #[error("{0} is set, but no listener is https://; name one, such as --listen https://127.0.0.1:5050")]
    NoTlsListener(&'static str),
    #[error("tls_cert and acme_domains are both set; set one of them")]
    TwoCertificates,
    #[error("acme_domains must name one domain at least")]
    NoAcmeDomains,
    #[error("acme_domains: {0} is a wildcard, which the authority would have to prove by DNS; name each host")]
    AcmeWildcard(String),
    #[error("acme_domains needs an ecru that was built with ACME: cargo build --release --features acme")]
    NoAcme,
    #[error("regions: there must be one region at least")]
    NoRegion,
    #[error(
        "--dev has well-known keys and listens on this machine alone, so {0} is refused: use 127.0.0.1 or [::1]; in a container leave --dev out, and set {ADMIN_ID} and {ADMIN_SECRET}"
    )]
    DevBeyondLoopback(ListenAddress),
    #[error("{ADMIN_ID} and {ADMIN_SECRET} must be set together")]
    HalfAdministrator,
}

fn quirk_names() -> String {
    Quirks::TABLE.iter().map(|quirk: &Quirk| quirk.name).collect::<Vec<_>>().join(", ")
}

impl SettingsSource {
    /// Merges two sources: `self` overrides `other`.
    fn over(self, other: SettingsSource) -> SettingsSource {
        // A key and a file of keys are the same setting, so the higher source's replaces both.
        let (root_key, root_key_file) = match (&self.root_key, &self.root_key_file) {
            (None, None) => (other.root_key, other.root_key_file),
            _ => (self.root_key, self.root_key_file),
        };
        // A key belongs to its certificate, so both come from the same source.
        let (tls_cert, tls_key) = match (&self.tls_cert, &self.tls_key) {
            (None, None) => (other.tls_cert, other.tls_key),
            _ => (self.tls_cert, self.tls_key),
        };
        SettingsSource {
            data: self.data.or(other.data),
            listen: self.listen.or(other.listen),
            tls_cert,
            tls_key,
            acme_domains: self.acme_domains.or(other.acme_domains),
            acme_contact: self.acme_contact.or(other.acme_contact),
            acme_directory: self.acme_directory.or(other.acme_directory),
            acme_ca: self.acme_ca.or(other.acme_ca),
            http2: self.http2.or(other.http2),
            url: self.url.or(other.url),
            domain: self.domain.or(other.domain),
            regions: self.regions.or(other.regions),
            dev: self.dev.or(other.dev),
            postgres: self.postgres.or(other.postgres),
            postgres_connections: self.postgres_connections.or(other.postgres_connections),
            postgres_timeout: self.postgres_timeout.or(other.postgres_timeout),
            root_key,
            root_key_file,
            metrics_listen: self.metrics_listen.or(other.metrics_listen),
            redirect_layers: self.redirect_layers.or(other.redirect_layers),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            log_format: self.log_format.or(other.log_format),
            log_level: self.log_level.or(other.log_level),
            // Only the file has tables, and it is the last source.
            quirks: other.quirks,
            limits: other.limits,
        }
    }
}

/// Resolves the settings from the flags, the environment and the file that `config` or ECRU_CONFIG names. `names` are the names
/// of all variables, to warn about unknown ones.
pub fn resolve(
    flags: SettingsSource,
    config: Option<&Path>,
    variables: Variables<'_>,
    names: impl Iterator<Item = String>,
) -> Result<Settings, SettingsError> {
    let given = gather(flags, config, variables)?;
    let mut settings = settings(given, administrator(variables)?)?;
    settings.unknown_variables = environment::unknown(names);
    Ok(settings)
}

fn settings(given: SettingsSource, admin: Option<(String, Zeroizing<String>)>) -> Result<Settings, SettingsError> {
    let dev = given.dev.unwrap_or(false);
    // Where to listen. `--dev` serves this machine alone.
    let listen_is_default = given.listen.is_none();
    let listen = given.listen.unwrap_or_else(|| DEFAULT_LISTEN.to_vec());
    if listen.is_empty() {
        return Err(SettingsError::NoListener);
    }
    if let Some(open) = listen.iter().chain(&given.metrics_listen).find(|address| dev && !address.is_loopback()) {
        return Err(SettingsError::DevBeyondLoopback(*open));
    }
    // The certificate, which the https:// listeners need.
    let certificate = certificate::CertificateSettings {
        certificate: given.tls_cert,
        key: given.tls_key,
        domains: given.acme_domains,
        contact: given.acme_contact,
        directory: given.acme_directory,
        authorities: given.acme_ca,
    };
    let certificate = certificate::certificate(certificate, listen.iter().chain(&given.metrics_listen))?;
    // The stores. Several nodes may share a PostgreSQL, so its root key can't be in one node's data directory.
    let root_keys = root_keys(given.root_key, given.root_key_file)?;
    let data = given.data.unwrap_or_else(|| DEFAULT_DATA.into());
    let metadata = match given.postgres {
        None => MetadataStore::Sqlite,
        Some(_) if root_keys.is_none() => return Err(SettingsError::NoRootKey { data }),
        Some(url) => {
            let connections = given.postgres_connections.unwrap_or(POSTGRES_CONNECTIONS);
            let timeout = postgres_timeout(given.postgres_timeout)?;
            MetadataStore::Postgres { url, connections, timeout }
        }
    };
    if given.postgres_connections.is_some_and(|connections| connections < 2) {
        return Err(SettingsError::TooFewConnections);
    }
    postgres_timeout(given.postgres_timeout)?;
    Ok(Settings {
        data,
        listen,
        listen_is_default,
        certificate,
        http2: given.http2.unwrap_or(false),
        url: given.url,
        domain: given.domain,
        regions: regions(given.regions, dev)?,
        process_keys: ProcessKeys { dev, admin },
        metadata,
        root_keys,
        metrics_listen: given.metrics_listen,
        redirect_layers: given.redirect_layers.unwrap_or(false),
        trusted_proxies: given.trusted_proxies.unwrap_or_default().into(),
        log_format: given.log_format.unwrap_or_default(),
        log_level: given.log_level.unwrap_or(LevelFilter::INFO),
        quirks: file::quirks(&given.quirks).map_err(SettingsError::UnknownQuirk)?,
        limits: given.limits.limits()?,
        unknown_variables: Vec::new(),
    })
}

fn regions(given: Option<Vec<Region>>, dev: bool) -> Result<Regions, SettingsError> {
    let mut given = match given {
        Some(regions) => regions.into_iter(),
        None => Vec::from_iter(DEFAULT_REGION.parse::<Region>()).into_iter(),
    };
    let first = given.next().ok_or(SettingsError::NoRegion)?;
    Ok(if dev { Regions::Any(first) } else { Regions::Only(first, given.collect()) })
}

fn root_keys(key: Option<RootKeys>, file: Option<PathBuf>) -> Result<Option<RootKeys>, SettingsError> {
    match (key, file) {
        (Some(_), Some(_)) => Err(SettingsError::TwoRootKeys),
        (key, None) => Ok(key),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Err(source) => Err(SettingsError::RootKeyUnreadable { path, source }),
            Ok(text) => match Zeroizing::new(text).parse() {
                Ok(keys) => Ok(Some(keys)),
                Err(source) => Err(SettingsError::RootKeyFile { path, source }),
            },
        },
    }
}

fn postgres_timeout(given: Option<u64>) -> Result<Duration, SettingsError> {
    let seconds = given.unwrap_or(POSTGRES_TIMEOUT);
    if !POSTGRES_TIMEOUTS.contains(&seconds) {
        return Err(SettingsError::PostgresTimeout);
    }
    Ok(Duration::from_secs(seconds))
}

/// The location of the stores, for a command that uses them beside a running server.
pub struct StoreSettings {
    pub data: PathBuf,
    pub metadata: MetadataStore,
    /// `None`: `root.key` in the data directory, if it exists.
    pub root_keys: Option<RootKeys>,
    pub limits: Limits,
    pub quirks: Quirks,
}

/// Resolves the store settings from the flags, the environment and the file that `config` or ECRU_CONFIG names.
pub fn stores(
    data: Option<PathBuf>,
    postgres: Option<PostgresUrl>,
    config: Option<&Path>,
    variables: Variables<'_>,
) -> Result<StoreSettings, SettingsError> {
    let flags = SettingsSource { data, postgres, ..SettingsSource::default() };
    let given = gather(flags, config, variables)?;
    let connections = given.postgres_connections.unwrap_or(POSTGRES_CONNECTIONS);
    Ok(StoreSettings {
        data: given.data.unwrap_or_else(|| DEFAULT_DATA.into()),
        metadata: match given.postgres {
            None => MetadataStore::Sqlite,
            Some(url) => {
                MetadataStore::Postgres { url, connections, timeout: postgres_timeout(given.postgres_timeout)? }
            }
        },
        root_keys: root_keys(given.root_key, given.root_key_file)?,
        limits: given.limits.limits()?,
        quirks: file::quirks(&given.quirks).map_err(SettingsError::UnknownQuirk)?,
    })
}

/// Merges the sources: flags override the environment, which overrides the file.
fn gather(
    flags: SettingsSource,
    config: Option<&Path>,
    variables: Variables<'_>,
) -> Result<SettingsSource, SettingsError> {
    let environment = environment::read(variables)?;
    let config = config.map(Path::to_owned).or_else(|| environment::set(variables, "ECRU_CONFIG").map(PathBuf::from));
    let file = config.as_deref().map(file::read).transpose()?.unwrap_or_default();
    Ok(flags.over(environment.over(file)))
}

/// Reads the administrator's keys from the environment: both or neither.
pub fn administrator(variables: Variables<'_>) -> Result<Option<(String, Zeroizing<String>)>, SettingsError> {
    match (environment::set(variables, ADMIN_ID), environment::set(variables, ADMIN_SECRET).map(Zeroizing::new)) {
        (Some(id), Some(secret)) => Ok(Some((id, secret))),
        (None, None) => Ok(None),
        _ => Err(SettingsError::HalfAdministrator),
    }
}
