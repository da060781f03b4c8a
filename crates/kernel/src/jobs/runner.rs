//! The runner of due jobs. Several nodes may run jobs of the same queue.

use super::run::{CLAIM, execute};
use super::{JobKind, JobQueue, Lane};
use crate::System;
use crate::clock::Time;
use meta::records::job::{self, ClaimedJob};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The longest sleep of a lane. Jobs that other nodes enqueue do not ring the bell here.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// The shortest sleep of a lane after a due job could not be claimed or the queue could not be read.
const SHORTEST_SLEEP: Duration = Duration::from_secs(1);

/// Runs due jobs of these kinds until `stop` turns true or is dropped. Returns when all running jobs have ended.
pub async fn run(system: Arc<System>, kinds: &[&'static dyn JobKind], stop: watch::Receiver<bool>) {
    let mut lanes = JoinSet::new();
    for (lane, kinds) in by_lane(kinds) {
        let runner = LaneRunner { system: system.clone(), lane, kinds, failing: false };
        lanes.spawn(runner.run(stop.clone()));
    }
    lanes.join_all().await;
}

/// Runs all jobs of these kinds that are due now, one after another. Returns their number.
pub async fn run_due(system: &Arc<System>, kinds: &[&'static dyn JobKind]) -> Result<usize, meta::Error> {
    let mut count = 0;
    while let Claim::Taken(kind, job, until) = claim(system, kinds).await? {
        execute(system, kind, job, until).await?;
        count += 1;
    }
    Ok(count)
}

/// Groups the kinds by lane.
fn by_lane(kinds: &[&'static dyn JobKind]) -> Vec<(Lane, Vec<&'static dyn JobKind>)> {
    let mut lanes: Vec<(Lane, Vec<&'static dyn JobKind>)> = Vec::new();
    for kind in kinds {
        match lanes.iter_mut().find(|(lane, _)| *lane == kind.lane()) {
            Some((_, kinds)) => kinds.push(*kind),
            None => lanes.push((kind.lane(), vec![*kind])),
        }
    }
    lanes
}

/// Claims and runs the jobs of one lane.
struct LaneRunner {
    system: Arc<System>,
    lane: Lane,
    kinds: Vec<&'static dyn JobKind>,
    /// True if the last access to the queue failed. Only the first failure in a row is logged as a warning.
    failing: bool,
}

impl LaneRunner {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut bell = JobQueue::of(&self.system).rings.subscribe();
        let mut running = JoinSet::new();
        while !*stop.borrow_and_update() {
            // Mark the bell as seen before the look-up, so that `changed` below returns for a job that the look-up missed.
            bell.borrow_and_update();
            let wake = self.fill(&mut running).await;
            let free = running.len() < self.lane.workers;
            tokio::select! {
                _ = bell.changed(), if free => {}
                () = self.system.clock.sleep_until(wake), if free => {}
                Some(_) = running.join_next() => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        running.join_all().await;
    }

    /// Gives due jobs to free workers. Returns the time of the next look-up.
    async fn fill(&mut self, running: &mut JoinSet<()>) -> Time {
        let claimed = self.claim_free(running).await;
        let now = self.system.now();
        let next = match claimed {
            Ok(next) => {
                self.failing = false;
                next
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                match std::mem::replace(&mut self.failing, true) {
                    true => tracing::debug!(error, "The job queue can't be read or written"),
                    false => tracing::warn!(error, "The job queue can't be read or written"),
                }
                now
            }
        };
        next.clamp(now.plus(SHORTEST_SLEEP), now.plus(LONGEST_SLEEP))
    }

    /// Claims and starts jobs until no worker is free or no job is due. Returns the time at which the next job is due.
    async fn claim_free(&self, running: &mut JoinSet<()>) -> Result<Time, meta::Error> {
        while running.len() < self.lane.workers {
            match claim(&self.system, &self.kinds).await? {
                Claim::Taken(kind, job, until) => running.spawn(work(self.system.clone(), kind, job, until)),
                Claim::NotBefore(next) => return Ok(next),
            };
        }
        Ok(Time(i64::MAX))
    }
}

/// Runs a claimed job in its own task.
async fn work(system: Arc<System>, kind: &'static dyn JobKind, job: ClaimedJob, until: Time) {
    let key = job.key.clone();
    if let Err(error) = execute(&system, kind, job, until).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(
            job.kind = kind.name(),
            job.key = key,
            error,
            "A job's end could not be stored: it will run again"
        );
    }
}

/// The result of [`claim`].
enum Claim {
    /// A claimed job, and the end of its claim.
    Taken(&'static dyn JobKind, ClaimedJob, Time),
    /// No job is due before this time.
    NotBefore(Time),
}

/// Claims the job of these kinds that has been due longest.
async fn claim(system: &System, kinds: &[&'static dyn JobKind]) -> Result<Claim, meta::Error> {
    let now = system.now();
    // Find the first due job by look-ups, which are cheap. Open a transaction only if a job is due.
    let mut first: Option<(Time, &'static dyn JobKind)> = None;
    for kind in kinds {
        let due = system.db.look_up(job::next(kind.name())).await?.map(Time);
        if let Some(due) = due.filter(|due| first.is_none_or(|(first, _)| *due < first)) {
            first = Some((due, *kind));
        }
    }
    match first {
        None => Ok(Claim::NotBefore(Time(i64::MAX))),
        Some((due, _)) if due > now => Ok(Claim::NotBefore(due)),
        Some((_, kind)) => {
            let (id, until) = (system.id(), now.plus(CLAIM));
            let taken = system.db.claim(move |tx| tx.job_claim(kind.name(), id, now.0, until.0)).await?;
            // If another node has claimed the job in between, look again.
            Ok(taken.map_or(Claim::NotBefore(now), |job| Claim::Taken(kind, job, until)))
        }
    }
}
