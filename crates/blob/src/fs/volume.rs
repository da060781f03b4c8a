//! The volume of the layers: checks that their directory is still the one that was opened, and that the disk has space for more.

use crate::Error;
use crate::disk::Disk;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of the disk that layers leave free, for the metadata and for the reserve that lets deletions run on a full disk. This is
/// twice that reserve, so that layers can't use the space when the metadata releases it.
const LEFT_FREE: u64 = 64 * 1024 * 1024;
/// On a small disk layers leave only one part in so many free.
const LEFT_FREE_SHARE: u64 = 4;
/// On a disk so small that the share is less than this, layers leave nothing free, and the metadata has no reserve either.
const LEFT_FREE_LEAST: u64 = 16 * 1024 * 1024;

/// The directory of the layers, and the disk it is on.
pub(super) struct Volume {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// The device and inode of the root when it was opened. `None` if the disk can't tell.
    opened: Option<(u64, u64)>,
}

impl Volume {
    /// Opens the volume of an existing root.
    pub(super) fn open(disk: Arc<dyn Disk>, root: PathBuf) -> io::Result<Volume> {
        let opened = disk.identity(&root)?;
        Ok(Volume { disk, root, opened })
    }

    /// Fails with [`Error::Removed`] if the root was removed or replaced. Makes one system call.
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

    /// Fails with [`Error::Full`] if the disk has too little space left for more layers. Makes one system call.
    pub(super) fn room(&self) -> Result<(), Error> {
        // If the disk can't tell its space, the write itself fails on a full disk.
        let Ok(Some(space)) = self.disk.space(&self.root) else { return Ok(()) };
        let left = LEFT_FREE.min(space.total / LEFT_FREE_SHARE);
        if left >= LEFT_FREE_LEAST && space.free < left {
            return Err(Error::from_io("", io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }
}
