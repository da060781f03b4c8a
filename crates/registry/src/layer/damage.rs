//! Marks layers whose stored bytes are missing or corrupt. A marked layer counts as missing everywhere until it is pushed again.

use super::open::record_bytes;
use crate::clock::Time;
use crate::{Error, System};
use blob::Location;
use meta::records::layer::{self, LayerRow};
use oci::Digest;

/// A damage of a layer's stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The bytes do not exist.
    Missing,
    /// There are fewer bytes than the record says.
    Short,
    /// There are more bytes than the record says. Only a verification finds this.
    Long,
    /// The bytes differ from the pushed ones.
    Altered,
    /// The bytes are the pushed ones, but the checksums in the record are wrong. Only a verification finds this.
    Checksums,
}

impl Damage {
    /// Returns the name for the log and for reports.
    pub fn name(self) -> &'static str {
        match self {
            Damage::Missing => "missing",
            Damage::Short => "short",
            Damage::Long => "too long",
            Damage::Altered => "altered",
            Damage::Checksums => "with wrong checksums",
        }
    }
}

/// Marks a layer whose bytes at `row.location` are damaged. Returns false if it was marked already, or if its bytes have moved. Bytes in
/// the record are checked again in the transaction.
pub(super) async fn mark(db: &meta::Db, now: Time, row: &LayerRow) -> Result<bool, Error> {
    let (id, location) = (row.id, row.location);
    // The mark must be written on a full disk too, so use the reserve.
    db.write_to_free(move |tx| {
        if location.is_none() {
            let found = tx.look_up(layer::by_id_to_read(id))?;
            if found.is_some_and(|(row, content)| record_bytes(&row, content).is_ok()) {
                return Ok(false);
            }
        }
        tx.change(layer::mark(id, location, now.0))
    })
    .await
    .map_err(|error: meta::Error| error.into())
}

/// Removes the mark from a layer whose bytes at `row.location` are intact. Returns false if it has no mark, or if its bytes have moved.
pub(super) async fn unmark(db: &meta::Db, row: &LayerRow) -> Result<bool, Error> {
    let (id, location) = (row.id, row.location);
    let unmarked: Result<bool, meta::Error> = db.write(move |tx| tx.change(layer::unmark(id, location))).await;
    Ok(unmarked?)
}

/// Marks a layer that a reader has found damaged twice, and logs it. Returns the error for the reader's caller, after the mark is
/// committed.
pub(super) async fn found(system: &System, row: &LayerRow, damage: Damage) -> Error {
    let location = row.location.map_or_else(|| "the record".to_owned(), |id| Location(id.0).to_string());
    let digest = match Digest::from_bytes(&row.digest) {
        Ok(digest) => digest.to_string(),
        Err(error) => return Error::server(error),
    };
    // If the bytes are missing, the whole volume may be gone. Then do not mark this layer.
    if damage != Damage::Altered
        && row.location.is_some()
        && let Err(error) = system.blobs.present()
    {
        return error.into();
    }
    match mark(&system.db, system.now(), row).await {
        Ok(true) => tracing::error!(
            layer.digest = digest,
            layer.location = location,
            layer.damage = damage.name(),
            "The stored bytes of a layer are damaged; it counts as missing until it is pushed again"
        ),
        // Another reader has marked the layer, or a push has replaced the bytes.
        Ok(false) => {}
        Err(error) => {
            tracing::error!(
                layer.digest = digest,
                layer.location = location,
                layer.damage = damage.name(),
                error = %error,
                "The stored bytes of a layer are damaged, but the layer can't be marked now"
            );
            return error;
        }
    }
    Error::LayerDamaged { digest }
}
