//! `ecru restore`: a data directory from a backup.

use super::backup::{Report, damage};
use super::copy_dir::{CopyDir, CopyDirError};
use super::layer_transfer::{Summary, TransferError, transfer};
use super::progress::{Progress, bytes};
use super::shell;
use super::stores::StoreArgs;
use crate::config::{MetadataStore, SettingsError, StoreSettings, Variables};
use crate::data_dir::{
    CREDENTIALS_FILE, DataDirError, NewDataDir, ROOT_KEY_FILE, RecordsPlace, StoreId, read_optional, write_whole,
};
use blob::Buffers;
use blob::disk::RealDisk;
use blob::fs::FsEngine;
use kernel::clock::{Clock as _, SystemClock};
use meta::{Db, PostgresConfig, RecordsFile, SqliteConfig};
use rustix::fs::Mode;
use rustix::process::umask;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory at most for the layers that are moved.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// Makes a data directory from a backup, with the records in it or in PostgreSQL.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup's directory. It is only read.
    pub copy: PathBuf,
    /// Where to: --data names a new or empty directory, --postgres (or ECRU_POSTGRES) an empty database for the records.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// Why a restore ended. Its directory can't be served from, and a PostgreSQL database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Copy(#[from] CopyDirError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error("the records of the backup in {} can't be used", path.display())]
    Records { path: PathBuf, source: meta::Error },
    #[error("the backup in {} is of store {said}, and its records are of another", path.display())]
    Mixed { path: PathBuf, said: StoreId },
    #[error("the records can't be restored")]
    Target(#[source] meta::Error),
    #[error("the records can't be restored into PostgreSQL")]
    Postgres(#[source] meta::Error),
    #[error("the layers can't be restored")]
    Layers(#[from] TransferError),
}

impl Restore {
    /// Copies layers and records, and says how to serve them.
    pub async fn run(self, variables: Variables<'_>) -> Result<Report, RestoreError> {
        umask(Mode::RWXG | Mode::RWXO);
        let settings = self.store.settings(variables)?;
        let copy = CopyDir::existing(&self.copy)?;
        let store = copy.store()?;
        let unusable = |source| RestoreError::Records { path: copy.path().to_owned(), source };
        let mut records = open(&copy, store)
            .map_err(unusable)?
            .ok_or_else(|| RestoreError::Mixed { path: copy.path().to_owned(), said: store })?;
        let target = empty_postgres(&settings).await?;
        let data = NewDataDir::make(&settings.data)?;

        // Layers, each verified; then the records that name them.
        let (_, total) = records.read(|tx| tx.store_located_total()).map_err(unusable)?;
        let progress = Progress::new("Layers", u64::try_from(total).unwrap_or(0));
        let buffers = Buffers::new(BUFFER_BYTES / Buffers::SIZE);
        let from = FsEngine::attach(copy.layers(), Arc::new(RealDisk), buffers.clone()).await;
        let from = from.map_err(TransferError::Target)?;
        let to = FsEngine::open(data.layers(), Arc::new(RealDisk), buffers).await.map_err(TransferError::Target)?;
        let summary = transfer(&from, &to, &mut records, None, &progress).await;
        progress.end();
        let summary = summary?;
        data.write_layers_id(store)?;
        let database = data.database();
        records.copy_to(&database).map_err(RestoreError::Target)?;
        bring_up(&database, &summary).await.map_err(RestoreError::Target)?;
        let keys = keys(&copy, &data)?;
        match &target {
            None => data.write_records_place(RecordsPlace::Sqlite)?,
            Some(target) => {
                data.write_records_place(RecordsPlace::Postgres)?;
                fill(target, &data).await?;
                target.close().await;
            }
        }
        let data = data.finish()?;
        Ok(report(&settings, &summary, keys, data.path()))
    }
}

/// Opens the backup's records and reads all of them; `None` when they are of another store than the backup.
fn open(copy: &CopyDir, store: StoreId) -> Result<Option<RecordsFile>, meta::Error> {
    let mut records = RecordsFile::open(&copy.records())?;
    records.known()?;
    records.check()?;
    let id = records.read(|tx| tx.store_get())?;
    Ok((id == Some(store)).then_some(records))
}

/// The PostgreSQL database that the records go to, if they do; refused when it has records.
async fn empty_postgres(settings: &StoreSettings) -> Result<Option<Db>, RestoreError> {
    let MetadataStore::Postgres { url, connections, timeout } = &settings.metadata else { return Ok(None) };
    let now_us = SystemClock.now().0;
    let (url, max_connections) = (url.expose().to_owned(), *connections);
    let config = PostgresConfig { url, max_connections, timeout: *timeout, now_us };
    let db = Db::postgres(config).await.map_err(RestoreError::Postgres)?;
    let used = db.read(|tx| Ok::<_, meta::Error>(tx.store_get()?.is_some() || tx.root_key_count()? > 0)).await;
    match used {
        Ok(false) => Ok(Some(db)),
        Ok(true) => Err(RestoreError::Postgres(meta::Error::Occupied)),
        Err(error) => Err(RestoreError::Postgres(error)),
    }
}

/// Migrates the records to this program's schema. Marks exactly the layers that were not restored: a restored layer is whole, also if
/// the source had marked its own copy.
async fn bring_up(database: &Path, summary: &Summary) -> Result<(), meta::Error> {
    let now_us = SystemClock.now().0;
    let db = Db::sqlite(SqliteConfig { path: database.to_owned(), now_us }).await?;
    let damaged: Vec<_> = summary.damaged.iter().map(|layer| layer.location).collect();
    db.write(move |tx| tx.store_marks_set(&damaged, now_us)).await?;
    db.close().await;
    Ok(())
}

/// Moves the file of records into PostgreSQL, and removes it.
async fn fill(target: &Db, data: &NewDataDir) -> Result<(), RestoreError> {
    target.fill_from(data.database()).await.map_err(RestoreError::Postgres)?;
    data.remove_database()?;
    Ok(())
}

/// Restores `root.key` and `credentials` where the backup has them; whether it has the root key.
fn keys(copy: &CopyDir, data: &NewDataDir) -> Result<bool, RestoreError> {
    let mut found = false;
    for name in [ROOT_KEY_FILE, CREDENTIALS_FILE] {
        if let Some(text) = read_optional(&copy.path().join(name))? {
            write_whole(data.path(), name, text.as_bytes())?;
            found |= name == ROOT_KEY_FILE;
        }
    }
    Ok(found)
}

fn report(settings: &StoreSettings, summary: &Summary, root_key: bool, data: &std::path::Path) -> Report {
    let mut text = format!(
        "Restored into {}: {} layers ({}) and the records.\n",
        data.display(),
        summary.copied,
        bytes(summary.copied_bytes)
    );
    let (path, root_key_path) = (data.display().to_string(), data.join(ROOT_KEY_FILE).display().to_string());
    let (path, root_key_path) = (shell::word(&path), shell::word(&root_key_path));
    text.push_str(&match (&settings.metadata, root_key) {
        (MetadataStore::Sqlite, true) => format!("Serve it with: ecru serve --data {path}\n"),
        (MetadataStore::Sqlite, false) => format!(
            "The backup has no root key: put the store's into {root_key_path}, or set ECRU_ROOT_KEY, and serve it with: \
             ecru serve --data {path}\n"
        ),
        (MetadataStore::Postgres { .. }, true) => format!(
            "Serve it with ECRU_POSTGRES set as for this restore: ecru serve --data {path} --root-key-file {root_key_path}\n"
        ),
        (MetadataStore::Postgres { .. }, false) => format!(
            "Serve it with ECRU_POSTGRES set as for this restore, and ECRU_ROOT_KEY to the store's: ecru serve --data {path}\n"
        ),
    });
    text.push_str("Do not let the server that was backed up go on beside this one: both are the same store.\n");
    text.push_str(&damage(summary, "The backup lacks"));
    Report { text, complete: summary.damaged.is_empty() }
}
