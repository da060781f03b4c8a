//! Making a layer exist: the one place that writes its record.
use blob::Location;
use meta::records::layer::{self, LayerRow};
use meta::records::{Id, RegistryKey};
use oci::Digest;

/// The storage class of a layer that can be read at once (`ECR.md` K.1).
const STANDARD: &str = "STANDARD";

/// Where the bytes of a new layer are.
#[derive(Clone)]
pub(crate) enum Kept {
    /// To be written beside the record.
    Inline(Vec<u8>),
    /// Durable at a location of its own.
    At(Location),
}

/// A layer whose bytes have come and whose digest was checked.
#[derive(Clone)]
pub(crate) struct NewLayer {
    /// The id of its record, should there be none yet.
    pub id: Id,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub kept: Kept,
}

/// What [`record`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The repository shows it only from now on. Else it showed it before, or it is gone, or the upload was cancelled.
    pub newly_shown: bool,
    /// The layer has these bytes elsewhere: what lies at this location is no one's.
    pub surplus: Option<Location>,
}

/// Shows the layer that an upload brought in a repository of that encryption identity. One that exists already under the same is
/// taken as it is, and the grace of an unreferenced one begins anew.
pub(crate) fn record(
    tx: &mut meta::Tx<'_>,
    registry: &RegistryKey,
    (repository, encryption): (Id, &str),
    upload: Id,
    new: &NewLayer,
    now: i64,
) -> Result<Recorded, meta::Error> {
    let digest = new.digest.to_bytes();
    let location = match &new.kept {
        Kept::At(location) => Some(*location),
        Kept::Inline(_) => None,
    };
    let row = LayerRow {
        id: new.id,
        digest: digest.clone(),
        size: i64::try_from(new.size).unwrap_or(i64::MAX),
        location: location.map(|location| location.0),
        data_key: None,
        storage_class: STANDARD.to_owned(),
        created_at: now,
        unreferenced_since: Some(now),
    };
    let recorded = tx.attempt(layer::insert(registry, encryption, &row))?;
    // Most layers are new, so this one is shown before it is known whether there was one: both cost one exchange.
    let shown = tx.attempt(layer::show_received(repository, &digest, new.id, upload))?;
    let newly_shown = tx.succeeded(shown)?;
    if tx.succeeded(recorded)? {
        if let Kept::Inline(bytes) = &new.kept {
            tx.layer_data_insert(new.id, bytes)?;
        }
        return Ok(Recorded { newly_shown, surplus: None });
    }
    let found = tx.layer_by_digest(registry, encryption, &digest)?;
    // Refused as a duplicate, so it is there, unless this transaction is about to be run again.
    let found = found.ok_or(meta::Error::Busy)?;
    if newly_shown {
        tx.layer_show_other(repository, &digest, found.id)?;
    }
    tx.layer_rearm(found.id, now)?;
    // A commit whose answer was lost may have recorded these very bytes.
    Ok(Recorded { newly_shown, surplus: location.filter(|ours| found.location != Some(ours.0)) })
}
