//! A registry with real stores, whose clock, random bytes and disk are controlled by the test.

use blob::disk::{Disk, RealDisk};
use blob::faulty::FaultyEngine;
use blob::faulty_disk::FaultyDisk;
use blob::fs::FsEngine;
use blob::memory::MemoryEngine;
use blob::{Buffers, Engine, Location};
use bytes::Bytes;
use kernel::access::Caller;
use kernel::clock::{Clock, Time};
use kernel::keys::Keys;
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use kernel::random::Random;
use kernel::{Cx, Origin, Parts, RegistryId, RequestOrigin, System};
use meta::records::layer::LayerRow;
use meta::records::upload::UploadRow;
use oci::{Algorithm, Digest, RepositoryName};
use registry::Error;
use registry::layer::{self, LayerOpening};
use registry::repository::{self, Encryption, NewRepository, TagMutability};
use registry::upload::{self, BodySource, CompletionRules, UploadId, WholeBody};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;
pub const HOUR: Duration = Duration::from_secs(3600);
/// The smallest part of the engine with S3's rules: one buffer, so that tests need few bytes.
pub const S3_PART: usize = Buffers::SIZE;

/// A clock that only the test advances.
pub struct TestClock(watch::Sender<Time>);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus(by));
    }
}

#[async_trait::async_trait]
impl Clock for TestClock {
    fn now(&self) -> Time {
        *self.0.borrow()
    }
    async fn sleep_until(&self, until: Time) {
        self.0.subscribe().wait_for(|now| *now >= until).await.unwrap();
    }
}

/// A seeded source of random bytes: SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Seeded(Mutex<u64>);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(Mutex::new(seed))
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random number in `0..bound`.
    pub fn below(&self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

impl Random for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Random bytes that depend only on `seed`.
pub fn layer_bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Seeded::new(seed).fill(&mut bytes);
    bytes
}

pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, bytes)
}

/// The blob engine of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// The fs engine on an in-memory disk that can fail.
    Fs,
    /// The same, with a concurrent sync after every buffer.
    SyncingFs,
    /// The fs engine on the real disk.
    RealFs,
    Memory,
    /// The memory engine with S3's rules.
    S3,
}

pub const EVERY_STORE: [Store; 4] = [Store::Fs, Store::RealFs, Store::Memory, Store::S3];

/// One installation of Ecru.
pub struct World {
    records: Records,
    store: Store,
    memory: MemoryEngine,
    /// The disk of [`Store::Fs`].
    pub disk: FaultyDisk,
    /// The wrapper of the blob engine, which can inject faults.
    pub faulty: FaultyEngine,
    pub clock: Arc<TestClock>,
    pub random: Arc<Seeded>,
    pub limits: Limits,
    pub quirks: Quirks,
    pub cx: Cx,
}

pub fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

/// The name of the repository that every world has.
pub fn app() -> RepositoryName {
    name("team/app")
}

impl World {
    pub async fn new(store: Store) -> World {
        World::with(store, 1, Limits::default(), Quirks::default()).await
    }

    pub async fn with(store: Store, seed: u64, limits: Limits, quirks: Quirks) -> World {
        let records = Records::new().await;
        let disk = FaultyDisk::new();
        let buffers = Buffers::new(64);
        let memory = match store {
            Store::S3 => MemoryEngine::under_s3_rules(buffers, S3_PART),
            _ => MemoryEngine::new(buffers),
        };
        let clock = Arc::new(TestClock(watch::Sender::new(Time(1_795_255_200_000_000))));
        let random = Arc::new(Seeded::new(seed));
        let faulty = FaultyEngine::new(engine(store, records.dir.path(), &disk, &memory).await);
        let system = system(&records, &faulty, &clock, &random, &limits, &quirks).await;
        let cx = context(system, "000000000000", "us-east-1");
        let world = World { records, store, memory, disk, faulty, clock, random, limits, quirks, cx };
        world.repository(&world.cx, &app()).await;
        world
    }

