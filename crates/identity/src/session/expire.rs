//! Removes the row of a session when no docker token of it can be valid any more.

use crate::System;
use kernel::clock::Time;
use kernel::jobs::{JobError, JobKind, JobOutcome, JobRun, Lane};

/// The kind of job that removes a session. Key: the session's access key id.
pub struct SessionExpire;

#[async_trait::async_trait]
impl JobKind for SessionExpire {
    fn name(&self) -> &'static str {
        "session_expire"
    }

    fn lane(&self) -> Lane {
        Lane::SHORT
    }

    /// About two hours of attempts. A row that stays behind does no harm: its session has expired.
    fn attempts(&self) -> u32 {
        20
    }

    async fn run(&self, system: &System, job: &JobRun) -> Result<JobOutcome, JobError> {
        let (id, now) = (job.key().to_owned(), system.now());
        let removed = system.db.write_to_free(move |tx| match tx.session_kept_until(&id)? {
            Some(kept_until) if kept_until > now.0 => Ok(JobOutcome::Again(Time(kept_until))),
            _ => tx.session_delete(&id).map(|()| JobOutcome::Done),
        });
        Ok(removed.await?)
    }
}
