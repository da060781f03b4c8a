//! The queue as people see it: `ecru jobs`.
use super::{JobKind, JobQueue, find};
use crate::System;
use crate::clock::Time;
use meta::records::job::JobRow;

/// Dead jobs that one transaction makes due again at most.
const RETRIED_AT_ONCE: u32 = 500;

/// A job and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub kind: String,
    pub key: String,
    /// The lane of its kind; `None` for a kind that this program does not know.
    pub lane: Option<&'static str>,
    pub state: JobState,
    /// How often it has failed since it last succeeded.
    pub attempts: u64,
    /// When it runs next; for a running one, when its claim ends.
    pub due: Time,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// How far it is, in words of its own.
    pub progress: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Until it is due, or a worker is free.
    Waiting,
    Running,
    /// Given up after too many failed attempts.
    Dead,
}

/// Which jobs are asked for.
#[derive(Clone, Debug)]
pub struct JobQuery {
    pub dead_only: bool,
    /// The kind and key of the last job of the page before.
    pub after: Option<(String, String)>,
    pub limit: u32,
}

/// Jobs in the order of kind and key, and whether there are more.
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

/// Makes dead jobs of a kind due now, with all their attempts: the one of that key, or all. Returns how many there were.
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
