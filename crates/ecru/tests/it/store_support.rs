//! A data directory that servers start in, one after the other, as `ecru serve` opens it.

use blob::Location;
use ecru::cli::serve::stores::{self, Administrator};
use ecru::config::{self, SettingsSource};
use ecru::data_dir::DataDir;
use kernel::{ErrorChain, System};
use oci::{Algorithm, Digest};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use testkit::TestDatabase;

const LAYER: &str = "INSERT INTO layer (id, account, region, encryption, digest, size, location, storage_class, created_at) \
    VALUES ($1, '000000000000', 'us-east-1', 'AES256', $2, $3, $4, 'STANDARD', 1)";

/// Root keys as settings spell them.
pub const ROOT_KEY_1: &str = "1:0101010101010101010101010101010101010101010101010101010101010101";
pub const ROOT_KEY_2: &str = "2:0202020202020202020202020202020202020202020202020202020202020202";

/// A directory of the test, where the records are, and which root keys are set.
pub struct TestStore {
    pub directory: TempDir,
    pub database: Option<TestDatabase>,
    pub root_keys: Option<String>,
}

/// The stores as a server has them that serves.
pub struct Started {
    pub system: Arc<System>,
    pub administrator: Administrator,
    _data: DataDir,
}

impl TestStore {
    /// Records in SQLite, unless ECRU_TEST_ENGINE says PostgreSQL.
    pub async fn new() -> TestStore {
        TestStore::over(TestDatabase::wanted().await)
    }

    pub fn over(database: Option<TestDatabase>) -> TestStore {
        let root_keys = database.as_ref().map(|_| ROOT_KEY_1.to_owned());
        TestStore { directory: tempfile::tempdir().unwrap(), database, root_keys }
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.data().join(name)
    }

    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "ECRU_DATA" => Some(self.data().display().to_string()),
            "ECRU_POSTGRES" => self.database.as_ref().map(TestDatabase::url),
            "ECRU_ROOT_KEY" => self.root_keys.clone(),
            _ => None,
        }
    }

    /// A variable of a command that is given the same environment.
    pub fn environment(&self) -> impl Fn(&str) -> Option<String> {
        |name| self.variable(name)
    }

    /// Starts as `ecru serve` does; the error as it is printed.
    pub async fn start(&self) -> Result<Started, String> {
        let settings =
            config::resolve(SettingsSource::default(), None, &|name| self.variable(name), std::iter::empty()).unwrap();
        let data = DataDir::open(&settings.data).map_err(|error| ErrorChain(&error).to_string())?;
        match stores::open(&settings, &data).await {
            Ok((system, administrator)) => Ok(Started { system, administrator, _data: data }),
            Err(error) => Err(ErrorChain(&error).to_string()),
        }
    }

    /// Starts, does something, and stops.
    pub async fn once(&self, work: impl AsyncFnOnce(&Started)) {
        let started = self.start().await.unwrap_or_else(|error| panic!("{error}"));
        work(&started).await;
        started.stop().await;
    }

    /// What a start says that is refused.
    pub async fn refused(&self) -> String {
        match self.start().await {
            Err(said) => said,
            Ok(_) => panic!("the start was not refused"),
        }
    }
}

impl Started {
    pub async fn stop(self) {
        self.system.db.close().await;
    }

    /// Runs a statement of the test's own.
    pub async fn execute(&self, sql: &'static str) {
        self.system.db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    }

    /// Stores layers of these sizes at locations of their own, as pushes do.
    pub async fn layers(&self, sizes: &[usize]) -> Vec<Location> {
        let mut locations = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let bytes = testkit::chance::bytes(number as u64 + 77, *size);
            locations.push(self.layer(&bytes).await);
        }
        locations
    }

    pub async fn layer(&self, bytes: &[u8]) -> Location {
        let system = &self.system;
        let location: Location = system.id();
        let mut writer = system.blobs.create(location).await.unwrap();
        for piece in bytes.chunks(blob::Buffers::SIZE) {
            let mut buffer = system.buffers.take().await;
            buffer.fill(piece);
            writer.write(buffer).await.unwrap();
        }
        writer.finish().await.unwrap();
        let row: Vec<meta::Value> = vec![
            system.id::<meta::LayerId>().into(),
            Digest::of(Algorithm::Sha256, bytes).to_bytes().into(),
            (bytes.len() as i64).into(),
            location.0.into(),
        ];
        system.db.write(move |tx| tx.execute(LAYER, &row)).await.unwrap();
        location
    }
}

/// The file of a location below a directory of layers.
pub fn layer_file(layers: &Path, location: Location) -> PathBuf {
    let name = location.to_string();
    layers.join(&name[30..]).join(name)
}
