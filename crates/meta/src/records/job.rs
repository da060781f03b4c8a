//! The durable queue of background work.
use crate::{Error, Lookup, Tx};

statements! {
    JOB_ENQUEUE = "INSERT INTO job (kind, key, due_at, wanted, attempts, claimed_until, last_error) \
        VALUES ($1, $2, $3, 1, 0, NULL, NULL) ON CONFLICT (kind, key) DO UPDATE SET wanted = job.wanted + 1, \
        due_at = CASE WHEN excluded.due_at < job.due_at THEN excluded.due_at ELSE job.due_at END";
    // A claimed row is due again when its claim ends, so that a crash of its runner needs nobody to notice it.
    JOB_CLAIM = "UPDATE job SET claimed_until = $2, due_at = $2 WHERE (kind, key) = (SELECT kind, key FROM job \
        WHERE due_at <= $1 AND (claimed_until IS NULL OR claimed_until <= $1) ORDER BY due_at LIMIT 1) \
        RETURNING kind, key, wanted, attempts, claimed_until";
    JOB_RENEW = "UPDATE job SET claimed_until = $4, due_at = CASE WHEN due_at = claimed_until THEN $4 ELSE due_at END \
        WHERE kind = $1 AND key = $2 AND claimed_until = $3";
    JOB_DONE = "DELETE FROM job WHERE kind = $1 AND key = $2 AND wanted = $3";
    JOB_AGAIN = "UPDATE job SET due_at = $4, attempts = 0, claimed_until = NULL, last_error = NULL \
        WHERE kind = $1 AND key = $2 AND wanted = $3";
    JOB_RELEASE = "UPDATE job SET due_at = $3, attempts = 0, claimed_until = NULL, last_error = NULL \
        WHERE kind = $1 AND key = $2";
    JOB_FAILED = "UPDATE job SET due_at = $3, attempts = attempts + 1, claimed_until = NULL, last_error = $4 \
        WHERE kind = $1 AND key = $2";
    JOB_NEXT = "SELECT due_at FROM job ORDER BY due_at LIMIT 1";
    JOB_GET = "SELECT due_at, wanted, attempts, claimed_until, last_error FROM job WHERE kind = $1 AND key = $2";
}

/// A job that a runner took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedJob {
    pub kind: String,
    pub key: String,
    /// How often it had been asked for.
    pub wanted: i64,
    /// How often it has failed since it last succeeded.
    pub attempts: i64,
    /// When the claim ends.
    pub until: i64,
}

/// A job as it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    pub due_at: i64,
    pub wanted: i64,
    pub attempts: i64,
    pub claimed_until: Option<i64>,
    pub last_error: Option<String>,
}

/// When the next job is due, or the next claim ends.
pub fn next() -> Lookup<i64> {
    Lookup::new(JOB_NEXT, [], |row| row.get(0))
}

impl Tx<'_> {
    /// Asks for a job at `due`; one that waits already is asked for once more, at the earlier time.
    pub fn job_enqueue(&mut self, kind: &str, key: &str, due: i64) -> Result<(), Error> {
        self.send(JOB_ENQUEUE, [kind.into(), key.into(), due.into()])?;
        Ok(())
    }

    /// Takes the job that has been due longest, until `until`.
    pub fn job_claim(&mut self, now: i64, until: i64) -> Result<Option<ClaimedJob>, Error> {
        let row = self.query_opt(JOB_CLAIM, &[now.into(), until.into()])?;
        row.map(|row| {
            Ok(ClaimedJob {
                kind: row.get(0)?,
                key: row.get(1)?,
                wanted: row.get(2)?,
                attempts: row.get(3)?,
                until: row.get(4)?,
            })
        })
        .transpose()
    }

    /// Prolongs a claim; false when it is no longer held.
    pub fn job_renew(&mut self, job: &ClaimedJob, until: i64) -> Result<bool, Error> {
        let params = [(&job.kind).into(), (&job.key).into(), job.until.into(), until.into()];
        Ok(self.execute(JOB_RENEW, &params)? == 1)
    }

    /// Removes a job that ran, or, if it was asked for again meanwhile, makes it due now.
    pub fn job_done(&mut self, job: &ClaimedJob, now: i64) -> Result<(), Error> {
        if self.execute(JOB_DONE, &[(&job.kind).into(), (&job.key).into(), job.wanted.into()])? == 0 {
            self.job_release(job, now)?;
        }
        Ok(())
    }

    /// Moves a job that ran to its next time, or, if it was asked for meanwhile, makes it due now.
    pub fn job_again(&mut self, job: &ClaimedJob, due: i64, now: i64) -> Result<(), Error> {
        let params = [(&job.kind).into(), (&job.key).into(), job.wanted.into(), due.into()];
        if self.execute(JOB_AGAIN, &params)? == 0 {
            self.job_release(job, now)?;
        }
        Ok(())
    }

    fn job_release(&mut self, job: &ClaimedJob, due: i64) -> Result<(), Error> {
        self.execute(JOB_RELEASE, &[(&job.kind).into(), (&job.key).into(), due.into()])?;
        Ok(())
    }

    /// Remembers a failure and when to try again.
    pub fn job_failed(&mut self, job: &ClaimedJob, due: i64, error: &str) -> Result<(), Error> {
        self.execute(JOB_FAILED, &[(&job.kind).into(), (&job.key).into(), due.into(), error.into()])?;
        Ok(())
    }

    pub fn job_get(&mut self, kind: &str, key: &str) -> Result<Option<JobRow>, Error> {
        let row = self.query_opt(JOB_GET, &[kind.into(), key.into()])?;
        row.map(|row| {
            Ok(JobRow {
                due_at: row.get(0)?,
                wanted: row.get(1)?,
                attempts: row.get(2)?,
                claimed_until: row.get(3)?,
                last_error: row.get(4)?,
            })
        })
        .transpose()
    }
}
