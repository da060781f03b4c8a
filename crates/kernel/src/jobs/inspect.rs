//! Listing and retrying of jobs, for `ecru jobs`.

use super::{JobKind, JobQueue, find};
use crate::System;
use crate::clock::Time;
use meta::records::job::JobRow;

/// The largest number of dead jobs that one transaction retries.
const RETRIED_AT_ONCE: u32 = 500;

/// A job and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub kind: String,
    pub key: String,
    /// The lane of its kind. `None` for an unknown kind.
    pub lane: Option<&'static str>,
    pub state: JobState,
    /// The number of failures since the last success.
    pub attempts: u64,
    /// The time of the next run. For a running job, the end of its claim.
    pub due: Time,
    /// The error of the last failed run.
    pub last_error: Option<String>,
    /// The progress that the job saved, as text.
    pub progress: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// The job waits until it is due and a worker is free.
    Waiting,
    Running,
    /// The job failed too often. It runs again only after a retry.
    Dead,
}

/// The arguments of [`list`].
#[derive(Clone, Debug)]
pub struct JobQuery {
    pub dead_only: bool,
    /// The kind and key of the last job on the page before.
    pub after: Option<(String, String)>,
    pub limit: u32,
}

/// Lists jobs, ordered by kind and key. The flag tells whether more follow.
pub async fn list(
    system: &System,
    kinds: &[&'static dyn JobKind],
    query: JobQuery,
) -> Result<(Vec<Job>, bool), meta::Error> {
    let JobQuery { dead_only, after, limit } = query;
    let (kind, key) = after.unwrap_or_default();
    let rows = system.db.read(move |tx| tx.job_list(dead_only, (&kind, &key), limit.saturating_add(1))).await?;
    let (now, limit) = (system.now(), limit as usize);
    let more = rows.len() > limit;
    Ok((rows.into_iter().take(limit).map(|row| shown(kinds, now, row)).collect(), more))
}

fn shown(kinds: &[&'static dyn JobKind], now: Time, row: JobRow) -> Job {
    let state = match (row.dead_at, row.claimed_until) {
        (Some(_), _) => JobState::Dead,
        (None, Some(until)) if until > now.0 => JobState::Running,
        _ => JobState::Waiting,
    };
    Job {
        lane: find(kinds, &row.kind).map(|kind| kind.lane().name),
        kind: row.kind,
        key: row.key,
        state,
        attempts: u64::try_from(row.attempts).unwrap_or(0),
        due: Time(row.due_at),
        last_error: row.last_error,
        progress: row.progress,
    }
}

/// Makes dead jobs of a kind due now and resets their attempts: the job with this key, or without a key all. Returns their number.
pub async fn retry(system: &System, kind: &str, key: Option<&str>) -> Result<u64, meta::Error> {
    let now = system.now().0;
    let retried = match key {
        Some(key) => {
            let (kind, key) = (kind.to_owned(), key.to_owned());
            u64::from(system.db.write_to_free(move |tx| tx.job_retry(&kind, &key, now)).await?)
        }
        None => retry_all(system, kind, now).await?,
    };
    JobQueue::of(system).ring();
    Ok(retried)
}

async fn retry_all(system: &System, kind: &str, now: i64) -> Result<u64, meta::Error> {
    let (mut retried, mut last) = (0, String::new());
    loop {
        let (kind, after) = (kind.to_owned(), last.clone());
        let (count, end) = system
            .db
            .write_to_free(move |tx| {
                let mut rows = tx.job_list(true, (&kind, &after), RETRIED_AT_ONCE)?;
                rows.retain(|row| row.kind == kind);
                let mut count = 0;
                for row in &rows {
                    count += u64::from(tx.job_retry(&kind, &row.key, now)?);
                }
                Ok::<_, meta::Error>((count, rows.pop().map(|row| row.key)))
            })
            .await?;
        retried += count;
        match end {
            Some(key) => last = key,
            None => return Ok(retried),
        }
    }
}
