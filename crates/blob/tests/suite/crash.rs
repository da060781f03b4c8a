//! Crash tests of the fs engine, and proof that these tests notice an engine that syncs too little.

use crate::support::{Chance, bytes, location, read, write};
use blob::disk::{Disk, DiskFile};
use blob::faulty_disk::{DiskCall, FaultyDisk};
use blob::fs::FsEngine;
use blob::{Buffers, DurableBytes, Engine, Error, Location, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;

const SEEDS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn durable_bytes_survive_a_crash() {
    for seed in 0..SEEDS {
        if let Err(loss) = crash_course(seed, Omit::Nothing).await {
            panic!("seed {seed}: {loss}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_fdatasync_is_caught() {
    assert_caught(Omit::FileSync).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_retries_a_failed_fdatasync_is_caught() {
    assert_caught(Omit::FileSyncFailures).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_syncs_no_directory_is_caught() {
    assert_caught(Omit::DirectorySync(|_| true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_sync_the_directory_of_a_new_file_is_caught() {
    assert_caught(Omit::DirectorySync(|path| path.parent() == Some("/layers".as_ref()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_sync_its_root_is_caught() {
    assert_caught(Omit::DirectorySync(|path| path == "/layers")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_sync_its_roots_parent_is_caught() {
    assert_caught(Omit::DirectorySync(|path| path == "/")).await;
}

async fn assert_caught(omit: Omit) {
    for seed in 0..SEEDS {
        if crash_course(seed, omit).await.is_err() {
            return;
        }
    }
    panic!("{SEEDS} crashes lost nothing of an engine that does not sync");
}

/// Runs random uploads until a crash, reboots twice, and checks the durable bytes each time. The error says what was lost.
async fn crash_course(seed: u64, omit: Omit) -> Result<(), String> {
    let mut disk = FaultyDisk::new();
    let mut chance = Chance(seed);

    // Some crashes come during a call or while directories are created, others after the last call.
    if chance.below(2) == 0 {
        disk.power_off_at(200 + chance.below(200));
    }
    if chance.below(3) == 0 {
        disk.fail_nth(Some(DiskCall::SyncData), 1 + chance.below(8));
    }

    let mut promises = Promises::new();
    let buffers = Buffers::new(4);
    if let Ok(engine) = open(&disk, omit, &buffers).await {
        run(&engine, &buffers, &mut chance, &mut promises).await;
    }

    // The second crash must not undo what the first reboot recovered.
    for reboot in 0..2 {
        disk = disk.crash(seed.wrapping_add(reboot));
        let engine = open(&disk, omit, &buffers).await.unwrap();
        for (location, promise) in &mut promises {
            promise
                .kept(&engine, &buffers, *location)
                .await
                .map_err(|loss| format!("{location} after {reboot} more reboots: {loss}"))?;
        }
        let listed: BTreeSet<Location> = engine.list(None, usize::MAX).await.unwrap().into_iter().collect();
        assert!(promises.keys().all(|location| listed.contains(location)), "an existing location was not listed");
    }
    Ok(())
}

async fn open(disk: &FaultyDisk, omit: Omit, buffers: &Buffers) -> Result<FsEngine, Error> {
    let disk = Arc::new(Careless { disk: disk.clone(), omit });
    // A small interval, so that uploads also sync beside their writes. A failed sync must not count as durable.
    Ok(FsEngine::open("/layers", disk, buffers.clone()).await?.syncing_every(20_000))
}

/// The bytes that the engine declared durable, for each location.
type Promises = BTreeMap<Location, Promise>;

#[derive(Debug)]
struct Promise {
    bytes: Vec<u8>,
    /// The durable progress of an unfinished upload. `None` if the upload is finished.
    unfinished: Option<DurableBytes>,
}

impl Promise {
    /// Checks that the bytes exist. An unfinished upload is resumed and finished first, so that the next crash finds it finished.
    async fn kept(&mut self, engine: &FsEngine, buffers: &Buffers, location: Location) -> Result<(), String> {
        if let Some(durable) = self.unfinished.take() {
            let mut writer = engine
                .resume(location, &durable)
                .await
                .map_err(|error| format!("resuming at {}: {error}", durable.offset))?;
            let rest = bytes(77, 3000);
            write(buffers, &mut *writer, &rest).await.unwrap();
            self.bytes.extend(rest);
            writer.finish().await.unwrap();
        }
        let size = engine.stat(location).await.unwrap().ok_or("the file is gone")?.size;
        if size != self.bytes.len() as u64 {
            return Err(format!("{size} bytes of {}", self.bytes.len()));
        }
        let read = read(engine, location, 0..size).await.unwrap().ok_or("the file is gone")?;
        if read == self.bytes {
            return Ok(());
        }
        let at = read.iter().zip(&self.bytes).position(|(read, written)| read != written);
        Err(format!("byte {at:?} of {size} differs"))
    }
}

/// An upload as its client sees it.
struct Upload {
    location: Location,
    writer: Option<Box<dyn Writer>>,
    written: Vec<u8>,
    durable: DurableBytes,
}

async fn run(engine: &FsEngine, buffers: &Buffers, chance: &mut Chance, promises: &mut Promises) {
    let mut uploads: Vec<Upload> = Vec::new();
    for step in 0..10 + chance.below(30) {
        let at = chance.below(1 + uploads.len() as u64) as usize;
        if at == uploads.len() {
            let location = location(step as u8);
            let Ok(writer) = engine.create(location).await else { continue };
            uploads.push(Upload {
                location,
                writer: Some(writer),
                written: Vec::new(),
                durable: DurableBytes::default(),
            });
        } else if chance.below(6) == 0 {
            let upload = uploads.swap_remove(at);
            end(engine, upload, chance, promises).await;
        } else if uploads[at].go_on(engine, buffers, step, chance, promises).await.is_err() {
            // As a client does, resume where the upload was last durable.
            uploads[at].writer = None;
        }
    }
}

/// Finishes or cancels an upload.
async fn end(engine: &FsEngine, upload: Upload, chance: &mut Chance, promises: &mut Promises) {
    if chance.below(4) == 0 {
        promises.remove(&upload.location);
        let _powered_off = engine.remove(upload.location, Some(&upload.durable.state)).await;
    } else if let Some(writer) = upload.writer
        && let Ok(size) = writer.finish().await
    {
        assert_eq!(size, upload.written.len() as u64);
        promises.insert(upload.location, Promise { bytes: upload.written, unfinished: None });
    }
}

impl Upload {
    async fn go_on(
        &mut self,
        engine: &FsEngine,
        buffers: &Buffers,
        step: u64,
        chance: &mut Chance,
        promises: &mut Promises,
    ) -> Result<(), Error> {
        let Some(writer) = &mut self.writer else {
            self.written.truncate(self.durable.offset as usize);
            self.writer = Some(engine.resume(self.location, &self.durable).await?);
            return Ok(());
        };
        match chance.below(8) {
            0 => self.writer = None,
            1..=3 => {
                self.durable = writer.sync().await?;
                self.promise(promises);
            }
            _ => {
                let largest = if chance.below(10) == 0 { 2 * Buffers::SIZE as u64 } else { 12_000 };
                let bytes = bytes(step, chance.below(largest) as usize);
                self.written.extend(&bytes);
                write(buffers, &mut **writer, &bytes).await?;
                if let Some(durable) = writer.synced() {
                    self.durable = durable;
                    self.promise(promises);
                }
            }
        }
        Ok(())
    }

    /// Records the durable bytes, as the client learns them.
    fn promise(&self, promises: &mut Promises) {
        let bytes = self.written[..self.durable.offset as usize].to_vec();
        promises.insert(self.location, Promise { bytes, unfinished: Some(self.durable.clone()) });
    }
}

/// The syncs that a careless engine would omit. The disk below a careful engine omits them instead.
#[derive(Clone, Copy)]
enum Omit {
    Nothing,
    FileSync,
    /// Repeats a failed fdatasync and uses the second result.
    FileSyncFailures,
    DirectorySync(fn(&Path) -> bool),
}

struct Careless {
    disk: FaultyDisk,
    omit: Omit,
}

impl Careless {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CarelessFile { file, omit: self.omit })
    }
}

impl Disk for Careless {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create_new(path)?))
    }
    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open_write(path)?))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn mkdir(&self, path: &Path) -> io::Result<()> {
        self.disk.mkdir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        match self.omit {
            Omit::DirectorySync(which) if which(path) => Ok(()),
            _ => self.disk.sync_dir(path),
        }
    }
    fn list(&self, path: &Path, entry: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        self.disk.list(path, entry)
    }
}

struct CarelessFile {
    file: Arc<dyn DiskFile>,
    omit: Omit,
}

impl DiskFile for CarelessFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        match self.omit {
            Omit::FileSync => Ok(()),
            Omit::FileSyncFailures => self.file.sync_data().or_else(|_| self.file.sync_data()),
            _ => self.file.sync_data(),
        }
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
