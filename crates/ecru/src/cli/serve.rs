//! `ecru serve`: runs the server from its settings to its end.

mod certificate;
mod greeting;
mod listeners;
mod signals;
pub mod stores;
#[cfg(test)]
mod tests;

pub use listeners::ListenError;

use crate::cli::stores::{StoreError, Stores};
use crate::config::{self, DEFAULT_PORT, Settings, SettingsError, SettingsSource};
use crate::data_dir::{DataDir, DataDirError, Endpoint, ROOT_KEY_FILE};
use crate::doors::EveryDoor;
use crate::logging::{self, LoggingError};
use certificate::Keeper;
use greeting::Greeting;
use kernel::{ErrorChain, System};
use listen::addresses::{Addresses, Names, Scheme};
use listen::app::App;
use listen::connections::ConnectionLimits;
use listen::listener::{self, Listener};
use listen::local_only::Answers;
use listen::memory::BudgetSizes;
use listen::tls::PairError;
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit, umask};
use signals::Signals;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

/// How long running jobs may continue after the last request has ended. A job that is cut off runs again at the next start.
const JOBS_DRAIN_TIME: Duration = Duration::from_secs(3);

/// Serves the registry until it is told to stop.
#[derive(Debug, clap::Args)]
pub struct Serve {
    /// A file of settings, in TOML; ECRU_CONFIG names one too. Every other setting is an ECRU_* variable as well.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub given: SettingsSource,
    /// Flags of other servers.
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// Flags of other servers. Each is refused with the name of our flag.
#[derive(Debug, clap::Args)]
struct Elsewhere {
    #[arg(long, short, hide = true, value_parser = port)]
    port: Option<Infallible>,
    #[arg(long, hide = true, aliases = ["bind", "address"], value_parser = host)]
    host: Option<Infallible>,
}

fn port(text: &str) -> Result<Infallible, String> {
    let port = text.parse().unwrap_or(DEFAULT_PORT);
    Err(format!("use --listen http://127.0.0.1:{port}"))
}

fn host(text: &str) -> Result<Infallible, String> {
    let address = text.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Err(format!("use --listen http://{}", SocketAddr::new(address, DEFAULT_PORT)))
}

/// Why a server did not start, or ended without being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Logging(#[from] LoggingError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Certificate(#[from] PairError),
    #[cfg(feature = "acme")]
    #[error(transparent)]
    Acme(#[from] listen::tls::acme::AcmeError),
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("signals can't be received")]
    Signals(#[source] std::io::Error),
    #[error("a part of the server ended before it was told to")]
    Broke(#[source] Option<JoinError>),
    #[error("stopped at once by a second signal; requests that ran were cut off")]
    Interrupted,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT, then lets running requests and jobs end. A second signal ends it at once.
    pub async fn run(self) -> Result<(), ServeError> {
        let variables = |name: &str| std::env::var(name).ok();
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let settings = config::resolve(self.given, self.config.as_deref(), &variables, names);
        let settings = settings.map_err(with_the_store)?;
        let _gathering = logging::start(settings.log_format, settings.log_level)?;
        // Files of the stores are accessible to the owner only, even in a directory that another program created.
        umask(Mode::RWXG | Mode::RWXO);
        warn_of(&settings);
        let mut signals = Signals::new().map_err(ServeError::Signals)?;
        let server = tokio::select! {
            server = start(settings) => server?,
            // Nothing is served yet, and every step of the start may be interrupted safely.
            () = signals.next() => return Ok(()),
        };
        server.run(&mut signals).await
    }
}

/// Says what the data directory knows about a missing root key: a new one is no cure for a store that has one.
fn with_the_store(error: SettingsError) -> ServeError {
    let SettingsError::NoRootKey { data } = &error else { return error.into() };
    if let Err(other) = Stores::expect_postgres(data) {
        return other.into();
    }
    let root_key = data.join(ROOT_KEY_FILE);
    match root_key.exists() {
        true => SettingsError::RootKeyNotNamed(root_key).into(),
        false => error.into(),
    }
}

fn warn_of(settings: &Settings) {
    for name in &settings.unknown_variables {
        tracing::warn!(variable = name, "No setting has this name; the variable is ignored");
    }
    for region in settings.regions.named().filter(|region| !region.has_form_of_aws()) {
        tracing::warn!("AWS has no region named {region}: clients reach this one only if they set just this name");
    }
    let loopback = |address: &config::ListenAddress| address.is_loopback();
    if settings.url.is_none() && settings.domain.is_none() && !settings.listen.iter().all(loopback) {
        tracing::warn!(
            "Answers name this server as localhost, which is another machine to clients elsewhere: set --url to where they reach it"
        );
    }
    let proxied = settings.url.as_ref().is_some_and(|url| url.scheme == Scheme::Https);
    if let Some(open) = settings.listen.iter().find(|address| address.scheme == Scheme::Http && !address.is_loopback())
        && !proxied
    {
        tracing::warn!(
            "{open} is plain HTTP beyond this machine, where keys and images can be read on their way: \
             listen at https:// (`ecru tls init` makes a certificate), or set --url to the https:// of a proxy before it"
        );
    }
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "The number of open files can't be raised to what the system allows");
    }
}