    pub async fn repository(&self, cx: &Cx, name: &RepositoryName) {
        let new = NewRepository {
            name: name.clone(),
            mutability: TagMutability::Mutable,
            scan_on_push: false,
            encryption: Encryption::Aes256,
            tags: Vec::new(),
        };
        repository::create(cx, new).await.unwrap();
    }

    /// Replaces the process by a new one with the same stores.
    pub async fn restart(&mut self) {
        self.cx.db.close().await;
        self.faulty = FaultyEngine::new(engine(self.store, self.records.dir.path(), &self.disk, &self.memory).await);
        self.cx = self.second_node().await;
    }

    /// Simulates a power failure. The data that SQLite committed and the disk synced is kept.
    pub async fn crash(&mut self, seed: u64) {
        self.disk = self.disk.crash(seed);
        self.restart().await;
    }

    /// Starts a second process with the same stores.
    pub async fn second_node(&self) -> Cx {
        let system = system(&self.records, &self.faulty, &self.clock, &self.random, &self.limits, &self.quirks).await;
        context(system, "000000000000", "us-east-1")
    }

    /// Starts a process with the same records but its own layers.
    pub async fn node_with_layers_of_its_own(&self) -> Cx {
        let engine = FaultyEngine::new(Arc::new(MemoryEngine::new(Buffers::new(64))));
        let system = system(&self.records, &engine, &self.clock, &self.random, &self.limits, &self.quirks).await;
        context(system, "000000000000", "us-east-1")
    }

    /// The path of a location's file on [`Store::RealFs`].
    pub fn path(&self, location: Location) -> std::path::PathBuf {
        let name = location.to_string();
        self.records.dir.path().join("layers").join(&name[30..]).join(name)
    }

    /// Replaces or removes the stored bytes of a location.
    pub async fn set_stored(&self, location: Location, bytes: Option<&[u8]>) {
        self.cx.blobs.remove(location, None).await.unwrap();
        let Some(bytes) = bytes else { return };
        let mut writer = self.cx.blobs.create(location).await.unwrap();
        for piece in bytes.chunks(Buffers::SIZE) {
            let mut buffer = self.cx.buffers.take().await;
            buffer.fill(piece);
            writer.write(buffer).await.unwrap();
        }
        writer.finish().await.unwrap();
    }

    /// The record of a layer of the repository.
    pub async fn layer_row(&self, digest: &Digest) -> LayerRow {
        let (repository, digest) = (repository::get(&self.cx, &app()).await.unwrap().id, digest.to_bytes());
        let shown = self.cx.db.read(move |tx| tx.layer_shown(repository, &digest)).await;
        shown.map_err(|error: meta::Error| error).unwrap().unwrap().layer
    }

    /// The stored checksums of a layer of the repository.
    pub async fn layer_checksums(&self, digest: &Digest) -> Option<Vec<u8>> {
        let id = self.layer_row(digest).await.id;
        self.cx.db.look_up(meta::records::layer::checksums(id, 0, i64::from(i32::MAX))).await.unwrap()
    }

    /// The context of a call on another registry of the same process.
    pub fn registry(&self, account: &str, region: &str) -> Cx {
        context(self.cx.system.clone(), account, region)
    }

    /// A call about the public registry of the world's account, in the same process.
    pub fn public_registry(&self) -> Cx {
        Cx { registry: RegistryId::public(self.cx.registry.account), ..self.cx.clone() }
    }

    pub async fn start(&self) -> UploadId {
        upload::start(&self.cx, &app(), Algorithm::Sha256).await.unwrap()
    }

    pub async fn row(&self, id: UploadId) -> Option<UploadRow> {
        self.cx.db.read(move |tx| tx.upload_get(id)).await.unwrap()
    }

