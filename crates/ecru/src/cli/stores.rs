//! The two stores of a data directory: as the server that owns them opens them, and as a command opens them beside it.

mod store_id;

pub use store_id::IdentityError;

use crate::cli::credentials::CredentialsError;
use crate::config::{self, MetadataStore, PostgresUrl, SettingsError, StoreSettings, Variables};
use crate::data_dir::{DataDir, DataDirError, DataFiles, RecordsPlace, StoreId};
use blob::Buffers;
use blob::disk::RealDisk;
use blob::fs::FsEngine;
use identity::bootstrap::BootstrapError;
use kernel::clock::{SystemClock, Time};
use kernel::keys::{Keys, NoRootKey};
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use kernel::random::{Random, SystemRandom};
use kernel::{Parts, System};
use listen::connections::ConnectionLimits;
use meta::{Db, PostgresConfig, SqliteConfig};
use rustix::process::{Resource, getrlimit};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory at most for the buffers of all transfers to and from the layer store: 192 transfers of 1 MiB. With 256 of them, 2,000 pushes at
/// once took more than 400 MiB in all.
const BUFFER_BYTES: usize = 192 * 1024 * 1024;
/// The same for a command, which moves a few layers at a time.
const COMMAND_BUFFER_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of the disk that are kept back for deletions, in the file `ecru.db-reserve`: many times what the log holds between two of
/// its checkpoints. A small disk keeps back an eighth of its size, and one below 64 MiB nothing.
const KEPT_BACK_BYTES: u64 = 32 * 1024 * 1024;
/// Connections to PostgreSQL at most that a command takes beside those of the servers.
const COMMAND_CONNECTIONS: usize = 4;

/// Which stores a command is about.
#[derive(Clone, Debug, clap::Args)]
pub struct StoreArgs {
    /// The data directory [default: ./ecru-data].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The PostgreSQL database that holds the records, where they are in one. Prefer ECRU_POSTGRES for a URL that holds a
    /// password.
    #[arg(long, value_name = "URL")]
    pub postgres: Option<PostgresUrl>,
    /// The server's file of settings, in TOML.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl StoreArgs {
    /// The settings that say where the stores are: these flags over ECRU_* over the file.
    pub fn settings(self, variables: Variables<'_>) -> Result<StoreSettings, SettingsError> {
        config::stores(self.data, self.postgres, self.config.as_deref(), variables)
    }
}

