//! The file system calls that the fs engine uses, as a trait, so that tests can run the engine on a disk that crashes.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A disk. Its calls block, so the engine makes them on threads for blocking work.
pub trait Disk: Send + Sync + 'static {
    /// Creates an empty file for writing. Fails with AlreadyExists if the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for writing without truncating it. Fails with NotFound if it does not exist.
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file for reading. Fails with NotFound if it does not exist.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a directory. Fails with AlreadyExists if the name is taken.
    fn mkdir(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's entries durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Calls `entry` with the name of every entry of a directory, in no order.
    fn list(&self, path: &Path, entry: &mut dyn FnMut(&OsStr)) -> io::Result<()>;
    /// Returns the device and inode number of a path, which identify the file or directory. `None` if the disk has no such numbers.
    fn identity(&self, _path: &Path) -> io::Result<Option<(u64, u64)>> {
        Ok(None)
    }
    /// Returns the space of the file system that contains a path, or `None` if the disk can't tell.
    fn space(&self, _path: &Path) -> io::Result<Option<DiskSpace>> {
        Ok(None)
    }
}

/// The space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    pub total: u64,
    /// The bytes that this process may still use.
    pub free: u64,
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at `offset`, growing the file as needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads into `into` from `offset`. Returns 0 at the file's end.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Reads as [`DiskFile::read_at`] does, but from memory only. Returns `None` if the read would wait for a device, or if the disk
    /// can't tell.
    fn read_cached_at(&self, _into: &mut [u8], _offset: u64) -> Option<usize> {
        None
    }
    /// Makes the bytes durable, and the file's length with them. After a failure any of the unsynced bytes may be lost.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Returns the file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Returns true if the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The operating system's disk. Only the process's user can access the files (0600) and directories (0700) that it creates.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().write(true).open(path)?))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path, entry: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        for found in std::fs::read_dir(path)? {
            entry(&found?.file_name());
        }
        Ok(())
    }

    fn identity(&self, path: &Path) -> io::Result<Option<(u64, u64)>> {
        let found = std::fs::metadata(path)?;
        Ok(Some((found.dev(), found.ino())))
    }

    fn space(&self, path: &Path) -> io::Result<Option<DiskSpace>> {
        let found = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Some(DiskSpace { total: bytes(found.f_blocks), free: bytes(found.f_bavail) }))
    }
}

/// The most bytes of one write. The kernel allocates page-cache memory in pieces as large as the write allows. On a virtual machine
/// larger pieces cost up to three times the processor time, because the host has to provide the memory first.
const WRITE_BYTES: usize = 256 * 1024;

impl DiskFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offsets = (offset..).step_by(WRITE_BYTES);
        bytes.chunks(WRITE_BYTES).zip(offsets).try_for_each(|(piece, at)| FileExt::write_all_at(self, piece, at))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    /// Returns `None` for every failure. The caller then makes a blocking read, which reports the cause.
    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, into: &mut [u8], offset: u64) -> Option<usize> {
        use rustix::io::{ReadWriteFlags, preadv2};
        let count = preadv2(self, &mut [io::IoSliceMut::new(into)], offset, ReadWriteFlags::NOWAIT).ok()?;
        (count > 0).then_some(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
