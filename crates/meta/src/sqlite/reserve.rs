//! Space that is kept back for deletions: on a full disk they could not be committed either, since the log grows first.
//!
//! The space is held by a file of its own beside the database. It is given up when a transaction that frees something meets the full
//! disk. While it is gone, transactions that add something are refused before they can take it, and it is held again as soon as
//! there is room for it and as much again.
use crate::Error;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the file's name has behind the database's.
const SUFFIX: &str = "-reserve";
/// The part of the file system that is kept back at most: on a small one less is kept than was asked for.
const SHARE: u64 = 8;
/// Less than this many bytes would not help: what the log holds has to be copied into the database before deletions can have its
/// space, and it holds more than `CHECKPOINT_PAGES` while that runs.
const LEAST: u64 = 8 * 1024 * 1024;

/// The space that is kept back, shared by the store and its writer.
pub(super) struct Reserve {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes to keep back; 0: nothing.
    wanted: u64,
    /// Whether the file holds them.
    held: bool,
}

/// Why a transaction was refused although there is some space.
#[derive(Debug, thiserror::Error)]
#[error("what space is left is kept back for deletions")]
struct KeptBack;

impl Reserve {
    pub(super) fn new(database: &Path) -> Reserve {
        let mut path = database.to_owned().into_os_string();
        path.push(SUFFIX);
        Reserve { path: path.into(), state: Mutex::default() }
    }

    /// From now on keeps back so many bytes, or fewer on a small file system.
    pub(super) fn keep(&self, bytes: u64) {
        let mut state = self.lock();
        let Some(space) = space(&self.path) else { return };
        let wanted = bytes.min(space.total / SHARE);
        state.wanted = if wanted < LEAST { 0 } else { wanted };
        state.held = false;
        self.hold(&mut state);
        if state.wanted > 0 && !state.held {
            tracing::warn!(bytes = state.wanted, "There is no room to keep space back for deletions");
        }
    }

    /// Refuses transactions that add something while the space is neither held nor free.
    pub(super) fn admit(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.wanted == 0 || state.held || self.hold(&mut state) >= state.wanted {
            return Ok(());
        }
        Err(Error::Full(Arc::new(KeptBack)))
    }

    /// Gives the space to whoever takes it first.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        match std::fs::remove_file(&self.path) {
            Ok(()) => tracing::warn!("The disk is full: the space that was kept back for deletions is given up"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "The space that is kept back for deletions can't be given up"),
        }
        state.held = false;
    }

    /// Holds the space if there is room for it and as much again, and tells how much is free.
    fn hold(&self, state: &mut State) -> u64 {
        if state.wanted > 0 && is_whole(&self.path, state.wanted) {
            state.held = true;
        }
        // A file system that can't tell is taken for one that has room.
        let free = space(&self.path).map_or(u64::MAX, |space| space.free);
        if state.held || state.wanted == 0 || free / 2 < state.wanted {
            return free;
        }
        match make(&self.path, state.wanted) {
            Ok(()) => state.held = true,
            Err(error) => {
                tracing::warn!(%error, "Space can't be kept back for deletions");
                // Part of a file holds nothing back that could be relied on.
                let _ = std::fs::remove_file(&self.path);
            }
        }
        free
    }

    /// Nothing that holds this lock can panic halfway through a change, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a file system.
struct Space {
    total: u64,
    free: u64,
}

/// `None` if the file system can't tell.
fn space(path: &Path) -> Option<Space> {
    let found = rustix::fs::statvfs(path.parent()?).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}

/// Whether a file has so many bytes, and their blocks too.
fn is_whole(path: &Path, bytes: u64) -> bool {
    const BLOCK: u64 = 512;
    std::fs::metadata(path).is_ok_and(|file| file.len() == bytes && file.blocks().saturating_mul(BLOCK) >= bytes)
}

/// Makes a file whose blocks are all allocated.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP) => fill(&mut file, bytes),
        allocated => Ok(allocated?),
    }
}

/// The same where the file system can't allocate ahead.
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
