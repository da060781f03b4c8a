//! Removes an expired upload session, and its bytes if they did not become a layer.

use super::UploadId;
use crate::clock::Time;
use crate::jobs::{JobError, JobKind, JobOutcome, JobRun, Lane};
use crate::{Error, System};
use blob::{EngineState, Location};
use meta::records::upload::OPEN;

/// The kind of job that ends an upload. Key: the upload's id.
pub struct UploadExpire;

#[async_trait::async_trait]
impl JobKind for UploadExpire {
    fn name(&self) -> &'static str {
        "upload_expire"
    }

    fn lane(&self) -> Lane {
        Lane::SHORT
    }

    /// About a day of attempts, so that a layer store that is down for a night leaves no dead jobs.
    fn attempts(&self) -> u32 {
        150
    }

    async fn run(&self, system: &System, job: &JobRun) -> Result<JobOutcome, JobError> {
        let id: UploadId = job.key().parse()?;
        Ok(expire(system, id).await?)
    }
}

async fn expire(system: &System, id: UploadId) -> Result<JobOutcome, Error> {
    let now = system.now();
    // Cancel the session first, so that commits of a request that still writes to it are refused.
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
    let Some(row) = row else { return Ok(JobOutcome::Done) };
    if row.expires_at > now.0 {
        return Ok(JobOutcome::Again(Time(row.expires_at)));
    }
    // A complete session has no location, because the layer has it.
    if let Some(location) = row.location {
        system.blobs.remove(Location(location.0), Some(&EngineState(row.engine_state))).await?;
    }
    system.db.write_to_free(move |tx| tx.upload_delete(id)).await?;
    Ok(JobOutcome::Done)
}