    /// The events of a repository, oldest first.
    pub async fn events(&self, name: &RepositoryName) -> Vec<StoredEvent> {
        let id = repository::get(&self.cx, name).await.unwrap().id;
        let read = self.cx.db.read(move |tx| {
            let sql = "SELECT kind, actor, digest, detail, source, user_agent, request_id FROM event \
                WHERE repository_id = $1 ORDER BY id";
            tx.query(sql, &[id.into()])?.iter().map(stored_event).collect::<Result<_, meta::Error>>()
        });
        read.await.unwrap()
    }

    /// The number of locations, finished or not.
    pub async fn locations(&self) -> usize {
        self.list_locations().await.len()
    }

    pub async fn list_locations(&self) -> Vec<Location> {
        self.faulty.list(None, usize::MAX).await.unwrap()
    }

    /// Reads a layer of the repository.
    pub async fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        read(&self.cx, &app(), digest).await
    }

    pub async fn put(&self, bytes: &[u8]) -> Digest {
        put_to(&self.cx, &app(), bytes).await
    }
}

/// The place of the records: a SQLite file, or a new database on the server that `scripts/with-postgres` started.
struct Records {
    dir: TempDir,
    postgres: Option<String>,
}

impl Records {
    async fn new() -> Records {
        let postgres = if on_postgres() { Some(database().await) } else { None };
        Records { dir: tempfile::tempdir().unwrap(), postgres }
    }

    async fn open(&self, now: Time) -> meta::Db {
        let opened = match self.postgres.clone() {
            Some(url) => {
                meta::Db::postgres(meta::PostgresConfig {
                    url,
                    max_connections: 8,
                    timeout: std::time::Duration::from_secs(10),
                    now_us: now.0,
                })
                .await
            }
            None => {
                let path = self.dir.path().join("ecru.db");
                meta::Db::sqlite(meta::SqliteConfig { path, now_us: now.0 }).await
            }
        };
        opened.unwrap()
    }
}

pub fn on_postgres() -> bool {
    match std::env::var("ECRU_TEST_ENGINE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("ECRU_TEST_ENGINE is sqlite or postgres, not {other}"),
    }
}

/// Creates a database and returns its URL. It is removed with its server.
async fn database() -> String {
    static CREATED: AtomicU64 = AtomicU64::new(0);
    let server = std::env::var("ECRU_TEST_POSTGRES").expect("ECRU_TEST_POSTGRES: run under scripts/with-postgres");
    let name = format!("ecru_registry_{}_{}", std::process::id(), CREATED.fetch_add(1, Ordering::Relaxed));
    let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // An earlier process may have had the same id.
    client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0")).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    format!("{}/{name}", server.rsplit_once('/').unwrap().0)
}

async fn engine(store: Store, dir: &Path, disk: &FaultyDisk, memory: &MemoryEngine) -> Arc<dyn Engine> {
    let buffers = Buffers::new(64);
    let (root, disk): (_, Arc<dyn Disk>) = match store {
        Store::Memory | Store::S3 => return Arc::new(memory.clone()),
        Store::Fs | Store::SyncingFs => ("/layers".into(), Arc::new(disk.clone())),
        Store::RealFs => (dir.join("layers"), Arc::new(RealDisk)),
    };
    let engine = FsEngine::open(root, disk, buffers).await.unwrap();
    Arc::new(if store == Store::SyncingFs { engine.syncing_every(1) } else { engine })
}

async fn system(
    records: &Records,
    faulty: &FaultyEngine,
    clock: &Arc<TestClock>,
    random: &Arc<Seeded>,
    limits: &Limits,
    quirks: &Quirks,
) -> Arc<System> {
    let parts = Parts {
        db: records.open(clock.now()).await,
        blobs: Arc::new(faulty.clone()),
        buffers: Buffers::new(64),
        clock: clock.clone(),
        random: random.clone(),
        keys: Keys::new(vec![(1, Zeroizing::new([7; 32]))]).unwrap(),
        limits: limits.clone(),
        quirks: quirks.clone(),
    };
    Arc::new(System::new(parts, &[&registry::DOMAIN, &identity::DOMAIN]))
}