/// Why stores can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the disk is full, so that the metadata in {} can't be opened; free some space on it and start again", path.display())]
    SqliteFull { path: PathBuf, source: meta::Error },
    #[error(
        "the metadata in {} can't be opened on a read-only file system, since SQLite's log has to be written even to read; mount it writable and start again",
        path.display()
    )]
    SqliteReadOnly { path: PathBuf, source: meta::Error },
    #[error("the metadata in {} can't be opened", path.display())]
    Sqlite { path: PathBuf, source: meta::Error },
    #[error("the metadata in PostgreSQL can't be opened")]
    Postgres(#[source] meta::Error),
    #[error("the layers in {} can't be opened", path.display())]
    Layers { path: PathBuf, source: blob::Error },
    #[error(transparent)]
    Keys(#[from] NoRootKey),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the stores can't be used")]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl StoreError {
    fn sqlite(path: PathBuf, source: meta::Error) -> StoreError {
        match source {
            meta::Error::Full(_) => StoreError::SqliteFull { path, source },
            meta::Error::ReadOnly(_) => StoreError::SqliteReadOnly { path, source },
            _ => StoreError::Sqlite { path, source },
        }
    }
}

/// Records and layers that belong together.
pub struct Stores {
    /// The id that records and layers have in common.
    pub id: StoreId,
    pub files: DataFiles,
    pub db: Db,
    pub layers: Arc<FsEngine>,
    pub buffers: Buffers,
}

impl Stores {
    /// Opens the stores of a directory that belongs to this process, makes what is missing and brings the schema up to date.
    /// Refuses records and layers that do not belong together, see [`IdentityError`].
    pub async fn open(
        data: &DataDir,
        metadata: &MetadataStore,
        random: &dyn Random,
        now: Time,
    ) -> Result<Stores, StoreError> {
        let db = match metadata {
            MetadataStore::Sqlite => {
                let path = data.database();
                let opened = Db::sqlite(SqliteConfig { path: path.clone(), now_us: now.0 }).await;
                let db = opened.map_err(|source| StoreError::sqlite(path, source))?;
                let keeper = db.clone();
                // A disk that can't is full or slow; either way the server serves.
                let kept = tokio::task::spawn_blocking(move || keeper.keep_back(KEPT_BACK_BYTES));
                if let Err(error) = kept.await {
                    tracing::warn!(%error, "Space can't be kept back for deletions");
                }
                db
            }
            MetadataStore::Postgres { url, connections, timeout } => {
                let (url, max_connections) = (url.expose().to_owned(), *connections);
                let config = PostgresConfig { url, max_connections, timeout: *timeout, now_us: now.0 };
                Db::postgres(config).await.map_err(StoreError::Postgres)?
            }
        };
        let files = ConnectionLimits::default().layer_files(getrlimit(Resource::Nofile).current);
        let buffers = Buffers::new(BUFFER_BYTES / Buffers::SIZE).with_open_files(files);
        let layers = FsEngine::open(data.layers(), Arc::new(RealDisk), buffers.clone()).await;
        let layers = layers.map_err(|source| StoreError::Layers { path: data.layers(), source })?;
        let layers = Arc::new(layers);
        let id = store_id::settle(&db, &layers, data, metadata, random, now).await?;
        Ok(Stores { id, files: DataFiles::clone(data), db, layers, buffers })
    }

    /// Refuses a directory whose records are elsewhere or gone, before anything is made in it.
    pub fn expect(data: &DataFiles, metadata: &MetadataStore) -> Result<(), StoreError> {
        Ok(store_id::expect(data, metadata.place())?)
    }

    /// Refuses a data directory whose records are not in PostgreSQL. One that does not exist yet is fine.
    pub fn expect_postgres(data: &Path) -> Result<(), StoreError> {
        match DataFiles::existing(data) {
            Ok(files) => Ok(store_id::expect(&files, RecordsPlace::Postgres)?),
            Err(DataDirError::None(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the stores of an existing directory as they are, beside a server that may be running: takes no lock, makes and
    /// migrates nothing, and refuses records of another schema version than this program's. Layers may be read and records
    /// changed; layers must not be written. Refuses records and layers that do not belong together.
    pub async fn attach(settings: &StoreSettings) -> Result<Stores, StoreError> {
        let files = DataFiles::existing(&settings.data)?;
        store_id::expect(&files, settings.metadata.place())?;
        let db = match &settings.metadata {
            MetadataStore::Sqlite => {
                let path = files.database();
                let attached = Db::attach_sqlite(path.clone()).await;
                attached.map_err(|source| StoreError::sqlite(path, source))?
            }
            MetadataStore::Postgres { url, timeout, .. } => {
                let attached = Db::attach_postgres(url.expose(), COMMAND_CONNECTIONS, *timeout).await;
                attached.map_err(StoreError::Postgres)?
            }
        };
        let buffers = Buffers::new(COMMAND_BUFFER_BYTES / Buffers::SIZE);
        let layers = FsEngine::attach(files.layers(), Arc::new(RealDisk), buffers.clone()).await;
        let layers = layers.map_err(|source| StoreError::Layers { path: files.layers(), source })?;
        let layers = Arc::new(layers);
        let id = store_id::compare(&db, &layers, &files).await?;
        Ok(Stores { id, files, db, layers, buffers })
    }

    /// The process's system over these stores.
    pub fn system(self, keys: Keys, limits: Limits, quirks: Quirks) -> System {
        let parts = Parts {
            db: self.db,
            blobs: self.layers,
            buffers: self.buffers,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            keys,
            limits,
            quirks,
        };
        System::new(parts, crate::doors::DOMAINS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::clock::Clock as _;

    fn settings(data: &std::path::Path) -> StoreSettings {
        let args = StoreArgs { data: Some(data.to_owned()), postgres: None, config: None };
        args.settings(&|_| None).unwrap()
    }

    #[tokio::test]
    async fn stores_are_attached_beside_their_owner_and_nothing_is_made() {
        let path = tempfile::tempdir().unwrap();
        let attached = Stores::attach(&settings(path.path())).await;
        assert!(matches!(attached, Err(StoreError::DataDir(DataDirError::None(_)))));
        assert_eq!(std::fs::read_dir(path.path()).unwrap().count(), 0);
        let data = DataDir::open(path.path()).unwrap();
        assert!(matches!(Stores::attach(&settings(path.path())).await, Err(StoreError::Sqlite { .. })));
        assert!(!data.database().exists());
        let owner = Stores::open(&data, &MetadataStore::Sqlite, &SystemRandom, SystemClock.now()).await.unwrap();
        let beside = Stores::attach(&settings(path.path())).await.unwrap();
        owner.db.check().await.unwrap();
        beside.db.check().await.unwrap();
        std::fs::remove_dir_all(data.layers()).unwrap();
        assert!(matches!(Stores::attach(&settings(path.path())).await, Err(StoreError::Layers { .. })));
        assert!(!data.layers().exists());
    }
}
