//! Bytes by location: engines that store what an upload wrote and read it back in ranges.
//!
//! A location is chosen when its first byte is written, created exclusively, and never reused (DESIGN "Layers").
//! [`fs::FsEngine`] keeps layers in files, [`memory::MemoryEngine`] in memory; [`faulty_disk`] and [`faulty`] make engines
//! fail in tests. One suite judges them all (`tests/suite`).

mod buffer;
pub mod checksum;
pub mod disk;
mod engine;
pub mod faulty;
pub mod faulty_disk;
pub mod fs;
mod location;
pub mod memory;
mod open_files;
mod shares;

pub use buffer::{Buffer, Buffers};
pub use engine::{Durable, Engine, EngineState, Error, Reader, Stat, Writer};
pub use location::Location;
pub use shares::{Claim, Share};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data stays consistent though a holder panicked, as all of this crate's do.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
