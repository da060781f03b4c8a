//! Making a layer exist: the one place that writes its record.
use super::open::record_bytes;
use crate::{Cx, Error};
use blob::Location;
use meta::records::RegistryKey;
use meta::records::layer::{self, LayerRow};
use meta::{LayerId, LocationId, RepositoryId, UploadId};
use oci::Digest;

/// The storage class of a layer that can be read at once (`ECR.md` K.1).
const STANDARD: &str = "STANDARD";

/// Where the bytes of a new layer are.
#[derive(Clone)]
pub(crate) enum LayerBytes {
    /// To be written beside the record.
    Inline(Vec<u8>),
    /// Durable at a location of its own.
    Stored(Location),
}

/// A layer whose bytes have come and whose digest was checked.
#[derive(Clone)]
pub(crate) struct NewLayer {
    /// The id of its record, should there be none yet.
    pub id: LayerId,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub bytes: LayerBytes,
    /// Of its blocks, as [`blob::checksum`] stores them.
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
    /// The repository shows it only from now on. Else it showed it before, or it is gone, or the upload was cancelled.
    pub newly_shown: bool,
    /// The layer was there, but its bytes were missing or damaged; the new ones have taken their place.
    pub mended: bool,
    /// Bytes that no record names: the new ones, when the layer has sound ones already, or those that the new ones replaced.
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

/// Shows the layer that an upload brought in a repository of that encryption identity, and begins the grace of an unreferenced one
/// anew.
///
/// A layer that exists already under that identity keeps its bytes if they are sound; damaged or missing ones are replaced by the new
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
    // Most layers are new, so this one is shown before it is known whether there was one: both cost one exchange.
    let shown = tx.attempt(layer::show_received(repository, &digest, new.id, upload))?;
    let newly_shown = tx.succeeded(shown)?;
    if tx.succeeded(recorded)? {
        if let LayerBytes::Inline(bytes) = &new.bytes {
            tx.layer_data_insert(new.id, bytes)?;
        }
        return Ok(RecordedLayer { newly_shown, mended: false, surplus: None });
    }
    let found = tx.layer_by_digest(registry, encryption, &digest)?;
    // Refused as a duplicate, so it is there, unless this transaction is about to be run again.
    let found = found.ok_or(meta::Error::Busy)?;
    if newly_shown {
        tx.layer_show_other(repository, &digest, found.id)?;
    }
    tx.layer_rearm(found.id, now)?;
    let ours = new.location();
    let theirs = found.location.map(|location| Location(location.0));
    if is_sound(tx, &found, new, check)? {
        // A commit whose answer was lost may have recorded these very bytes.
        return Ok(RecordedLayer { newly_shown, mended: false, surplus: ours.filter(|_| ours != theirs) });
    }
    replace(tx, found.id, &row, new)?;
    Ok(RecordedLayer { newly_shown, mended: true, surplus: theirs.filter(|_| ours != theirs) })
}

/// Whether the bytes of a layer that exists are there, as far as is known without reading them whole.
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

/// Puts the new bytes in the place of a layer's damaged ones.
fn replace(tx: &mut meta::Tx<'_>, id: LayerId, row: &LayerRow, new: &NewLayer) -> Result<(), meta::Error> {
    tx.layer_data_delete(id)?;
    if let LayerBytes::Inline(bytes) = &new.bytes {
        tx.layer_data_insert(id, bytes)?;
    }
    tx.layer_move(id, row.size, row.location, &new.checksums)
}
