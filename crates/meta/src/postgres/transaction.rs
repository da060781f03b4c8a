//! A transaction from BEGIN to COMMIT, and again after a conflict.
use super::connect;
use super::fault::Class;
use super::session::Session;
use crate::job::Job;
use crate::stats::Counters;
use crate::{Error, Tx, db};
use deadpool_postgres::{Object, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;

/// How often a transaction is run again after serialization conflicts before it is `Busy`: about a second of waits.
const CONFLICT_RETRIES: u32 = 20;
/// How often it is run again after a unique key was found taken: a race is decided by then, a real duplicate stays.
const DUPLICATE_RETRIES: u32 = 2;
/// How often it is run again on another connection after one was lost.
const LOSS_RETRIES: u32 = 1;
/// The wait before the first retry; it doubles from one to the next, this many times.
const RETRY_WAIT_US: u64 = 1_000;
const RETRY_WAIT_DOUBLINGS: u32 = 6;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Write,
    Read,
}

/// Runs one caller's transaction on a blocking thread.
pub(super) struct Runner {
    pub(super) runtime: Handle,
    pub(super) pool: Pool,
    pub(super) counters: Arc<Counters>,
    pub(super) mode: Mode,
}

/// Why a run of a transaction did not end with its closure's own result.
struct Failure {
    class: Class,
    stage: Stage,
    error: Error,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Closure,
    /// A connection lost now leaves the outcome unknown.
    Commit,
}

/// What is left of the retries.
struct Patience {
    conflicts: u32,
    duplicates: u32,
    losses: u32,
}

impl Runner {
    /// Runs the job until it is committed or refused. `Ok`: its own last result stands.
    pub(super) fn run(&self, client: Object, job: &mut dyn Job) -> Result<(), Error> {
        if self.mode == Mode::Write {
            self.counters.ran(1);
        }
        let mut session = Session::new(self.runtime.clone(), client);
        let mut left = Patience { conflicts: CONFLICT_RETRIES, duplicates: DUPLICATE_RETRIES, losses: LOSS_RETRIES };
        let result = loop {
            let Err(failure) = self.attempt(&mut session, job) else { break Ok(()) };
            match failure.class {
                Class::Conflict if left.conflicts > 0 => {
                    std::thread::sleep(retry_wait(CONFLICT_RETRIES - left.conflicts));
                    left.conflicts -= 1;
                }
                Class::Conflict => break Err(Error::Busy),
                Class::Duplicate if left.duplicates > 0 => left.duplicates -= 1,
                Class::Lost if left.losses > 0 && failure.stage != Stage::Commit => {
                    left.losses -= 1;
                    session = self.reconnect(session)?;
                }
                // The closure saw its statement fail, and made of it what it wants to answer.
                _ if failure.stage == Stage::Closure => break Ok(()),
                _ => break Err(failure.error),
            }
            if self.mode == Mode::Write {
                self.counters.retried();
            }
        };
        session.end();
        result
    }

    fn attempt(&self, session: &mut Session, job: &mut dyn Job) -> Result<(), Failure> {
        let at = |stage| move |(class, error)| Failure { class, stage, error };
        session.fault = None;
        session
            .command(match self.mode {
                Mode::Write => "BEGIN ISOLATION LEVEL SERIALIZABLE",
                Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            })
            .map_err(at(Stage::Begin))?;
        let mut tx = Tx::new(db::Session::Postgres(session));
        let keep = job.run(&mut tx);
        let failure = tx.failure().cloned();
        if keep {
            session.command("COMMIT").map_err(at(Stage::Commit))?;
            if self.mode == Mode::Write {
                self.counters.committed();
            }
            return Ok(());
        }
        // Where this fails the connection is not used again, and the server rolls back by itself.
        drop(session.command("ROLLBACK"));
        match (session.fault, failure) {
            (Some(class), Some(error)) => Err(Failure { class, stage: Stage::Closure, error }),
            _ => Ok(()),
        }
    }

    /// Leaves a lost connection, and with it the idle ones, which were likely lost together.
    fn reconnect(&self, session: Session) -> Result<Session, Error> {
        session.discard();
        drop(self.pool.retain(|_, _| false));
        let client = self.runtime.block_on(connect::client(&self.pool))?;
        Ok(Session::new(self.runtime.clone(), client))
    }
}

/// The wait before retry `number`, from zero: half of it certain, half by chance, so that rivals part.
fn retry_wait(number: u32) -> Duration {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let longest = RETRY_WAIT_US << number.min(RETRY_WAIT_DOUBLINGS);
    let chance = scatter(DRAWN.fetch_add(1, Ordering::Relaxed)) % longest;
    Duration::from_micros((longest + chance) / 2)
}

/// Spreads a count over all 64 bits (the finalizer of SplitMix64).
fn scatter(count: u64) -> u64 {
    let mut z = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_differ_and_stay_bounded() {
        for number in 0..CONFLICT_RETRIES {
            let longest = RETRY_WAIT_US << number.min(RETRY_WAIT_DOUBLINGS);
            let waits: Vec<u128> = (0..50).map(|_| retry_wait(number).as_micros()).collect();
            assert!(
                waits.iter().all(|wait| (u128::from(longest / 2)..=u128::from(longest)).contains(wait)),
                "{waits:?}"
            );
            assert!(waits.iter().any(|wait| *wait != waits[0]), "rivals would wait alike: {waits:?}");
        }
    }
}
