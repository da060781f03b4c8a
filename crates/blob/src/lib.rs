//! Layer bytes by location: engines store the bytes of an upload and read them back in ranges.
//!
//! A location is chosen when its first byte is written, created exclusively, and never reused (DESIGN "Layers").
//! [`fs::FsEngine`] stores layers in files, [`memory::MemoryEngine`] in memory. [`faulty_disk`] and [`faulty`] inject faults for
//! tests. One suite tests every engine (`tests/suite`).

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
pub use engine::{DurableBytes, Engine, EngineState, Error, Reader, Stat, Writer};
pub use location::Location;
pub use shares::{BufferClaim, BufferShare};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex and ignores poisoning. In this crate the data stays consistent if a thread panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