/// Raises the limit of open files. Every connection and transfer needs a file descriptor; the default limit is often 1024, and
/// the hard limit much higher.
fn raise_open_files() -> Result<(), rustix::io::Errno> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)
}

/// Limits the connections to what the limit of open files allows.
fn connection_limits() -> ConnectionLimits {
    let (usual, files) = (ConnectionLimits::default(), getrlimit(Resource::Nofile).current);
    let limits = usual.within(files);
    if limits.connections < usual.connections {
        tracing::warn!(
            connections = limits.connections,
            open_files = files,
            "Fewer connections than {} are served at once, as the system's limit of open files is low: raise it \
             (LimitNOFILE of systemd, ulimit -n)",
            usual.connections
        );
    } else {
        tracing::info!(connections = limits.connections, open_files = files, "Connections that are served at once");
    }
    limits
}

/// A server that is about to accept its first connection.
struct Server {
    /// The lock on the data directory, held until everything that uses the directory has ended.
    _data: DataDir,
    app: Arc<App>,
    listeners: Vec<Listener>,
    /// Renews or reloads the certificate, if there is one.
    certificate: Option<Keeper>,
    greeting: String,
    limits: ConnectionLimits,
}

async fn start(settings: Settings) -> Result<Server, ServeError> {
    let data = DataDir::open(&settings.data)?;
    let certificate = Keeper::start(&settings)?;
    let tls = certificate.as_ref().map(|keeper| keeper.tls(settings.http2)).transpose()?;
    // Bind first, so that a taken port is found before anything is written to the stores.
    let listeners = listeners::bind(&settings, tls.as_ref())?;
    let (system, administrator) = stores::open(&settings, &data).await?;
    // Derive the names that clients use from the settings and the first listener.
    let (scheme, port) = listeners.first().map_or((Scheme::Http, 0), |first| (first.scheme(), first.address().port()));
    let names = Names { url: settings.url, domain: settings.domain, regions: settings.regions, scheme, port };
    let addresses = Addresses::new(names);
    let registry = addresses.default_registry();
    let endpoint = Endpoint {
        url: addresses.base_url().to_owned(),
        region: addresses.default_region().to_string(),
        registry: addresses.registry_host(registry),
        dev: settings.process_keys.dev,
        health: listeners::health(&listeners),
        admin: settings.process_keys.admin.is_some(),
        ca: settings.certificate.as_ref().and_then(certificate::authority_file),
    };
    // Publish the address for `ecru env` and `ecru health`. The server works without it, so a full disk does not prevent the
    // start.
    if let Err(error) = data.write_endpoint(&endpoint) {
        tracing::warn!("`ecru env` and `ecru health` may not find this server: {}", ErrorChain(&error));
    }
    // Prepare the greeting.
    let mut doors: Vec<_> = listeners.iter().map(Listener::url).collect();
    let greeting = Greeting {
        endpoint: &endpoint,
        metrics: settings.metrics_listen.and_then(|_| doors.pop()),
        listeners: doors,
        data: &data,
        administrator: &administrator,
        program: program(),
        terminal: std::io::IsTerminal::is_terminal(&std::io::stdout()),
    };
    let greeting = greeting.text();
    // The keys of `--dev` are public, so only this machine may use them.
    let answers = if settings.process_keys.dev { Answers::LocalOnly } else { Answers::Everybody };
    let app = App::new(
        system,
        addresses,
        settings.process_keys,
        settings.redirect_layers,
        settings.trusted_proxies,
        answers,
        BudgetSizes::default(),
    );
    if let Some(keeper) = &certificate {
        app.metrics.show_certificate(keeper.served().clone());
    }
    Ok(Server { _data: data, app, listeners, certificate, greeting, limits: connection_limits() })
}

