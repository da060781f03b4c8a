//! The engine that stores layers in files: `ROOT/<last two hex digits of the location>/<location>`.
//!
//! A file is written in its final place, and never renamed or copied. Bytes are reported as durable only after the file's
//! fdatasync and, once for each file, the fsync of its directory. Each of the 256 directories is created when its first file comes:
//! creating them all took most of the time of a start in a new directory.

mod fence;
mod reader;
mod volume;
mod writer;

use crate::disk::{Disk, DiskFile};
use crate::engine::SYNC_EVERY;
use crate::{Buffers, DurableBytes, Engine, EngineState, Error, Location, Reader, Stat, Writer};
use async_trait::async_trait;
use fence::{Fence, Fences};
use reader::FsReader;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OnceCell;
use volume::Volume;
use writer::FsWriter;

/// The fs engine over one directory. One process at a time owns the directory, by the server's lock on its data directory.
pub struct FsEngine {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    volume: Arc<Volume>,
    buffers: Buffers,
    writers: Fences,
    /// The directories that certainly exist and are durable, for as long as this process runs.
    shards: [OnceCell<()>; 256],
    sync_every: u64,
    checks: AtomicU64,
}

impl FsEngine {
    /// Opens the store in `root`, and creates `root` if it is missing. Its parent must exist.
    ///
    /// Every opening syncs both directories, because the process that created their entries may have died before its sync.
    pub async fn open(root: impl Into<PathBuf>, disk: Arc<dyn Disk>, buffers: Buffers) -> Result<FsEngine, Error> {
        let root = root.into();
        let (at, on) = (root.clone(), disk.clone());
        let open = move || {
            let there = lay_out(&at, &*on)?;
            Ok((there, Volume::open(on, at)?))
        };
        let open = move || open().map_err(|cause| Error::from_io("making the layers' directory", cause));
        let (there, volume) = blocking(open).await?;
        Ok(FsEngine::over(root, disk, volume, buffers, there))
    }

    /// Opens the store in `root` for reading, beside the process that owns it. Creates nothing.
    /// Fails with [`Error::Io`] of kind NotFound if the directory does not exist.
    pub async fn attach(root: impl Into<PathBuf>, disk: Arc<dyn Disk>, buffers: Buffers) -> Result<FsEngine, Error> {
        let root = root.into();
        let (at, on) = (root.clone(), disk.clone());
        let open = move || {
            let there = shards_in(&at, &*on)?;
            Ok((there, Volume::open(on, at)?))
        };
        let open = move || open().map_err(|cause| Error::from_io("opening the layers' directory", cause));
        let (there, volume) = blocking(open).await?;
        Ok(FsEngine::over(root, disk, volume, buffers, there))
    }

    fn over(root: PathBuf, disk: Arc<dyn Disk>, volume: Volume, buffers: Buffers, there: [bool; 256]) -> FsEngine {
        let (writers, checks, volume) = (Fences::default(), AtomicU64::new(0), Arc::new(volume));
        let shards = std::array::from_fn(|shard| OnceCell::new_with(there[shard].then_some(())));
        FsEngine { root, disk, volume, buffers, writers, shards, sync_every: SYNC_EVERY, checks }
    }

    /// Sets the number of bytes between two syncs that run beside a writer's writes. The default is 32 MiB.
    pub fn syncing_every(self, bytes: u64) -> FsEngine {
        FsEngine { sync_every: bytes, ..self }
    }

    fn path(&self, location: Location) -> PathBuf {
        let mut path = directory(&self.root, shard(location));
        path.push(location.to_string());
        path
    }

    fn writer(&self, location: Location, file: Arc<dyn DiskFile>, fence: Arc<Fence>) -> FsWriter {
        FsWriter::new(
            self.disk.clone(),
            self.volume.clone(),
            directory(&self.root, shard(location)),
            file,
            fence,
            self.sync_every,
        )
    }

    /// Creates a directory durably, unless it is known to exist.
    async fn make_shard(&self, shard: u8) -> Result<(), Error> {
        let make = || {
            let (disk, root) = (self.disk.clone(), self.root.clone());
            blocking(move || {
                make_shard(&*disk, &root, shard).map_err(|cause| Error::from_io("making a layers' directory", cause))
            })
        };
        self.shards[usize::from(shard)].get_or_try_init(make).await.copied()
    }

    /// Opens a finished or unfinished file, and returns it with its length. Returns `None` if it does not exist.
    async fn open_file(&self, location: Location) -> Result<Option<(Arc<dyn DiskFile>, u64)>, Error> {
        let (disk, volume, path) = (self.disk.clone(), self.volume.clone(), self.path(location));
        blocking(move || match disk.open_read(&path).and_then(|file| file.len().map(|len| (file, len))) {
            Ok(opened) => Ok(Some(opened)),
            // If the whole root is gone, the file is not known to be missing.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => volume.present().map(|()| None),
            Err(cause) => Err(Error::from_io("opening a layer's file", cause)),
        })
        .await
    }
}

#[async_trait]
impl Engine for FsEngine {
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error> {
        self.volume.present()?;
        self.volume.room()?;
        self.make_shard(shard(location)).await?;
        let (disk, path) = (self.disk.clone(), self.path(location));
        let file = blocking(move || match disk.create_new(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Err(Error::Exists),
            result => result.map_err(|cause| Error::from_io("creating a layer's file", cause)),
        })
        .await?;
        let fence = self.writers.begin(location);
        Ok(Box::new(self.writer(location, file, fence)))
    }

