//! Runs due jobs. Any number of nodes and workers share the queue.
use super::{Bell, Kind, Outcome};
use crate::System;
use crate::clock::Time;
use meta::records::job::{self, ClaimedJob};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Jobs that run at once on one node: a long one leaves room for others.
const WORKERS: usize = 4;
/// How long a claim holds without a sign of life; after a crash, how long its job waits.
const CLAIM: Duration = Duration::from_secs(300);
/// How long a worker sleeps at most: other nodes write jobs without ringing here.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long a worker sleeps at least when what is due can't be claimed, or the queue can't be read.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);
/// How long a job waits after its first failure; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// How long a failing job waits at most.
const LONGEST_BACKOFF: Duration = Duration::from_secs(600);

/// Runs due jobs until `stop` turns true or is dropped; what runs then ends first.
pub async fn run(system: Arc<System>, stop: watch::Receiver<bool>) {
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(work(system.clone(), stop.clone()));
    }
    workers.join_all().await;
}

/// Runs every job that is due now, one after another, and returns how many there were.
pub async fn run_due(system: &Arc<System>) -> Result<usize, meta::Error> {
    let mut count = 0;
    while let Some(job) = claim(system).await? {
        execute(system, job).await?;
        count += 1;
    }
    Ok(count)
}

async fn work(system: Arc<System>, mut stop: watch::Receiver<bool>) {
    // Only the first failure of a row is a warning: a database that is down is asked again each second.
    let mut failing = false;
    while !*stop.borrow_and_update() {
        let ran = one(&system).await;
        match &ran {
            Ok(_) => failing = false,
            Err(error) if std::mem::replace(&mut failing, true) => {
                tracing::debug!(error = %error, "The job queue can't be read or written");
            }
            Err(error) => tracing::warn!(error = %error, "The job queue can't be read or written"),
        }
        if ran.unwrap_or(false) {
            continue;
        }
        let wake = wake_at(&system).await;
        tokio::select! {
            () = Bell::of(&system).rung() => {}
            () = system.clock.sleep_until(wake) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Runs one due job, if there is one.
async fn one(system: &Arc<System>) -> Result<bool, meta::Error> {
    let Some(job) = claim(system).await? else { return Ok(false) };
    // There may be more: another worker looks while this one works.
    Bell::of(system).ring();
    execute(system, job).await?;
    Ok(true)
}

async fn wake_at(system: &System) -> Time {
    let now = system.now();
    let next = system.db.look_up(job::next()).await.ok().flatten().map_or(Time(i64::MAX), Time);
    next.clamp(now.plus(SHORTEST_SLEEP), now.plus(LONGEST_SLEEP))
}

async fn claim(system: &System) -> Result<Option<ClaimedJob>, meta::Error> {
    let now = system.now();
    // Reading costs nothing; a write transaction would.
    if system.db.look_up(job::next()).await?.is_none_or(|due| due > now.0) {
        return Ok(None);
    }
    let until = now.plus(CLAIM);
    system.db.write_to_free(move |tx| tx.job_claim(now.0, until.0)).await
}

/// Runs a claimed job, keeping its claim alive, and writes down how it ended.
async fn execute(system: &Arc<System>, mut job: ClaimedJob) -> Result<(), meta::Error> {
    let mut running = tokio::spawn({
        let (system, kind, key) = (system.clone(), job.kind.clone(), job.key.clone());
        async move {
            match Kind::from_name(&kind) {
                Some(kind) => kind.run(&system, &key).await.map_err(|error| chain(&error)),
                None => Err(format!("this program knows no jobs of the kind {kind}")),
            }
        }
    });
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended.unwrap_or_else(|error| Err(format!("the job broke off: {error}"))),
            () = system.clock.sleep_until(Time(job.until).minus(CLAIM / 2)) => renew(system, &mut job).await,
        }
    };
    settle(system, job, ended).await
}

/// Prolongs the claim. If that fails the job runs on: it is safe to run twice.
async fn renew(system: &System, job: &mut ClaimedJob) {
    let until = system.now().plus(CLAIM);
    let claimed = job.clone();
    match system.db.write_to_free(move |tx| tx.job_renew(&claimed, until.0)).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(job.kind, job.key, "A job outlived its claim and may run twice"),
        Err(error) => tracing::warn!(job.kind, job.key, error = %error, "A job's claim could not be renewed"),
    }
    job.until = until.0;
}

async fn settle(system: &System, job: ClaimedJob, ended: Result<Outcome, String>) -> Result<(), meta::Error> {
    let now = system.now();
    if let Err(error) = &ended {
        tracing::warn!(job.kind, job.key, job.attempts, error, "A job failed and will be tried again");
    }
    system
        .db
        .write_to_free(move |tx| match &ended {
            Ok(Outcome::Done) => tx.job_done(&job, now.0),
            Ok(Outcome::Again(due)) => tx.job_again(&job, due.0, now.0),
            Err(error) => tx.job_failed(&job, now.plus(backoff(job.attempts)).0, error),
        })
        .await
}

/// How long a job waits that has failed `attempts` times before this one.
fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts.max(0)).unwrap_or(u32::MAX);
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_BACKOFF)
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_doubles_up_to_its_cap() {
        let seconds = [0, 1, 5, 9, 10, 1_000, i64::MAX].map(|attempts| backoff(attempts).as_secs());
        assert_eq!(seconds, [1, 2, 32, 512, 600, 600, 600]);
    }
}
