//! `ecru backup`: a copy of a store, beside the server that uses it.

use super::copy_dir::{CopyDir, CopyDirError};
use super::layer_transfer::{Summary, TransferError, transfer};
use super::progress::{Progress, bytes};
use super::stores::{StoreArgs, StoreError, Stores};
use crate::config::{RootKeys, SettingsError, StoreSettings, Variables};
use crate::data_dir::{DataDirError, read_optional};
use blob::Engine as _;
use blob::disk::RealDisk;
use blob::fs::FsEngine;
use identity::bootstrap::{self, BootstrapError};
use kernel::clock::{Clock as _, SystemClock};
use kernel::keys::{Keys, NoRootKey};
use kernel::random::SystemRandom;
use meta::{LocationId, RecordsFile};
use registry::collect::Hold;
use rustix::fs::Mode;
use rustix::process::umask;
use std::path::PathBuf;
use std::sync::Arc;

/// Layers that are looked at in one step of the sweep.
const SWEEP_PAGE: usize = 1000;

/// Copies a store into a directory, beside the server that uses it; again and again into the same one, adding what is new.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The backup's directory: a new or empty one, or that of earlier backups of this store.
    pub copy: PathBuf,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Leave root.key and credentials out. A restore then needs the root key from elsewhere.
    #[arg(long)]
    pub without_root_key: bool,
}

/// What a backup or a restore did.
#[derive(Debug)]
pub struct Report {
    pub text: String,
    /// Whether every layer was copied.
    pub complete: bool,
}

