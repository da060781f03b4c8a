//! Runs the whole server in process: its doors behind a real listener, its stores in a directory that is removed with the test.

use crate::aws_caller::{AwsCaller, Outcome};
use crate::chance::Seeded;
use crate::clock::TestClock;
use crate::postgres::TestDatabase;
use crate::secure::Secure;
use crate::{Model, leftovers};
use blob::disk::RealDisk;
use blob::faulty::FaultyEngine;
use blob::fs::FsEngine;
use call::Services;
use ecru::doors::EveryDoor;
use identity::credential::ProcessKeys;
use kernel::keys::Keys;
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use kernel::{Parts, System};
use listen::addresses::{Addresses, Names, Regions, Scheme};
use listen::app::App;
use listen::connections::ConnectionLimits;
use listen::forwarded::TrustedProxies;
use listen::listener::{Listener, Serves};
use listen::local_only::Answers;
use listen::memory::{BudgetSizes, Budgets};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// The settings of a test's server.
#[derive(Clone, Default)]
pub struct Builder {
    quirks: Quirks,
    limits: Limits,
    redirect_layers: bool,
    trusted_proxies: TrustedProxies,
    tls: Option<Http2>,
    memory: BudgetSizes,
    answers: Answers,
    connections: ConnectionLimits,
    /// The services behind the AWS door; `None` means the program's.
    services: Option<Services>,
    /// Maximum layer files open for reading; `None` means no limit.
    open_files: Option<usize>,
    /// The URL of this test's own PostgreSQL server, and the maximum wait for it.
    postgres: Option<(String, Duration)>,
}

/// The maximum wait for PostgreSQL when a server ends.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether HTTP/2 is offered over TLS.
type Http2 = bool;

impl Builder {
    pub fn quirks(mut self, quirks: Quirks) -> Builder {
        self.quirks = quirks;
        self
    }
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }
    /// Answers blob GETs with 307 to a signed layer URL.
    pub fn redirect_layers(mut self) -> Builder {
        self.redirect_layers = true;
        self
    }
    /// Sets the proxies whose forwarded headers are trusted.
    pub fn trusted_proxies(mut self, networks: &[&str]) -> Builder {
        let networks: Vec<_> = networks.iter().map(|network| network.parse().expect("a network")).collect();
        self.trusted_proxies = networks.into();
        self
    }
    /// Answers only this machine and no page of another origin, as `--dev` does.
    pub fn local_only(mut self) -> Builder {
        self.answers = Answers::LocalOnly;
        self
    }
    /// Replaces the services behind the AWS door.
    pub fn services(mut self, services: Services) -> Builder {
        self.services = Some(services);
        self
    }
    /// Sets the memory budgets of bodies and answers.
    pub fn memory(mut self, sizes: BudgetSizes) -> Builder {
        self.memory = sizes;
        self
    }
    /// Sets the maximum layer files open for reading.
    pub fn open_files(mut self, max: usize) -> Builder {
        self.open_files = Some(max);
        self
    }

    /// Sets the limits of connections.
    pub fn connections(mut self, limits: ConnectionLimits) -> Builder {
        self.connections = limits;
        self
    }
    /// Adds a listener with TLS, and HTTP/2 if `http2`.
    pub fn tls(mut self, http2: bool) -> Builder {
        self.tls = Some(http2);
        self
    }
    /// Puts the records into the test's own PostgreSQL server, with `timeout` as the maximum wait for it.
    pub fn postgres(mut self, url: String, timeout: Duration) -> Builder {
        self.postgres = Some((url, timeout));
        self
    }
    pub async fn start(self) -> TestApp {
        let environment = Environment {
            settings: self,
            directory: Directory::new(),
            database: TestDatabase::wanted().await,
            clock: Arc::default(),
            root_keys: ROOT_KEYS.to_vec(),
            starts: AtomicU64::new(0),
        };
        TestApp::over(environment).await
    }
}

/// The number of the first start of a second node.
const SECOND_NODE: u64 = 500;

/// The root keys of a server, unless its test rotates them.
const ROOT_KEYS: [(u32, u8); 1] = [(1, 7)];

