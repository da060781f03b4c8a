//! The reserve: disk space for deletions. Without it deletions would fail on a full disk too, because the log grows first.
//!
//! A file next to the database holds the space. The file is removed when a transaction that frees space finds the disk full. Until the
//! space is reserved again, transactions that add data are refused, so that they can't use it. It is reserved again as soon as twice its
//! size is free.

use crate::Error;
use crate::lock;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// The suffix of the file's name, after the database's.
const SUFFIX: &str = "-reserve";
/// The reserve is at most one part in so many of the file system.
const SHARE: u64 = 8;
/// The least useful reserve, in bytes. Before deletions can use the space of the log, the log has to be copied into the database, and
/// meanwhile it has more than `CHECKPOINT_PAGES`.
const LEAST: u64 = 8 * 1024 * 1024;

/// The reserve, shared by the store and its writer.
pub(super) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes to reserve. 0 disables the reserve.
    wanted: u64,
    /// True while the file exists and has all of its blocks.
    held: bool,
}

/// Why a transaction was refused although there is some space.
#[derive(Debug, thiserror::Error)]
#[error("the remaining space is reserved for deletions")]
struct KeptBack;

impl Reserve {
    pub(super) fn new(database: &Path) -> Reserve {
        let mut path = database.to_owned().into_os_string();
        path.push(SUFFIX);
        Reserve { path: path.into(), state: Mutex::default() }
    }

    /// Reserves `bytes`, or fewer on a small file system.
    pub(super) fn keep(&self, bytes: u64) {
        let mut state = self.lock();
        let Some(space) = space(&self.path) else { return };
        let wanted = bytes.min(space.total / SHARE);
        state.wanted = if wanted < LEAST { 0 } else { wanted };
        state.held = false;
        self.hold(&mut state);
        if state.wanted > 0 && !state.held {
            tracing::warn!(bytes = state.wanted, "There is not enough free space to reserve some for deletions");
        }
    }

    /// Fails if the reserve's space is neither held nor free. Then transactions that add data must be refused.
    pub(super) fn admit(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.wanted == 0 || state.held || self.hold(&mut state) >= state.wanted {
            return Ok(());
        }
        Err(Error::Full(Arc::new(KeptBack)))
    }

    /// Removes the file, so that the next transactions can use its space.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        match std::fs::remove_file(&self.path) {
            Ok(()) => tracing::warn!("The disk is full: the space that was reserved for deletions is released"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "The space that is reserved for deletions can't be released"),
        }
        state.held = false;
    }

    /// Reserves the space if twice its size is free. Returns the free bytes.
    fn hold(&self, state: &mut State) -> u64 {
        if state.wanted > 0 && is_whole(&self.path, state.wanted) {
            state.held = true;
        }
        // If the file system can't tell its free space, assume that there is enough.
        let free = space(&self.path).map_or(u64::MAX, |space| space.free);
        if state.held || state.wanted == 0 || free / 2 < state.wanted {
            return free;
        }
        match make(&self.path, state.wanted) {
            Ok(()) => state.held = true,
            Err(error) => {
                tracing::warn!(%error, "Space for deletions can't be reserved");
                // A part of the file is no reliable reserve.
                let _ = std::fs::remove_file(&self.path);
            }
        }
        free
    }

    /// Ignores poisoning, because no holder of this lock can panic during a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The space of a file system, in bytes.
struct DiskSpace {
    total: u64,
    free: u64,
}

/// Returns the space of a path's file system, or `None` if the file system can't tell.
fn space(path: &Path) -> Option<DiskSpace> {
    let found = rustix::fs::statvfs(path.parent()?).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(DiskSpace { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// Returns true if a file has `bytes` bytes, with all blocks allocated.
fn is_whole(path: &Path, bytes: u64) -> bool {
    const BLOCK: u64 = 512;
    std::fs::metadata(path).is_ok_and(|file| file.len() == bytes && file.blocks().saturating_mul(BLOCK) >= bytes)
}

/// Creates a file with all blocks allocated.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP) => fill(&mut file, bytes),
        allocated => Ok(allocated?),
    }
}

/// Writes zeros, for file systems that can't preallocate.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE.len()).min(PIECE.len());
        file.write_all(&PIECE[..piece])?;
        left -= piece as u64;
    }
    Ok(())
}