    async fn resume(&self, location: Location, durable: &DurableBytes) -> Result<Box<dyn Writer>, Error> {
        let synced_before = writer::read_state(durable)?;
        let flight = self.writers.take_over(location).await?;
        let fence = flight.fence();
        let (disk, path, offset) = (self.disk.clone(), self.path(location), durable.offset);
        let file = blocking(move || flight.end(writer::cut(&*disk, &path, offset))).await?;
        Ok(Box::new(self.writer(location, file, fence).resumed(offset, synced_before)))
    }

    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error> {
        let open = self.buffers.open_file().await?;
        let Some((file, size)) = self.open_file(location).await? else { return Ok(None) };
        if range.start > range.end || range.end > size {
            return Err(Error::out_of_range());
        }
        Ok(Some(Box::new(FsReader::new(file, self.buffers.clone(), range, open))))
    }

    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error> {
        Ok(self.open_file(location).await?.map(|(_, size)| Stat { size }))
    }

    async fn remove(&self, location: Location, _state: Option<&EngineState>) -> Result<(), Error> {
        let flight = self.writers.take_over(location).await?;
        let (disk, path) = (self.disk.clone(), self.path(location));
        blocking(move || {
            flight.end(match disk.remove(&path) {
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result.map_err(|cause| Error::from_io("removing a layer's file", cause)),
            })
        })
        .await
    }

    /// Sorts by directory (the location's last byte), then by location, so that a page reads few directories.
    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error> {
        let (disk, root) = (self.disk.clone(), self.root.clone());
        blocking(move || list(&*disk, &root, after, limit).map_err(|cause| Error::from_io("listing the layers", cause)))
            .await
    }

    /// Writes, syncs, reads and removes a small file in the root.
    async fn check(&self) -> Result<(), Error> {
        // Concurrent checks use different files. A file that a crash left is replaced when its number comes again.
        let number = self.checks.fetch_add(1, Ordering::Relaxed);
        let (disk, volume, root) = (self.disk.clone(), self.volume.clone(), self.root.clone());
        blocking(move || {
            volume.present()?;
            volume.room()?;
            check(&*disk, &root, number).map_err(|cause| Error::from_io("checking the layer store", cause))
        })
        .await
    }

    fn present(&self) -> Result<(), Error> {
        self.volume.present()
    }
}

fn shard(location: Location) -> u8 {
    location.0[15]
}

fn directory(root: &Path, shard: u8) -> PathBuf {
    root.join(format!("{shard:02x}"))
}

/// Creates the root, and returns which directories are in it. Both are durable afterwards.
fn lay_out(root: &Path, disk: &dyn Disk) -> io::Result<[bool; 256]> {
    make_directory(disk, root)?;
    if let Some(parent) = root.parent() {
        disk.sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
    }
    let there = shards_in(root, disk)?;
    disk.sync_dir(root)?;
    Ok(there)
}

/// Returns which of the 256 directories are in the root.
fn shards_in(root: &Path, disk: &dyn Disk) -> io::Result<[bool; 256]> {
    let mut there = [false; 256];
    disk.list(root, &mut |name| {
        let shard = name.to_str().and_then(|name| u8::from_str_radix(name, 16).ok());
        if let Some(shard) = shard.filter(|shard| Path::new(name) == directory(Path::new(""), *shard)) {
            there[usize::from(shard)] = true;
        }
    })?;
    Ok(there)
}

fn make_shard(disk: &dyn Disk, root: &Path, shard: u8) -> io::Result<()> {
    make_directory(disk, &directory(root, shard))?;
    disk.sync_dir(root)
}

fn make_directory(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.mkdir(path) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn list(disk: &dyn Disk, root: &Path, after: Option<Location>, limit: usize) -> io::Result<Vec<Location>> {
    let mut page = Vec::new();
    for shard in after.map_or(0, shard)..=u8::MAX {
        if page.len() >= limit {
            break;
        }
        let room = limit - page.len();
        // Keep only the `room` smallest locations, so that memory does not grow with the directory.
        let mut found = BTreeSet::new();
        let listed = disk.list(&directory(root, shard), &mut |name| {
            found.extend(
                location_in(shard, name)
                    .filter(|location| after.is_none_or(|after| position(after) < position(*location))),
            );
            if found.len() > room {
                found.pop_last();
            }
        });
        match listed {
            // The directory is created with its first file.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
        page.extend(found);
    }
    Ok(page)
}

/// The sort key of a location in this engine's order.
fn position(location: Location) -> (u8, Location) {
    (shard(location), location)
}

/// Returns the location of a file in this directory, or `None` for a file that this engine did not write.
fn location_in(directory: u8, name: &OsStr) -> Option<Location> {
    let location: Location = name.to_str()?.parse().ok()?;
    (shard(location) == directory).then_some(location)
}

fn check(disk: &dyn Disk, root: &Path, number: u64) -> io::Result<()> {
    const PROBE: [u8; 16] = *b"the store works\n";
    let path = root.join(format!("check-{number}"));
    remove_if_there(disk, &path)?;
    let file = disk.create_new(&path)?;
    let written = file.write_all_at(&PROBE, 0).and_then(|()| file.sync_data()).and_then(|()| disk.sync_dir(root));
    let read = written.and_then(|()| {
        let mut back = [0; PROBE.len()];
        let count = disk.open_read(&path)?.read_at(&mut back, 0)?;
        Ok(back[..count] == PROBE)
    });
    // Remove the file after a failed check too, if possible.
    let removed = remove_if_there(disk, &path);
    let same = read?;
    removed?;
    if same {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the disk returned other bytes than were written"))
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Runs disk calls on a thread for blocking work. A panic there becomes an error.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => Err(Error::Io("a disk task ended early", Arc::new(io::Error::other(ended)))),
    }
}
