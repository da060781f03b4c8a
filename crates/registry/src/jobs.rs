//! Durable background work: rows written in the transaction that makes them necessary (DESIGN "Jobs").
//!
//! A job is a kind and a key. It takes nothing but its key, looks at the state, and is safe to run twice. Asking again for one
//! that waits makes it one job; asking again for one that runs makes it run once more.
mod runner;
mod upload_expire;

pub use runner::{run, run_due};

use crate::clock::Time;
use crate::{Capability, Error, System};
use std::sync::Arc;
use tokio::sync::Notify;

/// Wakes the runner of this node when a transaction wrote a job that is due.
#[derive(Clone, Default)]
pub struct Bell(Arc<Notify>);

/// The runner, and the bell that wakes it.
pub(crate) const CAPABILITY: Capability =
    Capability::with_state::<Bell>().with_run(|system, stop| Box::pin(run(system, stop)));

impl Bell {
    /// The bell of this process.
    pub fn of(system: &System) -> &Bell {
        system.state()
    }

    /// Makes one worker look at the queue, now or as soon as it sleeps. To be rung after the commit.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    async fn rung(&self) {
        self.0.notified().await;
    }
}

/// What kinds of work there are: a file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Removes an upload session at its end of life. Key: the upload's id.
    UploadExpire,
}

impl Kind {
    pub const ALL: &'static [Kind] = &[Kind::UploadExpire];

    /// The kind as its rows spell it: part of the format on disk.
    pub fn name(self) -> &'static str {
        match self {
            Kind::UploadExpire => "upload_expire",
        }
    }

    fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    async fn run(self, system: &System, key: &str) -> Result<Outcome, Error> {
        match self {
            Kind::UploadExpire => upload_expire::run(system, key).await,
        }
    }
}

/// How a job ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// There is no more to do.
    Done,
    /// It is to run again at that time.
    Again(Time),
}

/// Asks for a job in the transaction that makes it necessary; ring [`Bell`] once that is committed.
pub fn enqueue(tx: &mut meta::Tx<'_>, kind: Kind, key: &str, due: Time) -> Result<(), meta::Error> {
    tx.job_enqueue(kind.name(), key, due.0)
}
