//! Durable background jobs. A job's row is written in the transaction that makes the job necessary (DESIGN "Jobs").
//!
//! A job has a kind and a key. The key is its only input; it reads everything else from the stores. A job must be safe to run twice and
//! to be cancelled at any point. Enqueuing a job that already waits has no effect. A job that is enqueued while it runs will run again.
//!
//! Each domain has a table of its kinds ([`JobKinds`]). A kind belongs to a [`Lane`], which has its own workers. Rows of an unknown
//! kind stay in the queue: a newer version of Ecru wrote them and will run them.

mod inspect;
mod run;
mod runner;

pub use inspect::{Job, JobQuery, JobState, list, retry};
pub use run::JobRun;
pub use runner::{run, run_due};

use crate::clock::Time;
use crate::{Capability, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// The error of a failed job. The log and the job's row contain its text and the texts of its causes.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// A table of job kinds. Each name occurs once.
pub type JobKinds = &'static [&'static dyn JobKind];

/// A group of workers that runs certain kinds of jobs only, so that a short job never waits for a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    pub name: &'static str,
    /// The number of jobs that run at the same time on one node.
    pub workers: usize,
}

impl Lane {
    /// For jobs that run a few statements and touch a few files.
    pub const SHORT: Lane = Lane { name: "short", workers: 4 };
    /// For jobs that may take minutes or hours.
    pub const LONG: Lane = Lane { name: "long", workers: 2 };
}

/// A kind of job.
#[async_trait::async_trait]
pub trait JobKind: Send + Sync {
    /// The kind's name in the database. It must never change.
    fn name(&self) -> &'static str;

    /// The lane that runs this kind. It may change from version to version.
    fn lane(&self) -> Lane;

    /// The number of attempts before a job of this kind is dead; at least 1. The wait between two attempts doubles from one second to ten
    /// minutes: 10 attempts take 9 minutes, 20 take 2 hours.
    fn attempts(&self) -> u32;

    /// Runs the job. Must be safe to run twice, and to be cancelled at any `await`.
    async fn run(&self, system: &System, job: &JobRun) -> Result<JobOutcome, JobError>;
}

/// The outcome of a run that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// The job has no more to do.
    Done,
    /// The job must run again at that time. Its progress is kept.
    Again(Time),
}

/// The in-memory state of this node's queue: a bell that wakes the lanes, and counters.
#[derive(Clone)]
pub struct JobQueue {
    rings: Arc<watch::Sender<()>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

/// The numbers of job runs on this node since the process started, by outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCounts {
    /// Runs that did not fail.
    pub done: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Jobs that failed for the last time and are now dead.
    pub given_up: u64,
}

/// Runs the jobs of all domains.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<JobQueue>().with_run(|system, stop| {
    Box::pin(async move {
        let kinds = system.job_kinds().to_vec();
        run(system, &kinds, stop).await;
    })
});

impl Default for JobQueue {
    fn default() -> JobQueue {
        JobQueue { rings: Arc::new(watch::Sender::new(())), counts: Arc::default() }
    }
}

impl JobQueue {
    /// The queue of this process.
    pub fn of(system: &System) -> &JobQueue {
        system.state()
    }

    /// Makes every lane with a free worker look at the queue. Call it after the commit of a transaction that enqueued a job.
    pub fn ring(&self) {
        self.rings.send_replace(());
    }

    /// The job runs on this node, by outcome.
    pub fn counts(&self) -> JobCounts {
        let Counts { done, failed, given_up } = &*self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JobCounts { done: read(done), failed: read(failed), given_up: read(given_up) }
    }
}

/// Enqueues a job in the transaction that makes it necessary. Call [`JobQueue::ring`] after the commit.
pub fn enqueue(tx: &mut meta::Tx<'_>, kind: &dyn JobKind, key: &str, due: Time) -> Result<(), meta::Error> {
    tx.job_enqueue(kind.name(), key, due.0)
}

/// The kind with this name.
fn find(kinds: &[&'static dyn JobKind], name: &str) -> Option<&'static dyn JobKind> {
    kinds.iter().copied().find(|kind| kind.name() == name)
}
