//! Writes one file. The disk writes one buffer while the caller fills and hashes the next.

use super::blocking;
use super::fence::Fence;
use super::volume::Volume;
use crate::disk::{Disk, DiskFile};
use crate::{Buffer, DurableBytes, EngineState, Error, Writer};
use async_trait::async_trait;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// The state that this engine stores: only its version, because the file has the rest. Only a sync returns a state, so a state also
/// proves that the file's entry in its directory is durable.
const STATE_VERSION: u8 = 1;

/// The writer of one file. Its fence stops it when a newer writer resumes the file.
pub(super) struct FsWriter {
    disk: Arc<dyn Disk>,
    volume: Arc<Volume>,
    directory: PathBuf,
    file: Arc<dyn DiskFile>,
    fence: Arc<Fence>,
    sync_every: u64,
    /// Bytes passed to the disk, including writes in progress.
    written: u64,
    /// The value of `written` when the last sync began.
    sent: u64,
    /// The sync that runs beside the writes. It sends the number of bytes that it made durable.
    beside: Option<oneshot::Receiver<u64>>,
    /// The bytes that a sync beside the writes made durable, until [`Writer::synced`] returns them.
    synced: Option<u64>,
    /// True if the file may have bytes that are not durable.
    dirty: bool,
    /// True if the file's entry in its directory is durable.
    entered: bool,
}

/// Checks a stored state. Returns true if a sync made it.
pub(super) fn read_state(durable: &DurableBytes) -> Result<bool, Error> {
    match durable.state.0.as_slice() {
        [STATE_VERSION] => Ok(true),
        [] if durable.offset == 0 => Ok(false),
        [] => Err(Error::State("it is empty, but bytes are durable")),
        _ => Err(Error::State("it is not a state of the fs engine, version 1")),
    }
}

fn durable(offset: u64) -> DurableBytes {
    DurableBytes { offset, state: EngineState(vec![STATE_VERSION]) }
}

/// Opens an unfinished file and drops the bytes after `offset`.
pub(super) fn cut(disk: &dyn Disk, path: &Path, offset: u64) -> Result<Arc<dyn DiskFile>, Error> {
    let file = match disk.open_write(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(Error::Missing),
        result => result.map_err(|cause| Error::from_io("reopening a layer's file for writing", cause))?,
    };
    let len = file.len().map_err(|cause| Error::from_io("measuring a layer's file", cause))?;
    if len < offset {
        return Err(Error::State("the file is shorter than its durable length"));
    }
    file.truncate(offset).map_err(|cause| Error::from_io("truncating a layer's file", cause))?;
    Ok(file)
}

impl FsWriter {
    /// Creates a writer of an empty file. After each `sync_every` bytes it starts a sync beside the writes.
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        volume: Arc<Volume>,
        directory: PathBuf,
        file: Arc<dyn DiskFile>,
        fence: Arc<Fence>,
        sync_every: u64,
    ) -> FsWriter {
        FsWriter {
            disk,
            volume,
            directory,
            file,
            fence,
            sync_every,
            written: 0,
            sent: 0,
            beside: None,
            synced: None,
            dirty: true,
            entered: false,
        }
    }

    /// Makes this the writer of a file that was cut at `offset`. `entered` is true if the file's directory entry is durable.
    pub(super) fn resumed(self, offset: u64, entered: bool) -> FsWriter {
        FsWriter { written: offset, sent: offset, entered, ..self }
    }

    /// Starts a sync beside the writes, unless the last one still runs.
    ///
    /// The fence records a failure, because the kernel reports it only once: a later sync would succeed.
    async fn sync_beside(&mut self) -> Result<(), Error> {
        self.look();
        if self.beside.is_some() {
            return Ok(());
        }
        let flight = self.fence.enter_alone().await?.share();
        let (ended, beside) = oneshot::channel();
        let (offset, sync) = (self.written, self.sync_work());
        (self.sent, self.beside) = (offset, Some(beside));
        drop(tokio::task::spawn_blocking(move || {
            let outcome = flight.end(sync());
            outcome.map(|()| ended.send(offset))
        }));
        Ok(())
    }

    /// Checks without waiting whether the sync beside the writes has ended.
    fn look(&mut self) {
        match self.beside.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(offset)) => (self.beside, self.synced, self.entered) = (None, Some(offset), true),
            // The sync failed. The fence has the failure, and the next call returns it.
            Some(Err(TryRecvError::Closed)) => self.beside = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
    }

    /// Returns the work that makes the written bytes durable, and the file's directory entry if it is not durable yet.
    fn sync_work(&self) -> impl FnOnce() -> Result<(), Error> + Send + 'static {
        let (dirty, entered) = (self.dirty, self.entered);
        let (disk, directory, file) = (self.disk.clone(), self.directory.clone(), self.file.clone());
        let volume = self.volume.clone();
        move || {
            if dirty {
                file.sync_data().map_err(|cause| Error::from_io("syncing a layer's file", cause))?;
            }
            if !entered {
                disk.sync_dir(&directory).map_err(|cause| Error::from_io("syncing a layers' directory", cause))?;
            }
            // A sync also succeeds in a removed directory, so check the directory last.
            volume.present()
        }
    }
}

#[async_trait]
impl Writer for FsWriter {
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error> {
        let flight = self.fence.enter().await?;
        let (file, volume, offset) = (self.file.clone(), self.volume.clone(), self.written);
        self.written += buffer.len() as u64;
        self.dirty = true;
        // The fence records a failure, and the next call returns it.
        drop(tokio::task::spawn_blocking(move || {
            let written = || file.write_all_at(&buffer, offset);
            let outcome =
                volume.room().and_then(|()| written().map_err(|cause| Error::from_io("writing a layer's file", cause)));
            drop(buffer);
            flight.end(outcome)
        }));
        if self.written - self.sent >= self.sync_every {
            self.sync_beside().await?;
        }
        Ok(())
    }

    fn synced(&mut self) -> Option<DurableBytes> {
        self.look();
        self.synced.take().map(durable)
    }

    async fn sync(&mut self) -> Result<DurableBytes, Error> {
        let flight = self.fence.enter_alone().await?;
        self.look();
        let sync = self.sync_work();
        blocking(move || flight.end(sync())).await?;
        (self.sent, self.dirty, self.entered) = (self.written, false, true);
        Ok(durable(self.written))
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        Ok(self.sync().await?.offset)
    }
}
