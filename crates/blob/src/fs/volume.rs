//! Where the layers lie: whether their directory is still the one that was opened, and whether the disk has room for more of them.
use crate::Error;
use crate::disk::Disk;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of the disk that layers leave free: the metadata and what is kept back for deletions need them. Twice what the metadata keeps
/// back, so that layers never take the space that it gives up.
const LEFT_FREE: u64 = 64 * 1024 * 1024;
/// A small disk has less left free: one part in so many.
const LEFT_FREE_SHARE: u64 = 4;
/// A disk so small that this would be less is filled: nothing is kept back on it either.
const LEFT_FREE_LEAST: u64 = 16 * 1024 * 1024;

pub(super) struct Volume {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// What the root was when it was opened; `None` where the disk can't tell.
    opened: Option<(u64, u64)>,
}

impl Volume {
    /// The volume of a root that is there.
    pub(super) fn open(disk: Arc<dyn Disk>, root: PathBuf) -> io::Result<Volume> {
        let opened = disk.identity(&root)?;
        Ok(Volume { disk, root, opened })
    }

    /// [`Error::Removed`] if the root's path leads to nothing, or to another directory, by now. One system call.
    pub(super) fn present(&self) -> Result<(), Error> {
        match self.disk.identity(&self.root) {
            Ok(now) if now == self.opened => Ok(()),
            Ok(_) => Err(Error::Removed),
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(Error::Removed)
            }
            Err(cause) => Err(Error::from_io("looking for the layers' directory", cause)),
        }
    }

    /// [`Error::Full`] if the disk has too little left for more layers. One system call.
    pub(super) fn room(&self) -> Result<(), Error> {
        // A disk that can't tell says so when it is full.
        let Ok(Some(space)) = self.disk.space(&self.root) else { return Ok(()) };
        let left = LEFT_FREE.min(space.total / LEFT_FREE_SHARE);
        if left >= LEFT_FREE_LEAST && space.free < left {
            return Err(Error::from_io("", io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }
}
