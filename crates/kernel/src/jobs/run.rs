//! One run of a claimed job.

use super::{JobKind, JobOutcome, JobQueue, System};
use crate::ErrorChain;
use crate::clock::Time;
use meta::records::job::{ClaimedJob, JobFailure};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;

/// The time for which a claim is valid without renewal. After a crash the job waits for this time.
pub(super) const CLAIM: Duration = Duration::from_secs(300);
/// The time between a failed renewal and the next one.
const RENEW_AGAIN: Duration = Duration::from_secs(10);
/// The wait after a job's first failure. Each further failure doubles the wait.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);
/// The size limit of the error text in a row, in bytes.
const ERROR_BYTES: usize = 1024;
/// The error of a job that is given up because its runs ended without an outcome.
const CRASHED: &str = "the process ended, or lost the database, each time the job ran";

/// One run of a job, as its [`JobKind`] sees it.
pub struct JobRun {
    system: Arc<System>,
    claimed: ClaimedJob,
}

impl JobRun {
    pub fn key(&self) -> &str {
        &self.claimed.key
    }

    /// The progress that an earlier run saved by [`JobRun::save_progress`]. `None` if the job was done since.
    pub fn progress(&self) -> Option<&str> {
        self.claimed.progress.as_deref()
    }

    /// Saves the job's progress for its next run and for `ecru jobs`. Returns false if another runner has claimed the job; then this run
    /// should end. The text must not be larger than [`meta::records::job::PROGRESS_BYTES`].
    pub async fn save_progress(&self, progress: &str) -> Result<bool, meta::Error> {
        let (claimed, progress) = (self.claimed.clone(), progress.to_owned());
        self.system.db.write_to_free(move |tx| tx.job_progress(&claimed, &progress)).await
    }
}

/// Runs a claimed job, renews its claim, and stores its outcome. If another runner has taken the claim, it cancels the run and stores
/// nothing.
pub(super) async fn execute(
    system: &Arc<System>,
    kind: &'static dyn JobKind,
    claimed: ClaimedJob,
    until: Time,
) -> Result<(), meta::Error> {
    // A job that ends its process again and again is given up without another run.
    if failures(&claimed) >= kind.attempts() {
        return settle(system, kind, claimed, Err(CRASHED.to_owned())).await;
    }
    let run = JobRun { system: system.clone(), claimed: claimed.clone() };
    // Run the job in its own task, so that a panic counts as a failure. Dropping the set cancels the task.
    let mut running = JoinSet::new();
    running.spawn({
        let system = system.clone();
        async move { kind.run(&system, &run).await.map_err(|error| chain(error.as_ref())) }
    });
    let mut renew_at = until.minus(CLAIM / 2);
    let ended = loop {
        tokio::select! {
            Some(ended) = running.join_next() => {
                break ended.unwrap_or_else(|error| Err(format!("the job broke off: {error}")));
            }
            () = system.clock.sleep_until(renew_at) => match renew(system, &claimed).await {
                Ok(Some(until)) => renew_at = until.minus(CLAIM / 2),
                Ok(None) => {
                    lost(&claimed);
                    return Ok(());
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(job.kind = claimed.kind, job.key = claimed.key, error, "A job's claim could not be renewed yet");
                    renew_at = system.now().plus(RENEW_AGAIN);
                }
            },
        }
    };
    settle(system, kind, claimed, ended).await
}

/// Renews the claim and returns its new end. `None` if another runner has taken it.
async fn renew(system: &System, claimed: &ClaimedJob) -> Result<Option<Time>, meta::Error> {
    let (claimed, until) = (claimed.clone(), system.now().plus(CLAIM));
    let held = system.db.write_to_free(move |tx| tx.job_renew(&claimed, until.0)).await?;
    Ok(held.then_some(until))
}

fn lost(claimed: &ClaimedJob) {
    tracing::warn!(job.kind = claimed.kind, job.key = claimed.key, "A job outlived its claim; another runner has it");
}

/// Stores and counts the outcome of a run.
async fn settle(
    system: &System,
    kind: &dyn JobKind,
    claimed: ClaimedJob,
    ended: Result<JobOutcome, String>,
) -> Result<(), meta::Error> {
    let now = system.now();
    let failed_before = failures(&claimed);
    let last = failed_before.saturating_add(1) >= kind.attempts();
    // Store the outcome if this runner still holds the claim.
    let (job, outcome) = (claimed.clone(), ended.clone());
    let (held, given_up) = system
        .db
        .write_to_free(move |tx| {
            let held = match &outcome {
                Ok(JobOutcome::Done) => tx.job_done(&job, now.0)?,
                Ok(JobOutcome::Again(due)) => tx.job_again(&job, due.0, now.0)?,
                Err(error) => {
                    let due = now.plus(backoff(failed_before)).0;
                    let failure = tx.job_failed(&job, due, error, last.then_some(now.0))?;
                    return Ok((failure != JobFailure::ClaimLost, failure == JobFailure::GivenUp));
                }
            };
            Ok::<_, meta::Error>((held, false))
        })
        .await?;
    // Count and log it.
    let counts = &JobQueue::of(system).counts;
    match ended {
        _ if !held => lost(&claimed),
        Ok(_) => drop(counts.done.fetch_add(1, Ordering::Relaxed)),
        Err(error) => {
            counts.failed.fetch_add(1, Ordering::Relaxed);
            let ClaimedJob { kind, key, .. } = claimed;
            if given_up {
                counts.given_up.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    job.kind = kind,
                    job.key = key,
                    error,
                    "A job failed for the last time: see `ecru jobs`"
                );
            } else {
                let attempts = failed_before + 1;
                tracing::warn!(job.kind = kind, job.key = key, attempts, error, "A job failed and will be tried again");
            }
        }
    }
    Ok(())
}

/// How often the job has failed, or ended its process, since its last success.
fn failures(claimed: &ClaimedJob) -> u32 {
    u32::try_from(claimed.attempts).unwrap_or(u32::MAX)
}

/// The wait after a failure, if the job had failed `attempts` times before.
fn backoff(attempts: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST_BACKOFF)
}

/// The text of an error and its causes, at most [`ERROR_BYTES`] long. Replaces NUL, which PostgreSQL can't store.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = ErrorChain(error).to_string();
    text.truncate(text.floor_char_boundary(ERROR_BYTES));
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobError;

    #[test]
    fn the_backoff_doubles_up_to_its_limit() {
        let seconds = [0, 1, 5, 9, 10, 1_000, u32::MAX].map(|attempts| backoff(attempts).as_secs());
        assert_eq!(seconds, [1, 2, 32, 512, 600, 600, 600]);
    }

    #[test]
    fn a_stored_error_text_is_limited_and_has_no_nul() {
        let error: JobError = format!("\0{}", "é".repeat(ERROR_BYTES)).into();
        let text = chain(error.as_ref());
        assert!(text.starts_with("\u{fffd}é") && text.len() <= ERROR_BYTES + 2, "{}", text.len());
    }
}
