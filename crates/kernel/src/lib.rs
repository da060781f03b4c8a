//! What every domain stands on: the clock, randomness, keys, limits, quirks and stores ([`System`]), who calls ([`Cx`]) and what
//! they may do ([`access`]), events, and jobs.
//!
//! It names no capability of any domain, and knows no HTTP and no JSON of any wire.

pub mod access;
pub mod clock;
mod cx;
mod error;
pub mod event;
pub mod jobs;
pub mod keys;
pub mod limits;
pub mod outbox;
pub mod quirks;
pub mod random;
mod system;

pub use cx::{Cx, Origin, RegistryId, RequestOrigin, excerpt};
pub use error::{CommonError, Constraint, ErrorChain, Fault};
pub use system::{Capability, Domain, Parts, Run, System};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data stays whole though a holder panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
