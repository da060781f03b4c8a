//! The contract of every engine. The rules of layers and uploads belong to the crates above.

use crate::{Buffer, Location};
use async_trait::async_trait;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes between two syncs that run beside the writes. They let an interrupted upload resume, keep the disk busy from the start,
/// and leave little work for the sync at the end.
pub(crate) const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// An engine's state of an unfinished upload: opaque and versioned. It is stored in the upload session's row.
///
/// The default, no bytes, is the state of a writer that never synced.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EngineState(pub Vec<u8>);

/// How much of an unfinished location survives a crash, and the state to resume it with.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DurableBytes {
    /// The number of durable bytes from the start. It may lag behind the bytes written (S3's minimum part size).
    pub offset: u64,
    pub state: EngineState,
}

/// The metadata that an engine has of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// In bytes.
    pub size: u64,
}

/// Stores bytes by location.
///
/// A location has one writer. Resuming or removing the location waits for an earlier writer's disk work and ends that writer. The
/// earlier writer's next call fails with [`Error::Superseded`], so none of its later bytes can reach the location.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Creates a location exclusively, for writing from its first byte. Fails with [`Error::Exists`] if the location exists,
    /// finished or not.
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error>;

    /// Resumes an unfinished location at `durable.offset`. Bytes after the offset are dropped.
    ///
    /// Fails with [`Error::Missing`] if nothing of the location is left, as after a crash if it was never synced.
    /// Fails with [`Error::State`] if the state is not this engine's, or if bytes that were declared durable are gone.
    async fn resume(&self, location: Location, durable: &DurableBytes) -> Result<Box<dyn Writer>, Error>;

    /// Opens a reader of a finished location's bytes. Returns `None` if the location does not exist.
    /// Fails with [`Error::Io`] of kind UnexpectedEof if the range ends after the last byte or before its own start.
    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error>;

    /// Returns a location's metadata, or `None` if the location does not exist.
    ///
    /// S3 also returns `None` for an unfinished location. The fs engine can't tell whether one is finished, and returns its size.
    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error>;

    /// Removes a location, finished or not. Succeeds if the location does not exist.
    ///
    /// `state` lets an engine find unfinished bytes that it stores elsewhere. After a crash a removed location may exist again, and
    /// [`Engine::list`] lists it.
    async fn remove(&self, location: Location, state: Option<&EngineState>) -> Result<(), Error>;

    /// Lists up to `limit` locations that follow `after` in the engine's own order, so that the registry's collection can
    /// remove bytes without a record. Unfinished locations are listed too.
    ///
    /// The order is fixed and total, but need not be the order of [`Location`]: the fs engine sorts by directory first. To get the
    /// next page, pass the last location of a page as `after`, even if that location was removed.
    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error>;

    /// Checks that the engine can store and read, for the readiness probe. The caller sets a timeout.
    async fn check(&self) -> Result<(), Error>;

    /// Fails with [`Error::Removed`] if the store is no longer where it was opened. Does not block, so that every call can check.
    fn present(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes one location from front to back. Dropping the writer keeps the synced bytes.
///
/// After a failure every later call fails too. This matters most after a failed sync: the kernel forgets which bytes it could not
/// write, so a second fsync proves nothing. The location can be resumed where it was last durable.
#[async_trait]
pub trait Writer: Send {
    /// Appends a buffer. May return before the bytes are stored, so a later call may report the failure.
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error>;

    /// Returns the progress of syncs beside the writes since the last call, without waiting. Returns `None` if there is no
    /// progress, or if the engine syncs only in [`Writer::sync`].
    fn synced(&mut self) -> Option<DurableBytes> {
        None
    }

    /// Makes as many bytes durable as the engine can, and returns how many.
    async fn sync(&mut self) -> Result<DurableBytes, Error>;

    /// Makes every byte and the location itself durable and readable, and ends the writer. Returns the size in bytes.
    async fn finish(self: Box<Self>) -> Result<u64, Error>;
}

/// Reads a range front to back.
#[async_trait]
pub trait Reader: Send {
    /// Returns the next bytes, at least one, or `None` at the end of the range. A buffer holds whole blocks of
    /// [`BLOCK_BYTES`](crate::checksum::BLOCK_BYTES), counted from the range's start, except at the end of the range.
    async fn next(&mut self) -> Result<Option<Buffer>, Error>;
}

/// Why an engine failed. Display gives the context, `source` the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("no space left for layers")]
    Full(#[source] Arc<io::Error>),
    /// The layers' directory was removed or replaced while the engine ran, so new layers would be lost.
    #[error("the layers' directory was removed or replaced while it was in use")]
    Removed,
    #[error("the layer store is read-only")]
    ReadOnly(#[source] Arc<io::Error>),
    /// No buffer became free within [`Buffers::PATIENCE`](crate::Buffers::PATIENCE), or no more files may be opened.
    #[error("the layer store is busy: no buffer or no file descriptor is free")]
    Busy,
    #[error("the location already exists")]
    Exists,
    #[error("the location does not exist")]
    Missing,
    #[error("a newer writer resumed the location, or it was removed")]
    Superseded,
    #[error("the stored upload state can't be read: {0}")]
    State(&'static str),
    #[error("{0}")]
    Io(&'static str, #[source] Arc<io::Error>),
}

impl Error {
    /// Returns the error for a failed system call; `doing` names the call.
    ///
    /// A full disk or quota is [`Error::Full`]. A read-only file system and a denied permission are [`Error::ReadOnly`]. A lack of
    /// file descriptors is [`Error::Busy`].
    pub fn from_io(doing: &'static str, cause: io::Error) -> Error {
        match cause.kind() {
            _ if is_out_of_files(&cause) => Error::Busy,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(Arc::new(cause)),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Error::ReadOnly(Arc::new(cause)),
            _ => Error::Io(doing, Arc::new(cause)),
        }
    }

    /// Returns true if the location has fewer bytes than the range. No other failure of a read tells anything about the bytes.
    pub fn is_short(&self) -> bool {
        matches!(self, Error::Io(_, cause) if cause.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// Returns the error for a range that exceeds the location's bytes.
    pub(crate) fn out_of_range() -> Error {
        Error::Io("the location has fewer bytes than the range", Arc::new(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Returns true for EMFILE and ENFILE, which have no `io::ErrorKind`.
fn is_out_of_files(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(cause), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_file_descriptors_means_busy() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            assert!(matches!(Error::from_io("opening", errno.into()), Error::Busy), "{errno}");
        }
        assert!(matches!(Error::from_io("opening", rustix::io::Errno::IO.into()), Error::Io("opening", _)));
    }
}