/// Returns how another shell can call this program: by its name if it was found on the PATH, otherwise by its path.
fn program() -> PathBuf {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    match called.parent() {
        // Found on the PATH.
        Some(parent) if parent.as_os_str().is_empty() && called.file_name().is_some() => called,
        _ => std::path::absolute(&called).ok().filter(|path| path.exists()).unwrap_or_else(|| "ecru".into()),
    }
}

impl Server {
    async fn run(self, signals: &mut Signals) -> Result<(), ServeError> {
        let system: Arc<System> = self.app.system.clone();
        // Start the jobs.
        let (stop_doors, doors_stopped) = watch::channel(false);
        let (stop_jobs, jobs_stopped) = watch::channel(false);
        let mut jobs = tokio::spawn(system.clone().run(jobs_stopped));
        // Check the database in the background, because a large one takes a while. Damage is logged and ends readiness.
        let checked = system.clone();
        drop(tokio::spawn(async move {
            if let Err(error) = checked.db.check_whole().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "The database could not be checked whole");
            }
        }));
        // Start the doors, and keep the certificate new.
        let mut doors = tokio::spawn(listener::serve(
            self.app.clone(),
            EveryDoor::default(),
            self.listeners,
            self.limits,
            doors_stopped,
        ));
        let mut renewing = self.certificate.map(|keeper| keeper.run(signals)).unwrap_or_default();
        greet(&self.greeting);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), metadata = system.db.engine(), "Serving");
        tokio::select! {
            () = signals.next() => {}
            ended = &mut doors => return Err(ServeError::Broke(ended.err())),
            ended = &mut jobs => return Err(ServeError::Broke(ended.err())),
            Some(ended) = renewing.join_next() => return Err(ServeError::Broke(ended.err())),
        }
        tracing::info!(
            "Stopping: running requests have up to {} s to end; a second signal or Ctrl-C again stops at once",
            listener::DRAIN_TIME.as_secs()
        );
        // Stop in order: first the doors, then the jobs, which requests enqueue, and last the database.
        self.app.health.drain();
        stop_doors.send_replace(true);
        let stopped = async {
            doors.await.map_err(|error| ServeError::Broke(Some(error)))?;
            stop_jobs.send_replace(true);
            end_jobs(jobs).await?;
            system.db.close().await;
            Ok::<(), ServeError>(())
        };
        tokio::select! {
            stopped = stopped => stopped?,
            () = signals.next() => return Err(ServeError::Interrupted),
        }
        tracing::info!("Stopped");
        Ok(())
    }
}

async fn end_jobs(mut jobs: JoinHandle<()>) -> Result<(), ServeError> {
    match tokio::time::timeout(JOBS_DRAIN_TIME, &mut jobs).await {
        Ok(ended) => ended.map_err(|error| ServeError::Broke(Some(error))),
        Err(_) => {
            jobs.abort();
            tracing::warn!("Jobs that did not end in {} s are cut off, to run again", JOBS_DRAIN_TIME.as_secs());
            Ok(())
        }
    }
}

/// Prints the greeting to stdout. A failure is only logged, because stdout may be closed.
fn greet(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::warn!(%error, "The greeting can't be written to stdout");
    }
}
