//! Durable background work: rows written in the transaction that makes them necessary (DESIGN "Jobs").
//!
//! A job is a kind and a key. It takes nothing but its key, looks at the state, and is safe to run twice and to be cut off anywhere.
//! Enqueuing a job that is already waiting coalesces with it; a job that is enqueued while it runs runs once more.
//!
//! What kinds there are is a table that the domain hands in ([`JobKinds`]). Each kind runs in a [`Lane`], which has workers of its
//! own. Rows of a kind that is in no table are left alone: a newer program wrote them, and will run them.
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

/// Why a job failed. Its text and those of its causes are logged, and kept in the job's row.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// Kinds of jobs that a domain or a program knows. No two have one name.
pub type JobKinds = &'static [&'static dyn JobKind];

/// Workers of one node that run certain kinds of jobs and no others, so that long work never stands in front of short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    pub name: &'static str,
    /// Jobs that run at once on one node.
    pub workers: usize,
}

impl Lane {
    /// For jobs of a few statements, and a file or two.
    pub const SHORT: Lane = Lane { name: "short", workers: 4 };
    /// For jobs that may take minutes or hours.
    pub const LONG: Lane = Lane { name: "long", workers: 2 };
}

/// A kind of work.
#[async_trait::async_trait]
pub trait JobKind: Send + Sync {
    /// The kind as its rows spell it: part of the format on disk.
    fn name(&self) -> &'static str;

    /// Whose workers run it. May change from version to version.
    fn lane(&self) -> Lane;

    /// How often a job of this kind is tried before it is given up; at least 1. The waits between two attempts double from a second
    /// up to ten minutes: 10 attempts are tried within 9 minutes, 20 within 2 hours.
    fn attempts(&self) -> u32;

    /// Does the work. Safe to run twice, and to be cut off at any `await`.
    async fn run(&self, system: &System, job: &JobRun) -> Result<JobOutcome, JobError>;
}

/// How a job ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// There is no more to do.
    Done,
    /// It is to run again at that time. Its progress stays.
    Again(Time),
}

/// What the runner of this node and those who enqueue share.
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

/// How jobs ended on this node since the process began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobCounts {
    /// Runs that did not fail.
    pub done: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Jobs that failed for the last time, and are dead.
    pub given_up: u64,
}

/// The runner of every domain's kinds, and what it shares with those who enqueue.
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

    /// Makes every lane with a free worker look at the queue. To be called after the commit of a transaction that enqueued.
    pub fn ring(&self) {
        self.rings.send_replace(());
    }

    /// How jobs ended on this node.
    pub fn counts(&self) -> JobCounts {
        let Counts { done, failed, given_up } = &*self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JobCounts { done: read(done), failed: read(failed), given_up: read(given_up) }
    }
}

/// Enqueues a job in the transaction that makes it necessary; call [`JobQueue::ring`] once that is committed.
pub fn enqueue(tx: &mut meta::Tx<'_>, kind: &dyn JobKind, key: &str, due: Time) -> Result<(), meta::Error> {
    tx.job_enqueue(kind.name(), key, due.0)
}

/// The kind of that name.
fn find(kinds: &[&'static dyn JobKind], name: &str) -> Option<&'static dyn JobKind> {
    kinds.iter().copied().find(|kind| kind.name() == name)
}
