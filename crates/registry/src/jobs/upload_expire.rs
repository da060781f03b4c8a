//! Removes an upload session at its end of life, with the bytes that never became a layer.
use super::Outcome;
use crate::clock::Time;
use crate::upload::UploadId;
use crate::{Error, System};
use blob::{EngineState, Location};
use meta::records::upload::OPEN;

pub(super) async fn run(system: &System, key: &str) -> Result<Outcome, Error> {
    let id: UploadId = key.parse().map_err(Error::server)?;
    let now = system.now();
    // Ending it first takes the session from a request that still writes; what that one commits afterwards is refused.
    let row = system
        .db
        .write_to_free(move |tx| {
            let row = tx.upload_get(id)?;
            if row.as_ref().is_some_and(|row| row.state == OPEN && row.expires_at <= now.0) {
                tx.upload_cancel(id)?;
            }
            Ok::<_, meta::Error>(row)
        })
        .await?;
    let Some(row) = row else { return Ok(Outcome::Done) };
    if row.expires_at > now.0 {
        return Ok(Outcome::Again(Time(row.expires_at)));
    }
    // A complete session has no location of its own any more: the layer has it.
    if let Some(location) = row.location {
        system.blobs.remove(Location(location.0), Some(&EngineState(row.engine_state))).await?;
    }
    system.db.write_to_free(move |tx| tx.upload_delete(id)).await?;
    Ok(Outcome::Done)
}
