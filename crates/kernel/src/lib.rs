//! What every domain stands on: the clock, randomness, keys, limits and quirks.
//!
//! It names no capability of any domain, and knows no HTTP and no JSON of any wire.

pub mod clock;
mod error;
pub mod keys;
pub mod limits;
pub mod outbox;
pub mod quirks;
pub mod random;

pub use error::{CommonError, Constraint, Fault};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data stays whole though a holder panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
