//! The parts that all domains share: the process with its clock, randomness, keys, limits, quirks and stores ([`System`]), the context
//! of a call ([`Cx`]), authorization ([`access`]), events and jobs.
//!
//! This crate names no capability of any domain. It knows no HTTP and no JSON of any wire.

pub mod access;
pub mod clock;
mod cx;
mod error;
pub mod event;
pub mod jobs;
pub mod keys;
pub mod limits;
pub mod outbox;
pub mod principals;
pub mod quirks;
pub mod random;
pub mod recent;
mod registry_id;
mod system;
mod text;

pub use cx::{Cx, Origin, RequestOrigin};
pub use error::{CommonError, Constraint, ErrorChain, Fault};
pub use registry_id::{Action, Realm, RegistryId};
pub use system::{Capability, Domain, Parts, Run, System};
pub use text::{abridged, excerpt};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a holder has panicked. Only for data that a panic can't leave in an invalid state.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
