//! Opens what the process stands on: keys, metadata, layers, the first administrator.
use crate::config::{MetadataStore, Settings};
use crate::data_dir::{DataDir, DataDirError};
use blob::Buffers;
use blob::disk::RealDisk;
use blob::fs::FsEngine;
use meta::{Db, PostgresConfig, SqliteConfig};
use registry::System;
use registry::bootstrap::{self, BootstrapError, NewAdministrator};
use registry::clock::{Clock as _, SystemClock};
use registry::keys::{Keys, NoRootKey};
use registry::random::SystemRandom;
use std::path::PathBuf;
use std::sync::Arc;

/// Memory at most for the buffers of all transfers to and from the layer store: 256 transfers of 1 MiB.
const BUFFER_BYTES: usize = 256 * 1024 * 1024;

/// Where the administrator's keys are.
pub enum Administrator {
    /// Made by this start, and written to the credentials file.
    New(NewAdministrator),
    /// In the file `credentials`.
    Kept,
    /// Made by another start, and the file `credentials` is not here.
    Elsewhere,
    /// ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY.
    Environment,
    /// `test`/`test`.
    Dev,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the metadata in {} can't be opened", path.display())]
    Sqlite { path: PathBuf, source: meta::Error },
    #[error("the metadata in PostgreSQL can't be opened")]
    Postgres(#[source] meta::Error),
    #[error("the layers in {} can't be opened", path.display())]
    Layers { path: PathBuf, source: blob::Error },
    #[error(transparent)]
    Keys(#[from] NoRootKey),
    #[error("the stores can't be used")]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// Opens the stores and makes the first administrator's keys where they are wanted.
pub async fn open(settings: &Settings, data: &DataDir) -> Result<(Arc<System>, Administrator), StoreError> {
    let root_keys = match &settings.root_keys {
        Some(keys) => keys.clone(),
        None => data.root_keys(&SystemRandom)?,
    };
    let keys = Keys::new(root_keys.into_inner())?;
    let now_us = SystemClock.now().0;
    let db = match &settings.metadata {
        MetadataStore::Sqlite => {
            let path = data.database();
            let opened = Db::sqlite(SqliteConfig { path: path.clone(), now_us }).await;
            opened.map_err(|source| StoreError::Sqlite { path, source })?
        }
        MetadataStore::Postgres { url, connections } => {
            let config = PostgresConfig { url: url.expose().to_owned(), max_connections: *connections, now_us };
            Db::postgres(config).await.map_err(StoreError::Postgres)?
        }
    };
    let buffers = Buffers::new(BUFFER_BYTES / Buffers::SIZE);
    let layers = FsEngine::open(data.layers(), Arc::new(RealDisk), buffers.clone()).await;
    let layers = layers.map_err(|source| StoreError::Layers { path: data.layers(), source })?;
    let system = Arc::new(System {
        db,
        blobs: Arc::new(layers),
        buffers,
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        keys,
        limits: settings.limits.clone(),
        quirks: settings.quirks.clone(),
        jobs: Default::default(),
        uploads: Default::default(),
        logins: Default::default(),
        push_log: Default::default(),
        pull_times: Default::default(),
        quota: Default::default(),
    });
    let administrator = administrator(&system, settings, data).await?;
    Ok((system, administrator))
}

async fn administrator(system: &System, settings: &Settings, data: &DataDir) -> Result<Administrator, StoreError> {
    let keys = &settings.process_keys;
    bootstrap::prove_root_keys(system).await?;
    if !keys.dev
        && keys.admin.is_none()
        && let Some(new) = bootstrap::new_administrator(system).await?
    {
        // Written down first: keys that hold and that nobody knows would lock everybody out.
        data.write_credentials(&new)?;
        if bootstrap::add_administrator(system, &new).await? {
            return Ok(Administrator::New(new));
        }
        data.remove_credentials()?;
    }
    Ok(match keys {
        keys if keys.dev => Administrator::Dev,
        keys if keys.admin.is_some() => Administrator::Environment,
        _ if data.credentials().exists() => Administrator::Kept,
        _ => Administrator::Elsewhere,
    })
}
