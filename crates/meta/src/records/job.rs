//! The durable queue of background work.
//!
//! Each row is one job, with its kind and key as the primary key. `due_at` is the next time at which the job may be claimed. For a claimed
//! job it is the end of the claim, so the job of a crashed runner becomes due by itself. A claim is 16 random bytes, and every statement
//! that ends or changes a claimed job must name the claim.

use crate::{Error, Lookup, Row, Tx};

/// The most bytes of a job's progress: its position and a few counts, not its results.
pub const PROGRESS_BYTES: usize = 1024;

statements! {
    // A claimed job runs once more after this run, and a dead job becomes due again.
    JOB_ENQUEUE = "INSERT INTO job (kind, key, due_at, wanted, attempts) VALUES ($1, $2, $3, 1, 0) \
        ON CONFLICT (kind, key) DO UPDATE SET wanted = job.wanted + 1, \
        due_at = CASE WHEN job.dead_at IS NOT NULL THEN excluded.due_at WHEN job.claimed_until IS NOT NULL THEN job.due_at \
            WHEN excluded.due_at < job.due_at THEN excluded.due_at ELSE job.due_at END, \
        attempts = CASE WHEN job.dead_at IS NULL THEN job.attempts ELSE 0 END, dead_at = NULL";
    // A claim that ended by itself counts as a failed attempt: its runner crashed, perhaps because of the job.
    JOB_CLAIM = "UPDATE job SET claim = $3, claimed_until = $4, due_at = $4, \
        attempts = CASE WHEN claim IS NULL THEN attempts ELSE attempts + 1 END WHERE (kind, key) = (SELECT kind, key FROM job \
        WHERE kind = $1 AND due_at <= $2 AND dead_at IS NULL ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
        RETURNING key, wanted, attempts, progress";
    JOB_RENEW = "UPDATE job SET claimed_until = $4, due_at = $4 WHERE kind = $1 AND key = $2 AND claim = $3";
    JOB_PROGRESS = "UPDATE job SET progress = $4 WHERE kind = $1 AND key = $2 AND claim = $3";
    JOB_DONE = "DELETE FROM job WHERE kind = $1 AND key = $2 AND claim = $3 AND wanted = $4";
    JOB_RELEASE = "UPDATE job SET due_at = $4, attempts = 0, claim = NULL, claimed_until = NULL, last_error = NULL, \
        progress = NULL WHERE kind = $1 AND key = $2 AND claim = $3";
    JOB_AGAIN = "UPDATE job SET due_at = CASE WHEN wanted = $4 THEN CAST($5 AS BIGINT) ELSE $6 END, attempts = 0, claim = NULL, \
        claimed_until = NULL, last_error = NULL WHERE kind = $1 AND key = $2 AND claim = $3";
    JOB_FAILED = "UPDATE job SET due_at = $5, \
        attempts = CASE WHEN wanted = $4 OR CAST($7 AS BIGINT) IS NULL THEN attempts + 1 ELSE 0 END, \
        claim = NULL, claimed_until = NULL, last_error = $6, \
        dead_at = CASE WHEN wanted = $4 THEN CAST($7 AS BIGINT) ELSE dead_at END WHERE kind = $1 AND key = $2 AND claim = $3 \
        RETURNING dead_at";
    JOB_RETRY = "UPDATE job SET due_at = $3, attempts = 0, dead_at = NULL \
        WHERE kind = $1 AND key = $2 AND dead_at IS NOT NULL";
    JOB_NEXT = "SELECT due_at FROM job WHERE kind = $1 AND dead_at IS NULL ORDER BY due_at LIMIT 1";
    JOB_GET = "SELECT kind, key, due_at, wanted, attempts, claimed_until, dead_at, last_error, progress FROM job \
        WHERE kind = $1 AND key = $2";
    JOB_LIST = "SELECT kind, key, due_at, wanted, attempts, claimed_until, dead_at, last_error, progress FROM job \
        WHERE (kind, key) > ($1, $2) ORDER BY kind, key LIMIT $3";
    JOB_LIST_DEAD = "SELECT kind, key, due_at, wanted, attempts, claimed_until, dead_at, last_error, progress FROM job \
        WHERE (kind, key) > ($1, $2) AND dead_at IS NOT NULL ORDER BY kind, key LIMIT $3";
}

/// A job that a runner has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    pub kind: String,
    pub key: String,
    /// The claim, which proves at the end that this runner still owns the job.
    pub claim: [u8; 16],
    /// How often the job was enqueued before the claim.
    pub wanted: i64,
    /// How often the job has failed since its last success. A run whose runner crashed counts.
    pub attempts: i64,
    /// The progress of an earlier run that ended early.
    pub progress: Option<String>,
}

/// What became of a job whose run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFailure {
    /// Another runner has the job, and nothing was stored.
    ClaimLost,
    WillRetry,
    GivenUp,
}

/// A job's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub kind: String,
    pub key: String,
    /// The next time at which the job may be claimed. For a claimed job, the end of the claim.
    pub due_at: i64,
    pub wanted: i64,
    pub attempts: i64,
    /// The end of the current claim.
    pub claimed_until: Option<i64>,
    /// When the job was given up after its last attempt.
    pub dead_at: Option<i64>,
    /// The last failure, until the job succeeds.
    pub last_error: Option<String>,
    pub progress: Option<String>,
}

impl JobRow {
    fn read(row: Row) -> Result<JobRow, Error> {
        Ok(JobRow {
            kind: row.get(0)?,
            key: row.get(1)?,
            due_at: row.get(2)?,
            wanted: row.get(3)?,
            attempts: row.get(4)?,
            claimed_until: row.get(5)?,
            dead_at: row.get(6)?,
            last_error: row.get(7)?,
            progress: row.get(8)?,
        })
    }
}

