//! Moves the layers that a file of records names from one directory of layers into another, each verified on its way.

use super::progress::Progress;
use blob::fs::FsEngine;
use blob::{Engine as _, Location, Reader};
use futures_util::StreamExt as _;
use futures_util::stream;
use meta::LocationId;
use meta::RecordsFile;
use meta::records::store::LocatedLayer;
use oci::{Digest, Hasher};

/// Layers that are moved at once: one waits for its sync while another is read.
const AT_ONCE: usize = 4;
/// Records that are read at once.
const PAGE: u32 = 500;

/// Why a transfer ended: not a layer's fault, but its target's or the records'.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error("the records can't be read")]
    Records(#[from] meta::Error),
    #[error("layers can't be written")]
    Target(#[source] blob::Error),
    #[error("a record names a digest that is none")]
    Digest(#[from] oci::InvalidDigest),
}

/// What a transfer did.
#[derive(Debug, Default)]
pub struct Summary {
    pub copied: u64,
    pub copied_bytes: u64,
    /// Layers that were there before.
    pub kept: u64,
    /// The layers that are not in the target now.
    pub damaged: Vec<DamagedLayer>,
}

/// A layer that could not be moved.
#[derive(Debug)]
pub struct DamagedLayer {
    pub location: LocationId,
    /// One line that names it and says what is wrong.
    pub why: String,
}

/// What became of one layer.
enum Moved {
    Copied,
    Kept,
    /// The source has other bytes than its record says, or none.
    Damaged(String),
}

/// Moves every layer that `records` names. A layer in the target is kept: without reading it if `trusted` names it too, since a
/// transfer that ended vouches for it; else if its bytes are right.
pub async fn transfer(
    from: &FsEngine,
    to: &FsEngine,
    records: &mut RecordsFile,
    mut trusted: Option<&mut RecordsFile>,
    progress: &Progress,
) -> Result<Summary, TransferError> {
    let mut summary = Summary::default();
    // No location is all zeros.
    let mut page = records.read(|tx| tx.store_located_after(LocationId::MIN, PAGE))?;
    while let Some(last) = page.last().map(|layer| layer.location) {
        let mut work = Vec::with_capacity(page.len());
        for layer in page {
            let known = match &mut trusted {
                Some(trusted) => trusted.read(|tx| tx.store_location(layer.location))?,
                None => None,
            };
            let trust = known.is_some_and(|known| known == layer);
            work.push(async move {
                let moved = move_layer(from, to, &layer, trust, progress).await;
                moved.map(|moved| (layer, moved))
            });
        }
        let mut moving = stream::iter(work).buffer_unordered(AT_ONCE);
        while let Some(ended) = moving.next().await {
            let (layer, moved) = ended?;
            summary.count(&layer, moved)?;
        }
        page = records.read(|tx| tx.store_located_after(last, PAGE))?;
    }
    Ok(summary)
}

impl Summary {
    fn count(&mut self, layer: &LocatedLayer, moved: Moved) -> Result<(), TransferError> {
        match moved {
            Moved::Kept => self.kept += 1,
            Moved::Copied => {
                self.copied += 1;
                self.copied_bytes += size(layer);
            }
            Moved::Damaged(why) => {
                let digest = Digest::from_bytes(&layer.digest)?;
                let why = format!("layer {digest} at {}: {why}", Location(layer.location.0));
                self.damaged.push(DamagedLayer { location: layer.location, why });
            }
        }
        Ok(())
    }
}

fn size(layer: &LocatedLayer) -> u64 {
    u64::try_from(layer.size).unwrap_or(0)
}

async fn move_layer(
    from: &FsEngine,
    to: &FsEngine,
    layer: &LocatedLayer,
    trust: bool,
    progress: &Progress,
) -> Result<Moved, TransferError> {
    let (location, digest) = (Location(layer.location.0), Digest::from_bytes(&layer.digest)?);
    // What is there may be whole already, or what a killed transfer left.
    if let Some(stat) = to.stat(location).await.map_err(TransferError::Target)? {
        let whole = stat.size == size(layer) && (trust || holds(to, layer, &digest).await);
        if whole {
            progress.add(size(layer));
            return Ok(Moved::Kept);
        }
        to.remove(location, None).await.map_err(TransferError::Target)?;
    }
    // The source's faults are the layer's; the rest goes on.
    let stat = match from.stat(location).await {
        Ok(Some(stat)) => stat,
        Ok(None) => return Ok(Moved::Damaged("its file is missing".to_owned())),
        Err(error) => return Ok(Moved::Damaged(unreadable(&error))),
    };
    if stat.size != size(layer) {
        return Ok(Moved::Damaged(format!("its file has {} bytes, and its record says {}", stat.size, layer.size)));
    }
    let reader = match from.read(location, 0..stat.size).await {
        Ok(Some(reader)) => reader,
        Ok(None) => return Ok(Moved::Damaged("its file is missing".to_owned())),
        Err(error) => return Ok(Moved::Damaged(unreadable(&error))),
    };
    let why = match copy(reader, to, location, &digest, progress).await? {
        Ok(()) => return Ok(Moved::Copied),
        Err(why) => why,
    };
    to.remove(location, None).await.map_err(TransferError::Target)?;
    Ok(Moved::Damaged(why))
}

/// Copies and verifies; `Ok(Err)` says what is wrong with the source.
async fn copy(
    mut reader: Box<dyn Reader>,
    to: &FsEngine,
    location: Location,
    digest: &Digest,
    progress: &Progress,
) -> Result<Result<(), String>, TransferError> {
    let mut writer = to.create(location).await.map_err(TransferError::Target)?;
    let mut hasher = Hasher::new(digest.algorithm());
    loop {
        match reader.next().await {
            Ok(Some(buffer)) => {
                hasher.update(&buffer);
                progress.add(buffer.len() as u64);
                writer.write(buffer).await.map_err(TransferError::Target)?;
            }
            Ok(None) => break,
            Err(error) => return Ok(Err(unreadable(&error))),
        }
    }
    if hasher.finish() != *digest {
        return Ok(Err("its bytes are not those of its digest".to_owned()));
    }
    writer.finish().await.map_err(TransferError::Target)?;
    Ok(Ok(()))
}

/// Whether the target has the right bytes; one that can't be read is written again.
async fn holds(to: &FsEngine, layer: &LocatedLayer, digest: &Digest) -> bool {
    let Ok(Some(mut reader)) = to.read(Location(layer.location.0), 0..size(layer)).await else { return false };
    let mut hasher = Hasher::new(digest.algorithm());
    loop {
        match reader.next().await {
            Ok(Some(buffer)) => hasher.update(&buffer),
            Ok(None) => return hasher.finish() == *digest,
            Err(_) => return false,
        }
    }
}

fn unreadable(error: &blob::Error) -> String {
    format!("its file can't be read: {}", kernel::ErrorChain(error))
}
