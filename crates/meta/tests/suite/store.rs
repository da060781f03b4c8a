//! A separate database for a test, on either engine.

use crate::database::Database;
use meta::{Db, Error, PostgresConfig, SqliteConfig};
use tempfile::TempDir;

/// The time for the records of migrations.
pub const NOW_US: i64 = 1_764_000_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An open database, with its directory or its PostgreSQL database.
pub struct Store {
    pub db: Db,
    pub engine: Engine,
    directory: Option<TempDir>,
    database: Option<Database>,
}

impl Store {
    /// Creates a database on `engine`. Returns `None` for PostgreSQL if `ECRU_TEST_SQLITE_ONLY` is set.
    pub async fn open(engine: Engine) -> Option<Store> {
        match engine {
            Engine::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("ecru.db");
                let db = Db::sqlite(SqliteConfig { path, now_us: NOW_US }).await.unwrap();
                Some(Store { db, engine, directory: Some(directory), database: None })
            }
            Engine::Postgres => {
                let database = Database::create().await?;
                let db = Db::postgres(config(database.url())).await.unwrap();
                Some(Store { db, engine, directory: None, database: Some(database) })
            }
        }
    }

    /// Opens the same database again, as after a restart or on another node.
    pub async fn again(&self) -> Result<Db, Error> {
        match (&self.directory, &self.database) {
            (Some(directory), _) => {
                Db::sqlite(SqliteConfig { path: directory.path().join("ecru.db"), now_us: NOW_US }).await
            }
            (None, Some(database)) => Db::postgres(config(database.url())).await,
            (None, None) => unreachable!("a store lies somewhere"),
        }
    }

    /// Attaches to the same database, as a command does beside a server.
    pub async fn attach(&self) -> Result<Db, Error> {
        match (&self.directory, &self.database) {
            (Some(directory), _) => Db::attach_sqlite(directory.path().join("ecru.db")).await,
            (None, Some(database)) => Db::attach_postgres(&database.url(), 2, std::time::Duration::from_secs(10)).await,
            (None, None) => unreachable!("a store lies somewhere"),
        }
    }

    /// Runs a statement of the schema's dialect in its own transaction.
    pub async fn define(&self, sql: &str) {
        let sql = match self.engine {
            Engine::Sqlite => sql.to_owned(),
            Engine::Postgres => sql
                .replace("INTEGER", "BIGINT")
                .replace("BLOB", "BYTEA")
                .replace("TEXT", "TEXT COLLATE \"C\"")
                .replace(" STRICT", ""),
        };
        let sql: &'static str = sql.leak();
        self.db.write(move |tx| tx.execute(sql, &[]).map(drop)).await.unwrap();
    }

    /// Returns the file names in the SQLite database's directory.
    pub fn files(&self) -> Vec<String> {
        let directory = self.directory.as_ref().unwrap().path();
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Returns the length of the SQLite database's log, in bytes.
    pub fn log_length(&self) -> u64 {
        let path = self.directory.as_ref().unwrap().path().join("ecru.db-wal");
        std::fs::metadata(path).map_or(0, |file| file.len())
    }

    /// The name of the PostgreSQL database.
    pub fn name(&self) -> String {
        self.url().rsplit('/').next().unwrap().to_owned()
    }

    /// The URL of the PostgreSQL database.
    pub fn url(&self) -> String {
        self.database.as_ref().unwrap().url()
    }

    pub async fn close(self) {
        self.db.close().await;
        if let Some(database) = self.database {
            database.remove().await;
        }
    }
}

fn config(url: String) -> PostgresConfig {
    PostgresConfig { url, max_connections: 8, timeout: std::time::Duration::from_secs(10), now_us: NOW_US }
}

/// Makes a test for each engine from one body.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($store:ident: &Store) $body:block)*) => {
        $(async fn $name($store: &Store) $body)*
        on_both_engines!(@engine sqlite Sqlite $($name)*);
        on_both_engines!(@engine postgres Postgres $($name)*);
    };
    (@engine $module:ident $engine:ident $($name:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                if let Some(store) = $crate::store::Store::open($crate::store::Engine::$engine).await {
                    super::$name(&store).await;
                    store.close().await;
                }
            })*
        }
    };
}
pub(crate) use on_both_engines;
