//! Writing one file, with the disk a little behind whoever fills and hashes the buffers.
use super::blocking;
use super::fence::Fence;
use super::volume::Volume;
use crate::disk::{Disk, DiskFile};
use crate::{Buffer, Durable, EngineState, Error, Writer};
use async_trait::async_trait;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// The state that this engine stores: its version alone, since the file says the rest. It also says that the file's entry
/// in its directory is durable, for only a sync hands it out.
const STATE_VERSION: u8 = 1;

pub(super) struct FsWriter {
    disk: Arc<dyn Disk>,
    volume: Arc<Volume>,
    directory: PathBuf,
    file: Arc<dyn DiskFile>,
    fence: Arc<Fence>,
    sync_every: u64,
    /// Bytes handed to the disk; those under way are counted.
    written: u64,
    /// Bytes that the last sync began with.
    sent: u64,
    /// The sync that runs beside the writes; gives the bytes that it made durable.
    beside: Option<oneshot::Receiver<u64>>,
    /// What it made durable, until someone asks.
    synced: Option<u64>,
    /// Whether the file may differ from what is durable of it.
    dirty: bool,
    /// Whether the file's entry in its directory is durable.
    entered: bool,
}

/// Checks a stored state and says whether it comes from a sync.
pub(super) fn read_state(durable: &Durable) -> Result<bool, Error> {
    match durable.state.0.as_slice() {
        [STATE_VERSION] => Ok(true),
        [] if durable.offset == 0 => Ok(false),
        [] => Err(Error::State("it is empty though bytes are durable")),
        _ => Err(Error::State("it is not a state of the fs engine, version 1")),
    }
}

fn durable(offset: u64) -> Durable {
    Durable { offset, state: EngineState(vec![STATE_VERSION]) }
}

/// Opens an unfinished file and drops what lies behind `offset`.
pub(super) fn cut(disk: &dyn Disk, path: &Path, offset: u64) -> Result<Arc<dyn DiskFile>, Error> {
    let file = match disk.open_write(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Err(Error::Missing),
        result => result.map_err(|cause| Error::from_io("opening a layer's file to go on writing", cause))?,
    };
    let len = file.len().map_err(|cause| Error::from_io("measuring a layer's file", cause))?;
    if len < offset {
        return Err(Error::State("the file is shorter than what was durable of it"));
    }
    file.truncate(offset).map_err(|cause| Error::from_io("truncating a layer's file", cause))?;
    Ok(file)
}

impl FsWriter {
    /// A writer of an empty file. It syncs beside its writes after each `sync_every` bytes.
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

    /// The same for a file that was cut at `offset`; `entered` says whether its entry is durable.
    pub(super) fn resumed(self, offset: u64, entered: bool) -> FsWriter {
        FsWriter { written: offset, sent: offset, entered, ..self }
    }

    /// Starts a sync of what was written, unless the last one still runs; more is written meanwhile. The fence keeps its failure:
    /// the kernel tells it once, so a later sync would not see it.
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

    /// Sees whether the sync beside the writes has ended.
    fn look(&mut self) {
        match self.beside.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(offset)) => (self.beside, self.synced, self.entered) = (None, Some(offset), true),
            // It failed, and the next call says so.
            Some(Err(TryRecvError::Closed)) => self.beside = None,
            Some(Err(TryRecvError::Empty)) | None => {}
        }
    }

    /// What makes the bytes durable that were written, and the file's name once.
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
            // A sync goes well in a directory that was removed, too.
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
        // Its failure is kept by the fence, which the next call asks.
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

    fn synced(&mut self) -> Option<Durable> {
        self.look();
        self.synced.take().map(durable)
    }

    async fn sync(&mut self) -> Result<Durable, Error> {
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
