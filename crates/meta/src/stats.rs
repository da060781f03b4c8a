//! Counters of a store, since it was opened.

use crate::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts since the store was opened, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Write transactions of callers, without retries.
    pub jobs: u64,
    /// Commits of write transactions. On SQLite one commit covers many jobs.
    pub commits: u64,
    /// Write transactions that ran again after a conflict or a lost connection.
    pub retries: u64,
    /// Statements of transactions and look-ups, without BEGIN, COMMIT and the like.
    pub statements: u64,
    /// Round trips to the database server, including COMMIT but not the preparation of statements. 0 on SQLite.
    pub exchanges: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    jobs: AtomicU64,
    commits: AtomicU64,
    retries: AtomicU64,
    statements: AtomicU64,
    exchanges: AtomicU64,
    /// True if a part of the database was found damaged.
    damaged: AtomicBool,
}

impl Counters {
    /// Records damage of the database, and logs it the first time, because an answer may not tell the details.
    pub(crate) fn met(&self, error: &Error) {
        if matches!(error, Error::Corrupt(_)) && !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "The database is damaged, and some calls will fail: stop ecru and restore a backup (`ecru restore`)"
            );
        }
    }

    /// Returns true if damage was found.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    pub(crate) fn ran(&self, jobs: u64) {
        self.jobs.fetch_add(jobs, Ordering::Relaxed);
    }

    pub(crate) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stated(&self, times: u64) {
        self.statements.fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn exchanged(&self, times: u64) {
        self.exchanges.fetch_add(times, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> DatabaseStats {
        DatabaseStats {
            jobs: self.jobs.load(Ordering::Relaxed),
            commits: self.commits.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            statements: self.statements.load(Ordering::Relaxed),
            exchanges: self.exchanges.load(Ordering::Relaxed),
        }
    }
}
