//! What every engine can do, and nothing else. The rules of layers and uploads stand above it.
use crate::{Buffer, Location};
use async_trait::async_trait;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes after which those that came are made durable while more come: a long body that breaks off goes on from there, the disk is
/// busy from the start, and the sync at the end finds little to do.
pub(crate) const SYNC_EVERY: u64 = 32 * 1024 * 1024;

/// An upload's state as its engine keeps it: opaque and versioned; stored with the session's row.
///
/// The default (no bytes) is the state of a writer that never synced.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EngineState(pub Vec<u8>);

/// What survives a crash now.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Durable {
    /// Bytes from the start that are durable; may lag what was written (S3's minimum part).
    pub offset: u64,
    pub state: EngineState,
}

/// What an engine knows of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
}

/// Stores bytes by location.
///
/// A location has one writer. Resuming or removing it waits for what an earlier writer has under way and ends that writer,
/// whose next call then fails with [`Error::Superseded`]: bytes it still held can't reach the location.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Creates a location exclusively, for writing from its first byte. [`Error::Exists`] when it is there already,
    /// finished or not.
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error>;

    /// Takes up an unfinished location at `durable.offset`; bytes behind it are dropped.
    ///
    /// [`Error::Missing`] when nothing of the location is left; after a crash that can happen to one that was never synced.
    /// [`Error::State`] when the state is not this engine's, or when bytes that were declared durable are gone.
    async fn resume(&self, location: Location, durable: &Durable) -> Result<Box<dyn Writer>, Error>;

    /// A reader of a finished location's bytes; `None` when the location does not exist.
    /// [`Error::Io`] of kind UnexpectedEof when the range ends behind the last byte or before its own start.
    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error>;

    /// `None` when the location does not exist or is unfinished (S3); the fs engine can't tell unfinished and answers its size.
    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error>;

    /// Removes a location, finished or not; removing what isn't there is no error. `state` helps engines that keep
    /// unfinished bytes elsewhere. After a crash a removed location may be there again, for the sweep.
    async fn remove(&self, location: Location, state: Option<&EngineState>) -> Result<(), Error>;

    /// Up to `limit` locations that stand behind `after` in the engine's own order, in that order, for the sweep.
    ///
    /// The order is fixed and total but need not be that of [`Location`] (the fs engine's is by directory first), so
    /// only the last location of a page may be compared with another page: by passing it as `after`, whether it still
    /// exists or not. Unfinished locations are listed too.
    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error>;

    /// Whether the engine can store and read now, for readiness. Bounded in time by the caller.
    async fn check(&self) -> Result<(), Error>;

    /// [`Error::Removed`] when what the engine stores into is no longer where it was opened. It waits for nothing, so that every
    /// call can ask.
    fn present(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes one location from front to back. Dropping it keeps what was synced.
///
/// After a failure the writer is done: every later call fails too, a failed sync above all (the kernel forgets which bytes
/// it could not write, so a second fsync proves nothing). The location can be resumed where it was last durable.
#[async_trait]
pub trait Writer: Send {
    /// Appends a buffer. May return before the bytes are durable, or even stored: a failure may show at a later call.
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error>;

    /// What became durable beside the writes since this was asked last, without waiting for anything; `None` when nothing did, or
    /// when the engine syncs only if it is told to.
    fn synced(&mut self) -> Option<Durable> {
        None
    }

    /// Makes durable what the engine can, and says how far that is.
    async fn sync(&mut self) -> Result<Durable, Error>;

    /// Makes every byte and the location itself durable and readable, and ends the writing. Returns the size in bytes.
    async fn finish(self: Box<Self>) -> Result<u64, Error>;
}

/// Reads a range front to back.
#[async_trait]
pub trait Reader: Send {
    /// The next bytes, one at least; `None` at the end of the range. A buffer holds whole blocks of
    /// [`BLOCK_BYTES`](crate::checksum::BLOCK_BYTES), counted from the range's start, except at the end of the range.
    async fn next(&mut self) -> Result<Option<Buffer>, Error>;
}

/// Why an engine failed. Display carries the context, `source` the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("no space left for layers")]
    Full(#[source] Arc<io::Error>),
    /// The layers' directory was removed or replaced while the engine ran. What is stored now would not be found again.
    #[error("the layers' directory was removed or replaced while it was in use")]
    Removed,
    #[error("the layer store is read-only")]
    ReadOnly(#[source] Arc<io::Error>),
    /// Every buffer was taken for [`Buffers::PATIENCE`](crate::Buffers::PATIENCE), or the process has all the files open that it may.
    #[error("the layer store is busy: no buffer or no file descriptor is free")]
    Busy,
    #[error("the location exists already")]
    Exists,
    #[error("the location does not exist")]
    Missing,
    #[error("a newer writer took the location up, or it was removed")]
    Superseded,
    #[error("the stored upload state can't be read: {0}")]
    State(&'static str),
    #[error("{0}")]
    Io(&'static str, #[source] Arc<io::Error>),
}

impl Error {
    /// The error for a failed call of the operating system, `doing` says which: a full disk or quota, a read-only or forbidden one,
    /// and no free file descriptor have variants of their own.
    pub fn from_io(doing: &'static str, cause: io::Error) -> Error {
        match cause.kind() {
            _ if is_out_of_files(&cause) => Error::Busy,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full(Arc::new(cause)),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Error::ReadOnly(Arc::new(cause)),
            _ => Error::Io(doing, Arc::new(cause)),
        }
    }

    /// Whether a location has fewer bytes than were asked for. Any other failure of a read says nothing of the bytes.
    pub fn is_short(&self) -> bool {
        matches!(self, Error::Io(_, cause) if cause.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// The error for a range that the location's bytes do not cover.
    pub(crate) fn out_of_range() -> Error {
        Error::Io("the location holds fewer bytes than were asked for", Arc::new(io::ErrorKind::UnexpectedEof.into()))
    }
}

/// Whether the process or the system has too many files open: EMFILE and ENFILE have no kind of their own.
fn is_out_of_files(cause: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(cause), Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhausted_file_descriptors_are_load_and_no_fault() {
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            assert!(matches!(Error::from_io("opening", errno.into()), Error::Busy), "{errno}");
        }
        assert!(matches!(Error::from_io("opening", rustix::io::Errno::IO.into()), Error::Io("opening", _)));
    }
}