fn context(system: Arc<System>, account: &str, region: &str) -> Cx {
    let account = account.parse().unwrap();
    Cx {
        system,
        caller: Caller::administrator(account, "AKIDEXAMPLE").into(),
        registry: RegistryId::private(account, region.parse().unwrap()),
        origin: Origin::Request(RequestOrigin {
            address: [127, 0, 0, 1].into(),
            listener: "127.0.0.1:5050".into(),
            tls: false,
            user_agent: "test".to_owned(),
            request_id: "test".to_owned(),
        }),
    }
}

/// An event as it is stored.
pub struct StoredEvent {
    pub kind: String,
    pub actor: String,
    pub digest: Option<Vec<u8>>,
    /// JSON.
    pub detail: String,
    pub source: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

fn stored_event(row: &meta::Row) -> Result<StoredEvent, meta::Error> {
    Ok(StoredEvent {
        kind: row.get(0)?,
        actor: row.get(1)?,
        digest: row.get(2)?,
        detail: row.get(3)?,
        source: row.get(4)?,
        user_agent: row.get(5)?,
        request_id: row.get(6)?,
    })
}

pub async fn put_to(cx: &Cx, name: &RepositoryName, bytes: &[u8]) -> Digest {
    let digest = sha256(bytes);
    upload::put_whole(cx, name, &digest, &mut whole(bytes)).await.unwrap();
    digest
}

pub async fn read(cx: &Cx, name: &RepositoryName, digest: &Digest) -> Result<Vec<u8>, Error> {
    match layer::open(cx, name, digest, None).await? {
        LayerOpening::Opened(opened) => {
            let bytes = collect(opened.bytes).await?;
            assert_eq!((opened.range, opened.layer.size), (0..bytes.len() as u64, bytes.len() as u64));
            Ok(bytes)
        }
        LayerOpening::Unsatisfiable { size } => panic!("the whole of a layer of {size} bytes can't be had"),
    }
}

pub async fn collect(mut bytes: layer::LayerReader) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    while let Some(piece) = bytes.next().await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

pub fn whole(bytes: &[u8]) -> WholeBody {
    WholeBody(Some(Bytes::copy_from_slice(bytes)))
}

/// An empty body.
pub fn empty() -> WholeBody {
    WholeBody(None)
}

/// Completes an upload by Docker's PUT without a body.
pub async fn close(cx: &Cx, id: UploadId, digest: &Digest) -> Result<(), Error> {
    upload::complete(cx, &app(), id, digest, None, &mut empty(), CompletionRules::Docker).await
}

/// Completes an upload by CompleteLayerUpload.
pub async fn close_by_api(cx: &Cx, id: UploadId, digest: &Digest) -> Result<(), Error> {
    upload::complete(cx, &app(), id, digest, None, &mut empty(), CompletionRules::Api).await
}

/// A body in pieces, which may be truncated.
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    broken: bool,
}

impl Pieces {
    pub fn new(bytes: &[u8], piece: usize) -> Pieces {
        Pieces { pieces: bytes.chunks(piece).map(Bytes::copy_from_slice).collect(), broken: false }
    }

    /// The same body, but truncated after these bytes.
    pub fn broken(self) -> Pieces {
        Pieces { broken: true, ..self }
    }
}

#[async_trait::async_trait]
impl BodySource for Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self.pieces.pop_front() {
            None if self.broken => Err(Error::BodyTruncated("the connection was closed".to_owned())),
            piece => Ok(piece),
        }
    }
}

/// A body whose pieces are sent by the test. It ends when the sender is dropped.
pub struct Slow(mpsc::Receiver<Bytes>);

impl Slow {
    /// A send returns after the piece before it was taken. So after two sends the first piece has arrived.
    pub fn new() -> (mpsc::Sender<Bytes>, Slow) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, Slow(receiver))
    }
}

#[async_trait::async_trait]
impl BodySource for Slow {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.0.recv().await)
    }
}