/// The directory of the stores.
struct Directory {
    path: PathBuf,
    /// Removed with the test, unless the test removes it itself.
    _made: Option<TempDir>,
}

impl Directory {
    /// Creates a directory for one test, in memory if possible, because the disk is not what is tested.
    fn new() -> Directory {
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let made = made.expect("a directory for the test");
        Directory { path: made.path().to_owned(), _made: Some(made) }
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// What survives a restart of the server: its settings, stores and clock.
struct Environment {
    settings: Builder,
    directory: Directory,
    /// `None` on SQLite.
    database: Option<TestDatabase>,
    clock: Arc<TestClock>,
    /// The root keys, each as its number and the byte that all its bytes are.
    root_keys: Vec<(u32, u8)>,
    /// Number of starts of the server. It seeds ids, which must not repeat after a restart.
    starts: AtomicU64,
}

impl Environment {
    /// Finds what the server left behind, by a connection of its own.
    async fn leftovers(&self) -> Vec<String> {
        let db = match &self.database {
            Some(database) => meta::Db::attach_postgres(&database.url(), 1, DATABASE_TIMEOUT).await,
            None => meta::Db::attach_sqlite(self.directory.path().join("ecru.db")).await,
        };
        let db = db.expect("the records");
        let left = leftovers::find(&db, &self.directory.path().join("layers")).await;
        db.close().await;
        left
    }
}

/// A running server. Dropping it fails the test if bytes, layers or jobs are left behind.
pub struct TestApp {
    pub address: SocketAddr,
    pub clock: Arc<TestClock>,
    /// Makes calls of the layer store fail or block.
    pub faults: FaultyEngine,
    pub system: Arc<System>,
    /// The memory budgets of bodies and answers.
    pub budgets: Arc<Budgets>,
    pub ecr_model: Model,
    secure: Option<Secure>,
    running: Option<Running>,
}

struct Running {
    environment: Environment,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl TestApp {
    /// Starts a server with the defaults: `--dev` keys, every region, SQLite unless ECRU_TEST_ENGINE is `postgres`.
    pub async fn start() -> TestApp {
        TestApp::builder().start().await
    }

    /// Starts a server over existing stores, such as restored ones, with the tests' root key.
    pub async fn over_stores(data: &Path, database: Option<TestDatabase>) -> TestApp {
        let directory = Directory { path: data.to_owned(), _made: None };
        let environment = Environment {
            settings: Builder::default(),
            directory,
            database,
            clock: Arc::default(),
            root_keys: ROOT_KEYS.to_vec(),
            // Ids must differ from those of the server that created the stores.
            starts: AtomicU64::new(1000),
        };
        TestApp::over(environment).await
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        self.running.as_ref().expect("a server runs until it is dropped").environment.directory.path()
    }

    /// The PostgreSQL database, if the records are in one.
    pub fn database(&self) -> Option<&TestDatabase> {
        self.running.as_ref().expect("a server runs until it is dropped").environment.database.as_ref()
    }

    /// Starts a second node over the same database and layer store, with the same clock. `None` on SQLite, which has one node.
    pub async fn second_node(&self) -> Option<TestApp> {
        let environment = &self.running.as_ref().expect("a server runs until it is dropped").environment;
        let database = environment.database.as_ref()?.again();
        let environment = Environment {
            settings: environment.settings.clone(),
            directory: Directory { path: environment.directory.path.clone(), _made: None },
            database: Some(database),
            clock: environment.clock.clone(),
            root_keys: environment.root_keys.clone(),
            // Ids must differ from those of the first node.
            starts: AtomicU64::new(SECOND_NODE),
        };
        Some(TestApp::over(environment).await)
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn over(environment: Environment) -> TestApp {
        let start = environment.starts.fetch_add(1, Ordering::Relaxed);
        let buffers = blob::Buffers::new(64).with_open_files(environment.settings.open_files.unwrap_or(usize::MAX));
        let layers =
            FsEngine::open(environment.directory.path().join("layers"), Arc::new(RealDisk), buffers.clone()).await;
        let faults = FaultyEngine::new(Arc::new(layers.expect("the layer store")));
        let now_us = kernel::clock::Clock::now(environment.clock.as_ref()).0;
        let db = match (&environment.settings.postgres, &environment.database) {
            (Some((url, timeout)), _) => {
                let (url, timeout) = (url.clone(), *timeout);
                let config = meta::PostgresConfig { url, max_connections: 8, timeout, now_us };
                meta::Db::postgres(config).await.expect("the test's own PostgreSQL")
            }
            (None, Some(database)) => database.open(environment.clock.as_ref()).await,
            (None, None) => {
                meta::Db::sqlite(meta::SqliteConfig { path: environment.directory.path().join("ecru.db"), now_us })
                    .await
                    .expect("SQLite")
            }
        };
        let root_keys = environment.root_keys.iter().map(|(number, byte)| (*number, Zeroizing::new([*byte; 32])));
        let parts = Parts {
            db,
            blobs: Arc::new(faults.clone()),
            buffers,
            clock: environment.clock.clone(),
            random: Arc::new(Seeded::new(start)),
            keys: Keys::new(root_keys.collect()).expect("a root key"),
            limits: environment.settings.limits.clone(),
            quirks: environment.settings.quirks.clone(),
        };
        let system = Arc::new(System::new(parts, ecru::doors::DOMAINS));
        identity::bootstrap::prove_root_keys(&system).await.expect("the root key");
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(system.clone().run(stopped.clone()));
        let secure = environment
            .settings
            .tls
            .map(|http2| Secure::bind(environment.directory.path(), http2, environment.clock.clone()));
        let (mut listeners, secure) = match secure {
            None => (Vec::new(), None),
            Some((listener, secure)) => (vec![listener], Some(secure)),
        };
        let any = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(any, Serves::Everything).expect("a port");
        let address = listener.address();
        listeners.insert(0, listener);
        let budgets = serve(&system, &environment.settings, listeners, stopped, &mut tasks);
        let clock = environment.clock.clone();
        let running = Some(Running { environment, stop, tasks });
        TestApp { address, clock, faults, system, budgets, ecr_model: Model::load("ecr"), secure, running }
    }

    /// The TLS listener; the builder must have added one.
    pub fn secure(&self) -> &Secure {
        self.secure.as_ref().expect("Builder::tls")
    }

    /// The directory that the stores are in.
    pub fn data(&self) -> &Path {
        self.running.as_ref().expect("a server runs until it is dropped").environment.directory.path()
    }

    /// Tells the server to stop, as SIGTERM does, without waiting for it.
    pub fn stop(&self) {
        self.running.as_ref().expect("a server runs until it is dropped").stop.send_replace(true);
    }

    /// Stops the server as SIGTERM does and starts another over the same stores.
    pub async fn restart(self) -> TestApp {
        let keys = self.running.as_ref().expect("a server runs until it is dropped").environment.root_keys.clone();
        self.restart_with_root_keys(&keys).await
    }

    /// The same with other root keys, each as its number and the byte that all its bytes are.
    pub async fn restart_with_root_keys(mut self, root_keys: &[(u32, u8)]) -> TestApp {
        let mut running = self.running.take().expect("a server runs until it is dropped");
        running.stop.send_replace(true);
        while let Some(ended) = running.tasks.join_next().await {
            ended.expect("a task of the server panicked");
        }
        self.system.db.close().await;
        TestApp::over(Environment { root_keys: root_keys.to_vec(), ..running.environment }).await
    }

    pub fn now(&self) -> kernel::clock::Time {
        self.system.now()
    }

    /// The administrator of the default account, 000000000000, in us-east-1.
    pub fn administrator(&self) -> AwsCaller<'_> {
        self.account("000000000000", "us-east-1")
    }

    /// The administrator of any account, in any region, by the keys of `--dev`.
    pub fn account(&self, account: &str, region: &str) -> AwsCaller<'_> {
        let (access_key_id, region) = (account.to_owned(), region.to_owned());
        AwsCaller {
            app: self,
            access_key_id,
            secret: "test".to_owned(),
            session_token: None,
            region,
            host: None,
            ahead: Duration::ZERO,
        }
    }

    /// The owner of an access key, in us-east-1.
    pub fn with_key(&self, access_key_id: &str, secret: &str) -> AwsCaller<'_> {
        let secret = secret.to_owned();
        AwsCaller { secret, ..self.account(access_key_id, "us-east-1") }
    }

    /// Calls an ECR operation as the default administrator.
    pub async fn ecr(&self, operation: &str, input: Value) -> Outcome {
        self.administrator().ecr(operation, input).await
    }

    /// Replaces a layer's stored bytes, or removes them (`None`), without the server's knowledge: at its location, or in its
    /// record.
    pub async fn set_stored(&self, repository: &str, layer: &[u8], bytes: Option<&[u8]>) {
        let registry = meta::records::RegistryKey::private("000000000000", "us-east-1");
        let digest = oci::Digest::of(oci::Algorithm::Sha256, layer).to_bytes();
        let found = self.system.db.look_up(meta::records::layer::named(&registry, repository, &digest)).await;
        let row = found.expect("the records").flatten().expect("a layer that the repository shows").layer;
        let Some(location) = row.location.map(|location| blob::Location(location.0)) else {
            let bytes = bytes.map(<[u8]>::to_vec);
            let stored = self.system.db.write(move |tx| {
                tx.layer_data_delete(row.id)?;
                bytes.iter().try_for_each(|bytes| tx.layer_data_insert(row.id, bytes))
            });
            return stored.await.map_err(|error: meta::Error| error).expect("the records");
        };
        self.system.blobs.remove(location, None).await.expect("the layer's bytes");
        let Some(bytes) = bytes else { return };
        let mut writer = self.system.blobs.create(location).await.expect("a location");
        for piece in bytes.chunks(blob::Buffers::SIZE) {
            let mut buffer = self.system.buffers.take().await;
            buffer.fill(piece);
            writer.write(buffer).await.expect("a write");
        }
        writer.finish().await.expect("the end of a write");
    }

    /// Returns what the server has left behind until now. Dropping the server fails the test if there is anything.
    pub async fn leftovers(&self) -> Vec<String> {
        self.running.as_ref().expect("a server runs until it is dropped").environment.leftovers().await
    }

    /// Formats JSON for a snapshot: indented, with the varying port as PORT.
    pub fn pretty(&self, value: &Value) -> String {
        let text = serde_json::to_string_pretty(value).expect("JSON");
        text.replace(&format!(":{}", self.address.port()), ":PORT")
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Skip the check if the test has already failed. A restarted server is checked at its last end.
        let Some(running) = self.running.take().filter(|_| !std::thread::panicking()) else { return };
        // Some tests remove the directory, and some end their own PostgreSQL server.
        let environment = &running.environment;
        if environment.settings.postgres.is_some() || !environment.directory.path().exists() {
            return;
        }
        // Uses a separate runtime, because a value can't be dropped asynchronously in the test's own.
        let left = std::thread::scope(|scope| {
            let found = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(environment.leftovers())
            });
            found.join().expect("a search for what the test left behind")
        });
        assert!(left.is_empty(), "the test left behind: {left:#?}");
    }
}

/// Serves every door on these listeners.
fn serve(
    system: &Arc<System>,
    settings: &Builder,
    listeners: Vec<Listener>,
    stopped: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> Arc<Budgets> {
    let region = "us-east-1".parse().expect("a region");
    let port = listeners.first().expect("a listener").address().port();
    let names = Names { url: None, domain: None, regions: Regions::Any(region), scheme: Scheme::Http, port };
    let keys = ProcessKeys { dev: true, admin: None };
    let app = App::new(
        system.clone(),
        Addresses::new(names),
        keys,
        settings.redirect_layers,
        settings.trusted_proxies.clone(),
        settings.answers,
        settings.memory,
    );
    let budgets = app.budgets.clone();
    tasks.spawn(listen::listener::serve(
        app,
        EveryDoor { services: settings.services.unwrap_or(ecru::doors::SERVICES) },
        listeners,
        settings.connections,
        stopped,
    ));
    budgets
}