/// Why a backup ended. What was in the copy before can be restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Copy(#[from] CopyDirError),
    #[error(transparent)]
    Keys(#[from] NoRootKey),
    #[error(
        "no root key is here: set ECRU_ROOT_KEY or ECRU_ROOT_KEY_FILE as for the server, or leave it out with --without-root-key"
    )]
    NoRootKey,
    #[error("the root key can't be backed up")]
    RootKey(#[source] BootstrapError),
    #[error("the records can't be copied")]
    Records(#[from] meta::Error),
    #[error("the layers can't be copied")]
    Layers(#[from] TransferError),
    #[error("layers of the copy that are no longer needed can't be removed")]
    Sweep(#[source] blob::Error),
}

impl Backup {
    /// Copies records, then the layers that they name, then the keys.
    pub async fn run(self, variables: Variables<'_>) -> Result<Report, BackupError> {
        umask(Mode::RWXG | Mode::RWXO);
        let settings = self.store.settings(variables)?;
        let stores = Stores::attach(&settings).await?;
        let done = back_up(&self.copy, &stores, &settings, self.without_root_key).await;
        stores.db.close().await;
        done
    }
}

async fn back_up(
    copy: &std::path::Path,
    stores: &Stores,
    settings: &StoreSettings,
    without_root_key: bool,
) -> Result<Report, BackupError> {
    // What can be refused is refused before anything is copied.
    let root_keys = if without_root_key { None } else { Some(root_keys(stores, settings).await?) };
    let copy = CopyDir::make(copy, stores.id)?;

    // The server may run: nothing that the records name is collected until their bytes are copied.
    let hold = hold(stores).await?;

    // Records first: the bytes of what they name exist.
    stores.db.copy_to(copy.new_records(), SystemClock.now().0).await?;
    let mut records = RecordsFile::open(&copy.new_records())?;
    let mut before = match RecordsFile::open(&copy.records()) {
        Ok(before) => Some(before),
        Err(meta::Error::Absent) => None,
        Err(error) => return Err(error.into()),
    };
    let (_, total) = records.read(|tx| tx.store_located_total())?;
    let progress = Progress::new("Layers", u64::try_from(total).unwrap_or(0));
    let to = FsEngine::open(copy.layers(), Arc::new(RealDisk), stores.buffers.clone()).await;
    let to = to.map_err(TransferError::Target)?;
    let summary = transfer(&stores.layers, &to, &mut records, before.as_mut(), &progress).await;
    progress.end();
    // A hold that can't be ended ends by itself, and is no reason to throw the copy away.
    if let Some(hold) = hold
        && let Err(error) = hold.end().await
    {
        tracing::warn!(error = %error, "The hold of all layers can't be ended");
    }
    let summary = summary?;

    // Keys before the records that need them; then the records; then nothing needs what no record names.
    let credentials = read_optional(&stores.files.credentials())?;
    let keys = root_keys.as_ref().map(RootKeys::to_text);
    copy.keep_keys(keys.as_ref().map(|keys| (keys.as_str(), credentials.as_ref().map(|text| text.as_str()))))?;
    drop(before);
    copy.end_backup()?;
    let removed = sweep(&to, &mut records).await?;
    let held = match (root_keys.is_some(), credentials.is_some()) {
        (false, _) => "The copy has no root key: keep that elsewhere, a restore needs it.\n",
        (true, false) => "The copy holds the root key: keep it as safe as the server itself.\n",
        (true, true) => {
            "The copy holds the root key and the administrator's keys: keep it as safe as the server itself.\n"
        }
    };
    Ok(report(&copy, &summary, removed, held))
}

/// Keeps the server from collecting layers. A store that can't be written collects nothing, and can be backed up all the same.
async fn hold(stores: &Stores) -> Result<Option<Hold>, meta::Error> {
    let clock = Arc::new(SystemClock);
    let id = kernel::random::id(&SystemRandom, clock.now()).into();
    match Hold::begin(&stores.db, clock, id).await {
        Ok(hold) => Ok(Some(hold)),
        Err(meta::Error::ReadOnly(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The root keys, proven to be the store's: others would make a copy that nobody can use.
async fn root_keys(stores: &Stores, settings: &StoreSettings) -> Result<RootKeys, BackupError> {
    let given = match &settings.root_keys {
        Some(keys) => Some(keys.clone()),
        None => stores.files.given_root_keys()?,
    };
    let given = given.ok_or(BackupError::NoRootKey)?;
    let keys = Keys::new(given.clone().into_inner())?;
    bootstrap::check_root_keys(&stores.db, &keys).await.map_err(BackupError::RootKey)?;
    Ok(given)
}

/// Removes the copy's layers that no record of it names.
async fn sweep(layers: &FsEngine, records: &mut RecordsFile) -> Result<u64, BackupError> {
    let (mut after, mut removed) = (None, 0);
    loop {
        let page = layers.list(after, SWEEP_PAGE).await.map_err(BackupError::Sweep)?;
        let Some(last) = page.last() else { return Ok(removed) };
        after = Some(*last);
        for location in page {
            if records.read(|tx| tx.store_location(LocationId(location.0)))?.is_none() {
                layers.remove(location, None).await.map_err(BackupError::Sweep)?;
                removed += 1;
            }
        }
    }
}

/// `held` says which keys are in the copy.
fn report(copy: &CopyDir, summary: &Summary, removed: u64, held: &str) -> Report {
    let mut text = format!(
        "Backed up into {}: {} layers copied ({}), {} there before, {removed} removed that nothing names.\n",
        copy.path().display(),
        summary.copied,
        bytes(summary.copied_bytes),
        summary.kept,
    );
    text.push_str(held);
    text.push_str(&damage(summary, "The backup lacks"));
    Report { text, complete: summary.damaged.is_empty() }
}

/// Names what could not be copied; nothing when everything was.
pub fn damage(summary: &Summary, lacks: &str) -> String {
    if summary.damaged.is_empty() {
        return String::new();
    }
    let count = summary.damaged.len();
    let mut text = format!("{lacks} {count} layers that are damaged where they were read; push them again:\n");
    for layer in &summary.damaged {
        text.push_str(&format!("  {}\n", layer.why));
    }
    text
}
