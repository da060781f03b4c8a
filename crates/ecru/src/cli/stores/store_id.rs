//! Whether records and layers belong together: both hold the id of their store, and the directory knows where its records are.
//!
//! The id goes into the layers' directory first, then into the records, then the directory remembers where its records are. If a
//! start is interrupted, the next one continues: records without an id take the directory's id. A directory without an id beside
//! records that have one never belonged to them, or is not mounted. Only layers of these records in it prove otherwise.

use crate::config::MetadataStore;
use crate::data_dir::{DataDir, DataDirError, DataFiles, RecordsPlace, StoreId};
use blob::fs::FsEngine;
use blob::{Engine as _, Location};
use kernel::clock::Time;
use kernel::random::Random;
use meta::{Db, LocationId};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Layers that are looked for before records and a directory without an id are taken for one store.
const SAMPLE: u32 = 100;

/// Why records and layers are refused as one store.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the records of {} are in PostgreSQL; set --postgres or ECRU_POSTGRES", .0.display())]
    InPostgres(PathBuf),
    #[error(
        "the records of {} are in its ecru.db, and PostgreSQL would begin without them: leave --postgres and ECRU_POSTGRES out, \
         or move them with `ecru backup` and `ecru restore --postgres`",
        .0.display()
    )]
    InSqlite(PathBuf),
    #[error(
        "the records are empty, but {} holds `{trace}` of a store that was used: set --postgres (ECRU_POSTGRES) if its records \
         are in PostgreSQL and name the right database, or restore a backup; to begin anew, remove the whole directory",
        path.display()
    )]
    NoRecords { path: PathBuf, trace: &'static str },
    #[error(
        "the layers in {} belong to store {found}, and the records to store {expected}: mount the right directory, or name \
         the right database",
        path.display()
    )]
    Foreign { path: PathBuf, found: StoreId, expected: StoreId },
    #[error(
        "{} lacks layers that the records name ({missing} of {sampled} looked for): is it not mounted, or of another store? \
         Mount it or restore a backup; docs/operations.md, \"The right store\", says how to go on without them",
        path.display()
    )]
    NoLayers { path: PathBuf, missing: usize, sampled: usize },
    #[error(
        "{} has no id, and the records are those of store {expected}: is it not mounted, or does another node keep the layers? \
         Mount the directory that holds them or restore a backup; docs/operations.md, \"The right store\", says how to go on without",
        path.display()
    )]
    NoDirectoryId { path: PathBuf, expected: StoreId },
    #[error("the store has no id yet; start `ecru serve` on it once")]
    NoId,
    #[error("the records of the store can't be read")]
    Records(#[from] meta::Error),
    #[error("the layers of the store can't be read")]
    Layers(#[from] blob::Error),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

impl MetadataStore {
    /// Where the records are.
    pub(super) fn place(&self) -> RecordsPlace {
        match self {
            MetadataStore::Sqlite => RecordsPlace::Sqlite,
            MetadataStore::Postgres { .. } => RecordsPlace::Postgres,
        }
    }
}

/// Refuses a directory whose records are elsewhere or gone. Nothing is made.
pub fn expect(data: &DataFiles, wanted: RecordsPlace) -> Result<(), IdentityError> {
    let remembered = data.records_place()?;
    let path = || data.path().to_owned();
    match (wanted, remembered) {
        (RecordsPlace::Sqlite, Some(RecordsPlace::Postgres)) => return Err(IdentityError::InPostgres(path())),
        (RecordsPlace::Postgres, Some(RecordsPlace::Sqlite)) => return Err(IdentityError::InSqlite(path())),
        _ => {}
    }
    let database = data.database();
    match wanted {
        RecordsPlace::Sqlite if !database.exists() => match data.trace_of_use()? {
            Some(trace) => Err(IdentityError::NoRecords { path: path(), trace }),
            None => Ok(()),
        },
        // A directory of a version that did not remember it.
        RecordsPlace::Postgres if remembered.is_none() && meta::sqlite_holds_records(&database)? => {
            Err(IdentityError::InSqlite(path()))
        }
        _ => Ok(()),
    }
}

/// Compares the ids of records and layers, and gives them where they are missing.
pub async fn settle(
    db: &Db,
    layers: &FsEngine,
    data: &DataDir,
    metadata: &MetadataStore,
    random: &dyn Random,
    now: Time,
) -> Result<StoreId, IdentityError> {
    let (recorded, used) = db.read(|tx| Ok::<_, meta::Error>((tx.store_get()?, tx.root_key_count()? > 0))).await?;
    let found = data.layers_id()?;
    // New records have neither an id nor the proof of a root key.
    if recorded.is_none()
        && !used
        && let Some(trace) = data.trace_of_use()?
    {
        return Err(IdentityError::NoRecords { path: data.path().to_owned(), trace });
    }
    let id = match (recorded, found) {
        (Some(expected), Some(found)) => {
            same(data, expected, found)?;
            expected
        }
        (Some(expected), None) => {
            hold_layers(db, layers, data, expected).await?;
            if_it_can(data.write_layers_id(expected))?;
            expected
        }
        (None, found) => {
            prove_layers(db, layers, data).await?;
            let id = found.unwrap_or_else(|| new_id(random));
            if found.is_none() && !if_it_can(data.write_layers_id(id))? {
                return Ok(id);
            }
            match db.write(move |tx| tx.store_put(id, now.0)).await {
                Err(error @ (meta::Error::Full(_) | meta::Error::ReadOnly(_))) => {
                    tracing::warn!(%error, "The store's id can't be written down now; the next start does it");
                    return Ok(id);
                }
                // Another node may have been first.
                recorded => same(data, recorded?, id)?,
            }
            id
        }
    };
    if data.records_place()?.is_none() {
        if_it_can(data.write_records_place(metadata.place()))?;
    }
    Ok(id)
}

/// Tolerates a full or read-only disk: the server serves what there is, and the next start tries the write again. Returns true if it
/// was written.
fn if_it_can(written: Result<(), DataDirError>) -> Result<bool, DataDirError> {
    match written {
        Err(error @ (DataDirError::Full { .. } | DataDirError::ReadOnly { .. })) => {
            tracing::warn!(%error, "What the store belongs to can't be written down now; the next start does it");
            Ok(false)
        }
        other => other.map(|()| true),
    }
}

/// Compares the ids of records and layers, beside a server that has settled them. Returns the id.
pub async fn compare(db: &Db, layers: &FsEngine, data: &DataFiles) -> Result<StoreId, IdentityError> {
    let recorded = db.read(|tx| tx.store_get()).await?;
    let expected = recorded.ok_or(IdentityError::NoId)?;
    match data.layers_id()? {
        Some(found) => same(data, expected, found)?,
        None => hold_layers(db, layers, data, expected).await?,
    }
    Ok(expected)
}

fn same(data: &DataFiles, expected: StoreId, found: StoreId) -> Result<(), IdentityError> {
    if expected == found {
        return Ok(());
    }
    Err(IdentityError::Foreign { path: data.layers(), found, expected })
}

/// Refuses a directory without an id beside records that have one, unless layers that the records name lie in it.
async fn hold_layers(db: &Db, layers: &FsEngine, data: &DataFiles, expected: StoreId) -> Result<(), IdentityError> {
    match prove_layers(db, layers, data).await? {
        0 => Err(IdentityError::NoDirectoryId { path: data.layers(), expected }),
        _ => Ok(()),
    }
}

fn new_id(random: &dyn Random) -> StoreId {
    let mut id = [0; 16];
    random.fill(&mut id);
    StoreId(id)
}

/// Looks for a sample of the layers that the records name, spread over their locations. Most of it must be there with the right
/// size: one file that is there proves the directory, since locations are random, but a damaged store must start too. Returns how many of them
/// are there.
async fn prove_layers(db: &Db, layers: &FsEngine, data: &DataFiles) -> Result<usize, IdentityError> {
    let sample = db.read(sample).await?;
    let mut missing = 0;
    for (location, size) in &sample {
        let stat = layers.stat(Location(location.0)).await?;
        missing += usize::from(stat.is_none_or(|stat| i64::try_from(stat.size) != Ok(*size)));
    }
    if missing * 2 >= sample.len() && missing > 0 {
        return Err(IdentityError::NoLayers { path: data.layers(), missing, sampled: sample.len() });
    }
    if missing > 0 {
        let (layers_missing, layers_sampled) = (missing, sample.len());
        tracing::warn!(layers_missing, layers_sampled, "Layers are missing or cut: `ecru verify` says which");
    }
    Ok(sample.len() - missing)
}

/// Layers whose locations follow evenly spread ones. A location begins with the time of its making.
fn sample(tx: &mut meta::Tx<'_>) -> Result<BTreeSet<(LocationId, i64)>, meta::Error> {
    let mut sample = BTreeSet::new();
    let Some((first, last)) = tx.store_locations()? else { return Ok(sample) };
    let (first, last) = (u128::from_be_bytes(first.0), u128::from_be_bytes(last.0));
    let step = (last - first) / u128::from(SAMPLE - 1);
    for number in 0..SAMPLE {
        let from = if number == SAMPLE - 1 { last } else { first + step * u128::from(number) };
        let found = tx.store_sound_from(LocationId(from.to_be_bytes()), 1)?;
        sample.extend(found.into_iter().map(|layer| (layer.location, layer.size)));
    }
    // Records that were made at once lie close together, so that a small store is looked at whole.
    let more = tx.store_sound_from(LocationId(first.to_be_bytes()), SAMPLE)?;
    let room = (SAMPLE as usize).saturating_sub(sample.len());
    let more = more.into_iter().map(|layer| (layer.location, layer.size)).filter(|layer| !sample.contains(layer));
    let more: Vec<_> = more.take(room).collect();
    sample.extend(more);
    Ok(sample)
}
