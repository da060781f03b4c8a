//! Cancels an upload session (`ECR.md` B.3 DELETE upload URL).

use super::UploadId;
use super::expire::UploadExpire;
use super::session::{UploadSession, UploadTarget};
use crate::clock::Time;
use crate::jobs::{self, JobQueue};
use crate::{Cx, Error};
use blob::{EngineState, Location};
use meta::records::upload::{CANCELLED, OPEN, UploadRow};
use oci::RepositoryName;

/// Cancels a session and removes its bytes. A request that still writes to it is ended first. The id stays invalid until it expires.
pub async fn cancel(cx: &Cx, name: &RepositoryName, id: UploadId) -> Result<(), Error> {
    let (target, _, lease) = UploadTarget::to_write(cx, name, id).await?;
    let now = cx.now();
    let unwritten = UploadRow { state: CANCELLED.to_owned(), turn: 1, ..UploadSession::new(cx, &target).row };
    let row = cx
        .db
        .write_to_free(move |tx| match tx.upload_get(id)? {
            Some(row) if row.state == OPEN && row.expires_at > now.0 => {
                tx.upload_cancel(id)?;
                Ok(row)
            }
            None if unwritten.expires_at > now.0 => {
                tx.upload_insert(&target.registry, &unwritten)?;
                jobs::enqueue(tx, &UploadExpire, &id.to_string(), Time(unwritten.expires_at))?;
                Ok(unwritten.clone())
            }
            _ => Err(target.not_found()),
        })
        .await?;
    JobQueue::of(cx).ring();
    // If the bytes can't be removed now, the job that expires the session removes them, because the row still names the location.
    if let Some(location) = row.location {
        let state = EngineState(row.engine_state);
        if let Err(error) = cx.blobs.remove(Location(location.0), Some(&state)).await {
            tracing::warn!(upload.id = %id, error = %error, "A cancelled upload's bytes could not be removed yet");
        }
    }
    drop(lease);
    Ok(())
}
