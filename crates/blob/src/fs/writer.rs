//! Writing one file, with the disk a little behind whoever fills and hashes the buffers.
use super::blocking;
use super::fence::Fence;
use crate::disk::{Disk, DiskFile};
use crate::{Buffer, Durable, EngineState, Error, Writer};
use async_trait::async_trait;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The state that this engine stores: its version alone, since the file says the rest. It also says that the file's entry
/// in its directory is durable, for only a sync hands it out.
const STATE_VERSION: u8 = 1;

pub(super) struct FsWriter {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    file: Arc<dyn DiskFile>,
    fence: Arc<Fence>,
    /// Bytes handed to the disk; those under way are counted.
    written: u64,
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
    pub(super) fn created(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        file: Arc<dyn DiskFile>,
        fence: Arc<Fence>,
    ) -> FsWriter {
        FsWriter { disk, directory, file, fence, written: 0, dirty: true, entered: false }
    }

    pub(super) fn resumed(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        file: Arc<dyn DiskFile>,
        fence: Arc<Fence>,
        offset: u64,
        entered: bool,
    ) -> FsWriter {
        FsWriter { disk, directory, file, fence, written: offset, dirty: true, entered }
    }
}

#[async_trait]
impl Writer for FsWriter {
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error> {
        let flight = self.fence.enter().await?;
        let (file, offset) = (self.file.clone(), self.written);
        self.written += buffer.len() as u64;
        self.dirty = true;
        // Each write names its place, so those under way may reach the disk in any order. Their failures are kept by the
        // fence, which the next call asks.
        drop(tokio::task::spawn_blocking(move || {
            let outcome = file.write_all_at(&buffer, offset);
            drop(buffer);
            flight.end(outcome.map_err(|cause| Error::from_io("writing a layer's file", cause)))
        }));
        Ok(())
    }

    async fn sync(&mut self) -> Result<Durable, Error> {
        let flight = self.fence.enter_alone().await?;
        let (dirty, entered) = (self.dirty, self.entered);
        let (disk, directory, file) = (self.disk.clone(), self.directory.clone(), self.file.clone());
        blocking(move || {
            let bytes = if dirty { file.sync_data() } else { Ok(()) };
            let bytes = bytes.map_err(|cause| Error::from_io("syncing a layer's file", cause));
            flight.end(bytes.and_then(|()| {
                let entry = if entered { Ok(()) } else { disk.sync_dir(&directory) };
                entry.map_err(|cause| Error::from_io("syncing a layers' directory", cause))
            }))
        })
        .await?;
        (self.dirty, self.entered) = (false, true);
        Ok(Durable { offset: self.written, state: EngineState(vec![STATE_VERSION]) })
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        Ok(self.sync().await?.offset)
    }
}