/// Finds the earliest time at which a job of a kind may be claimed.
pub fn next(kind: &str) -> Lookup<i64> {
    Lookup::new(JOB_NEXT, [kind.into()], |row| row.get(0))
}

impl Tx<'_> {
    /// Enqueues a job for `due`. If the same job is waiting already, the two become one job at the earlier time. If it is running, it runs
    /// once more afterwards. If it is dead, it becomes due again.
    pub fn job_enqueue(&mut self, kind: &str, key: &str, due: i64) -> Result<(), Error> {
        self.send(JOB_ENQUEUE, [kind.into(), key.into(), due.into()])?;
        Ok(())
    }

    /// Claims the job of a kind that has been due longest, until `until`. Use it with [`crate::Db::claim`].
    pub fn job_claim(
        &mut self,
        kind: &str,
        claim: [u8; 16],
        now: i64,
        until: i64,
    ) -> Result<Option<ClaimedJob>, Error> {
        let row = self.query_opt(JOB_CLAIM, &[kind.into(), now.into(), claim.into(), until.into()])?;
        row.map(|row| {
            Ok(ClaimedJob {
                kind: kind.to_owned(),
                key: row.get(0)?,
                claim,
                wanted: row.get(1)?,
                attempts: row.get(2)?,
                progress: row.get(3)?,
            })
        })
        .transpose()
    }

    /// Extends a claim. Returns false if the claim was lost.
    pub fn job_renew(&mut self, job: &ClaimedJob, until: i64) -> Result<bool, Error> {
        let params = [(&job.kind).into(), (&job.key).into(), job.claim.into(), until.into()];
        Ok(self.execute(JOB_RENEW, &params)? == 1)
    }

    /// Stores a job's progress. Returns false if the claim was lost. Fails for more than [`PROGRESS_BYTES`].
    pub fn job_progress(&mut self, job: &ClaimedJob, progress: &str) -> Result<bool, Error> {
        if progress.len() > PROGRESS_BYTES {
            return Err(Error::misuse(JOB_PROGRESS, "a job's progress is too long"));
        }
        let params = [(&job.kind).into(), (&job.key).into(), job.claim.into(), progress.into()];
        Ok(self.execute(JOB_PROGRESS, &params)? == 1)
    }

    /// Removes a job after its run. If it was enqueued again meanwhile, it stays, is due at `now`, and starts from the beginning. Returns
    /// false, and changes nothing, if the claim was lost.
    pub fn job_done(&mut self, job: &ClaimedJob, now: i64) -> Result<bool, Error> {
        let params = [(&job.kind).into(), (&job.key).into(), job.claim.into(), job.wanted.into()];
        if self.execute(JOB_DONE, &params)? == 1 {
            return Ok(true);
        }
        let params = [(&job.kind).into(), (&job.key).into(), job.claim.into(), now.into()];
        Ok(self.execute(JOB_RELEASE, &params)? == 1)
    }

    /// Reschedules a job for `due` after its run, or for `now` if it was enqueued again meanwhile. Its progress stays. Returns false, and
    /// changes nothing, if the claim was lost.
    pub fn job_again(&mut self, job: &ClaimedJob, due: i64, now: i64) -> Result<bool, Error> {
        let claim = [(&job.kind).into(), (&job.key).into(), job.claim.into(), job.wanted.into()];
        let params = [claim.as_slice(), &[due.into(), now.into()]].concat();
        Ok(self.execute(JOB_AGAIN, &params)? == 1)
    }

    /// Stores a failure and the time of the next attempt. With `dead_at` the job is given up, unless it was enqueued again meanwhile;
    /// then it has all of its attempts again. Changes nothing if the claim was lost.
    pub fn job_failed(
        &mut self,
        job: &ClaimedJob,
        due: i64,
        error: &str,
        dead_at: Option<i64>,
    ) -> Result<JobFailure, Error> {
        let claim = [(&job.kind).into(), (&job.key).into(), job.claim.into(), job.wanted.into()];
        let params = [claim.as_slice(), &[due.into(), error.into(), dead_at.into()]].concat();
        let Some(row) = self.query_opt(JOB_FAILED, &params)? else { return Ok(JobFailure::ClaimLost) };
        Ok(row.get::<Option<i64>>(0)?.map_or(JobFailure::WillRetry, |_| JobFailure::GivenUp))
    }

    /// Makes a dead job due at `now`, with all of its attempts. Returns false if there is no such dead job.
    pub fn job_retry(&mut self, kind: &str, key: &str, now: i64) -> Result<bool, Error> {
        Ok(self.execute(JOB_RETRY, &[kind.into(), key.into(), now.into()])? == 1)
    }

    pub fn job_get(&mut self, kind: &str, key: &str) -> Result<Option<JobRow>, Error> {
        self.query_opt(JOB_GET, &[kind.into(), key.into()])?.map(JobRow::read).transpose()
    }

    /// Lists the jobs after a kind and key, ordered by them. With `dead` it lists only dead jobs.
    pub fn job_list(&mut self, dead: bool, after: (&str, &str), limit: u32) -> Result<Vec<JobRow>, Error> {
        let sql = if dead { JOB_LIST_DEAD } else { JOB_LIST };
        let rows = self.query(sql, &[after.0.into(), after.1.into(), limit.into()])?;
        rows.into_iter().map(JobRow::read).collect()
    }
}
