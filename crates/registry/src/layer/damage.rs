//! Layers whose stored bytes are missing or wrong: they are marked, and count as missing everywhere until they are pushed again.
use super::open::record_bytes;
use crate::clock::Time;
use crate::{Error, System};
use blob::Location;
use meta::records::layer::{self, LayerRow};
use oci::Digest;

/// What is wrong with the stored bytes of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// There are none.
    Missing,
    /// There are fewer than the record says.
    Short,
    /// There are more than the record says. Only a whole look finds it.
    Long,
    /// They are others than those that were pushed.
    Altered,
    /// They are those that were pushed, but the checksums of the record are of others. Only a whole look finds it.
    Checksums,
}

impl Damage {
    /// A word for the log and for reports.
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

/// Marks a layer whose bytes were found damaged at `row.location`; false when it was marked already or its bytes lie elsewhere by
/// now. Bytes in the record are looked at once more in the transaction.
pub(super) async fn mark(db: &meta::Db, now: Time, row: &LayerRow) -> Result<bool, Error> {
    let (id, location) = (row.id, row.location);
    // A full disk is no reason to go on saying that the layer is there.
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

/// Takes the mark from a layer whose bytes were found right at `row.location`; false when it has none or lies elsewhere by now.
pub(super) async fn unmark(db: &meta::Db, row: &LayerRow) -> Result<bool, Error> {
    let (id, location) = (row.id, row.location);
    let unmarked: Result<bool, meta::Error> = db.write(move |tx| tx.change(layer::unmark(id, location))).await;
    Ok(unmarked?)
}

/// Marks a layer that a reader found damaged twice, and says so in the log. Returns what the reader's caller hears: the mark is
/// committed by then.
pub(super) async fn found(system: &System, row: &LayerRow, damage: Damage) -> Error {
    let location = row.location.map_or_else(|| "the record".to_owned(), |id| Location(id.0).to_string());
    let digest = match Digest::from_bytes(&row.digest) {
        Ok(digest) => digest.to_string(),
        Err(error) => return Error::server(error),
    };
    // Bytes that are gone may be all gone, with the volume that they lay on. That is no fault of this layer.
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
        // Another reader was first, or a push has replaced the bytes meanwhile.
        Ok(false) => {}
        Err(error) => {
            tracing::error!(
                layer.digest = digest,
                layer.location = location,
                layer.damage = damage.name(),
                error = %error,
                "The stored bytes of a layer are damaged, which can't be written down now"
            );
            return error;
        }
    }
    Error::LayerDamaged { digest }
}
