//! Writes the record of a layer. There is no other place that does.

use super::open::record_bytes;
use crate::{Cx, Error};
use blob::Location;
use meta::records::RegistryKey;
use meta::records::layer::{self, LayerRow};
use meta::{LayerId, LocationId, RepositoryId, UploadId};
use oci::Digest;

/// The storage class of a layer that is not archived (`ECR.md` K.1).
const STANDARD: &str = "STANDARD";

/// Where the bytes of a new layer are.
#[derive(Clone)]
pub(crate) enum LayerBytes {
    /// In memory, to be written to `layer_data`.
    Inline(Vec<u8>),
    /// Durable at a location.
    Stored(Location),
}

/// A received layer whose digest was verified.
#[derive(Clone)]
pub(crate) struct NewLayer {
    /// The id for its record, if there is none yet.
    pub id: LayerId,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub bytes: LayerBytes,
    /// The checksums of its blocks, in the stored form of [`blob::checksum`].
    pub checksums: Vec<u8>,
}

impl NewLayer {
    fn location(&self) -> Option<Location> {
        match self.bytes {
            LayerBytes::Stored(location) => Some(location),
            LayerBytes::Inline(_) => None,
        }
    }
}

/// What [`record`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordedLayer {
    /// True if this call made the layer visible. False if it already was, or if the repository or the upload is gone.
    pub newly_shown: bool,
    /// True if the layer existed with missing or damaged bytes, and the new bytes have replaced them.
    pub mended: bool,
    /// Bytes that no record names: the new ones if the layer has intact bytes already, or the replaced ones.
    pub surplus: Option<Location>,
}

/// Why [`record`] wrote nothing.
#[derive(Debug)]
pub(crate) enum NotRecorded {
    /// The layer is there, with `size` bytes at a location that must be looked at first ([`check_location`]), outside the transaction.
    LookAt {
        location: Location,
        size: i64,
    },
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotRecorded {
    fn from(error: E) -> NotRecorded {
        NotRecorded::Failed(error.into())
    }
}

/// Whether the bytes of a layer that was found at a location are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocationCheck {
    location: Location,
    sound: bool,
}

impl LocationCheck {
    pub(crate) fn sound(self) -> bool {
        self.sound
    }
}

/// Looks whether a location holds `size` bytes. Bytes that can't be looked at count as not sound: those that a push has just verified
/// are better.
pub(crate) async fn check_location(cx: &Cx, location: Location, size: i64) -> LocationCheck {
    let sound = match cx.blobs.stat(location).await {
        Ok(stat) => stat.is_some_and(|stat| i64::try_from(stat.size) == Ok(size)),
        Err(error) => {
            tracing::warn!(layer.location = %location, error = %error, "The stored bytes of a layer can't be looked at");
            false
        }
    };
    LocationCheck { location, sound }
}

/// Makes an uploaded layer visible in a repository with this encryption identity, and restarts the grace period if it is unreferenced.
///
/// If the layer exists already under that identity, it keeps its bytes if they are intact. Damaged or missing bytes are replaced by the new
/// ones. Only `check` can tell that of a location.
pub(crate) fn record(
    tx: &mut meta::Tx<'_>,
    registry: &RegistryKey,
    (repository, encryption): (RepositoryId, &str),
    upload: UploadId,
    new: &NewLayer,
    check: Option<LocationCheck>,
    now: i64,
) -> Result<RecordedLayer, NotRecorded> {
    let digest = new.digest.to_bytes();
    let row = LayerRow {
        id: new.id,
        digest: digest.clone(),
        size: i64::try_from(new.size).unwrap_or(i64::MAX),
        location: new.location().map(|location| LocationId(location.0)),
        data_key: None,
        storage_class: STANDARD.to_owned(),
        created_at: now,
        unreferenced_since: Some(now),
        damaged_at: None,
    };
    let recorded = tx.attempt(layer::insert(registry, encryption, &row, &new.checksums))?;
    // Most layers are new, so make the layer visible before the insert's outcome is known. Both cost one round trip.
    let shown = tx.attempt(layer::show_received(repository, &digest, new.id, upload))?;
    let newly_shown = tx.succeeded(shown)?;
    if tx.succeeded(recorded)? {
        if let LayerBytes::Inline(bytes) = &new.bytes {
            tx.layer_data_insert(new.id, bytes)?;
        }
        return Ok(RecordedLayer { newly_shown, mended: false, surplus: None });
    }

    // The layer exists already. If it can't be found, the transaction conflicts with another one and runs again.
    let found = tx.layer_by_digest(registry, encryption, &digest)?;
    let found = found.ok_or(meta::Error::Busy)?;
    if newly_shown {
        tx.layer_show_other(repository, &digest, found.id)?;
    }
    tx.layer_rearm(found.id, now)?;
    let ours = new.location();
    let theirs = found.location.map(|location| Location(location.0));
    if is_sound(tx, &found, new, check)? {
        // If the bytes are the same, an earlier commit whose answer was lost has recorded them. Then keep them.
        return Ok(RecordedLayer { newly_shown, mended: false, surplus: ours.filter(|_| ours != theirs) });
    }
    replace(tx, found.id, &row, new)?;
    Ok(RecordedLayer { newly_shown, mended: true, surplus: theirs.filter(|_| ours != theirs) })
}

/// Returns true if the bytes of an existing layer are intact, as far as that is known without reading all of them.
fn is_sound(
    tx: &mut meta::Tx<'_>,
    found: &LayerRow,
    new: &NewLayer,
    check: Option<LocationCheck>,
) -> Result<bool, NotRecorded> {
    if found.damaged_at.is_some() {
        return Ok(false);
    }
    let Some(location) = found.location.map(|location| Location(location.0)) else {
        let stored = tx.look_up(layer::by_id_to_read(found.id))?;
        return Ok(stored.is_some_and(|(row, content)| record_bytes(&row, content).is_ok()));
    };
    if new.location() == Some(location) {
        return Ok(true);
    }
    match check.filter(|check| check.location == location) {
        Some(LocationCheck { sound, .. }) => Ok(sound),
        None => Err(NotRecorded::LookAt { location, size: found.size }),
    }
}

/// Replaces a layer's damaged bytes by the new ones.
fn replace(tx: &mut meta::Tx<'_>, id: LayerId, row: &LayerRow, new: &NewLayer) -> Result<(), meta::Error> {
    tx.layer_data_delete(id)?;
    if let LayerBytes::Inline(bytes) = &new.bytes {
        tx.layer_data_insert(id, bytes)?;
    }
    tx.layer_move(id, row.size, row.location, &new.checksums)
}
