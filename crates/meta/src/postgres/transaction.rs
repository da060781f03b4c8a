//! Runs a transaction from BEGIN to COMMIT, and retries it after a conflict.

use super::fault::Class;
use super::pool::Pool;
use super::session::Session;
use crate::job::Job;
use crate::stats::Counters;
use crate::{Error, Tx, db};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Retries after serialization conflicts, with about a second of waits. Then the transaction fails with `Busy`.
const CONFLICT_RETRIES: u32 = 20;
/// Retries after a duplicate key. A race is decided by then, and a real duplicate remains.
const DUPLICATE_RETRIES: u32 = 2;
/// Retries on another connection after a connection was lost.
const LOSS_RETRIES: u32 = 1;
/// The wait before the first retry, in microseconds. It doubles for each further retry, [`RETRY_WAIT_DOUBLINGS`] times.
const RETRY_WAIT_US: u64 = 1_000;
const RETRY_WAIT_DOUBLINGS: u32 = 6;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Write,
    /// Writes with one statement that skips locked rows. SERIALIZABLE would abort one of two concurrent claims, because each reads a row
    /// that the other writes.
    Claim,
    Read,
}

/// Runs one caller's transaction on a blocking thread.
pub(super) struct Runner<'p> {
    pub(super) pool: &'p Pool,
    pub(super) counters: &'p Counters,
    pub(super) mode: Mode,
}

/// Why a run of a transaction did not end with the result of its closure.
struct Failure {
    class: Class,
    stage: Stage,
    error: Error,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Closure,
    /// The statements that the closure left to be sent. A failure rolls everything back.
    Settle,
    /// The commit. A lost connection leaves the outcome unknown.
    Commit,
}

/// The remaining retries.
struct Patience {
    conflicts: u32,
    duplicates: u32,
    losses: u32,
}

impl Runner<'_> {
    /// Runs the job and answers it. A read is answered before its transaction ends, because the end changes nothing.
    pub(super) fn run(&self, mut job: Box<dyn Job>) {
        let mut session = match self.pool.take() {
            Ok(session) => session,
            Err(error) => return job.answer(Some(error)),
        };
        let result = self.decide(&mut session, job.as_mut());
        job.answer(result.err());
        if self.mode == Mode::Read {
            session.roll_back();
        }
        self.pool.put(session);
    }

    /// Runs the job until it is committed or refused. `Ok` means that the caller gets the result of the closure's last run.
    fn decide(&self, session: &mut Session, job: &mut dyn Job) -> Result<(), Error> {
        if self.mode != Mode::Read {
            self.counters.ran(1);
        }
        let mut left = Patience { conflicts: CONFLICT_RETRIES, duplicates: DUPLICATE_RETRIES, losses: LOSS_RETRIES };
        loop {
            let ended = self.attempt(session, job);
            self.counters.exchanged(session.exchanges());
            let Err(failure) = ended else { return Ok(()) };
            match failure.class {
                Class::Conflict if left.conflicts > 0 => {
                    std::thread::sleep(retry_wait(CONFLICT_RETRIES - left.conflicts));
                    left.conflicts -= 1;
                }
                Class::Conflict => return Err(Error::Busy),
                Class::Duplicate if left.duplicates > 0 => left.duplicates -= 1,
                Class::Lost if left.losses > 0 && failure.stage != Stage::Commit => {
                    left.losses -= 1;
                    // The idle connections were probably lost too.
                    self.pool.clear();
                    *session = self.pool.connect()?;
                }
                // The closure saw the failure of its statement, and chose its own result.
                _ if failure.stage == Stage::Closure => return Ok(()),
                _ if failure.stage == Stage::Commit => return Err(failure.error.of_commit()),
                _ => return Err(failure.error),
            }
            if !session.is_sound() {
                *session = self.pool.connect()?;
            }
            if self.mode != Mode::Read {
                self.counters.retried();
            }
        }
    }

    fn attempt(&self, session: &mut Session, job: &mut dyn Job) -> Result<(), Failure> {
        session.begin(match self.mode {
            Mode::Write => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            Mode::Claim => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        });
        let mut tx = Tx::new(db::Session::Postgres(session), self.counters);
        let keep = job.run(&mut tx);
        let failure = tx.failure().cloned();
        if keep && self.mode == Mode::Read {
            return Ok(());
        }
        if keep {
            if let Err((class, error)) = session.settle() {
                session.roll_back();
                return Err(Failure { class, stage: Stage::Settle, error });
            }
            if let Err((class, error)) = session.commit() {
                session.roll_back();
                return Err(Failure { class, stage: Stage::Commit, error });
            }
            self.counters.committed();
            return Ok(());
        }
        session.roll_back();
        match (session.fault, failure) {
            (Some(class), Some(error)) => Err(Failure { class, stage: Stage::Closure, error }),
            _ => Ok(()),
        }
    }
}

/// Returns the wait before retry `number`, counted from 0. Half of it is random, so that rivals do not collide again.
fn retry_wait(number: u32) -> Duration {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let longest = RETRY_WAIT_US << number.min(RETRY_WAIT_DOUBLINGS);
    let chance = scatter(DRAWN.fetch_add(1, Ordering::Relaxed)) % longest;
    Duration::from_micros((longest + chance) / 2)
}

/// Mixes the bits of a count (the finalizer of SplitMix64).
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
    fn retry_waits_grow_differ_and_are_bounded() {
        for number in 0..CONFLICT_RETRIES {
            let longest = RETRY_WAIT_US << number.min(RETRY_WAIT_DOUBLINGS);
            let waits: Vec<u128> = (0..50).map(|_| retry_wait(number).as_micros()).collect();
            assert!(
                waits.iter().all(|wait| (u128::from(longest / 2)..=u128::from(longest)).contains(wait)),
                "{waits:?}"
            );
            assert!(waits.iter().any(|wait| *wait != waits[0]), "rivals would wait equally long: {waits:?}");
        }
    }
}
