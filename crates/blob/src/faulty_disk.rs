//! A disk in memory that crashes, for tests: what was not synced may be lost, torn, or there.
//!
//! It is as unkind as POSIX allows: a file's fdatasync makes its bytes durable but not its name, and a directory's fsync
//! makes its names durable but neither the bytes nor the directory's own name. See [`FaultyDisk::crash`].
mod content;
mod faults;
mod tree;

use crate::disk::{Disk, DiskFile};
use crate::lock;
use content::Content;
pub use faults::Call;
use faults::Faults;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tree::{Directory, Node};

/// A disk in memory with one empty directory, `/`. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    machine: Arc<Mutex<Machine>>,
}

/// One lock for all: a call happens entirely before the crash or not at all.
#[derive(Default)]
struct Machine {
    root: Directory,
    faults: Faults,
}

impl FaultyDisk {
    /// An empty disk without faults.
    pub fn new() -> FaultyDisk {
        FaultyDisk::default()
    }

    /// Cuts the power and answers the disk as it is after the reboot; this one fails every call from now on.
    ///
    /// What was synced is there. Of the rest `seed` chooses, independently: each 4 KiB of a file is old, new, or torn at a
    /// 512-byte sector; its length is the old one, the new one, or between; each name is or is not in its directory, with or
    /// without bytes behind it.
    pub fn crash(&self, seed: u64) -> FaultyDisk {
        let mut machine = lock(&self.machine);
        machine.faults.power_off();
        let root = machine.root.after_crash(&mut Seed(seed));
        FaultyDisk { machine: Arc::new(Mutex::new(Machine { root, faults: Faults::default() })) }
    }

    /// Lets `bytes` more be written before the disk is full (ENOSPC, after as much of a write as fits); `None`: it never is.
    pub fn set_space(&self, bytes: Option<u64>) {
        lock(&self.machine).faults.space = bytes;
    }

    /// Whether calls that change something fail with EROFS.
    pub fn set_read_only(&self, read_only: bool) {
        lock(&self.machine).faults.read_only = read_only;
    }

    /// Makes the `nth` call from now fail with EIO and do nothing (1 is the next one); of one kind, or of any.
    pub fn fail_nth(&self, call: Option<Call>, nth: u64) {
        lock(&self.machine).faults.fail_nth(call, nth);
    }

    /// Cuts the power at the `nth` call from now: it and all after it fail with EIO, until [`FaultyDisk::crash`] reboots.
    pub fn power_off_at(&self, nth: u64) {
        lock(&self.machine).faults.power_off_at(nth);
    }

    /// How many calls there were, so that a test can fail each of them in turn.
    pub fn calls(&self) -> u64 {
        lock(&self.machine).faults.calls()
    }

    fn file(&self, content: Arc<Mutex<Content>>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { machine: self.machine.clone(), content })
    }

    fn open(&self, call: Call, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(call)?;
        match machine.root.find(path)? {
            Node::File(content) => Ok(self.file(content)),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(Call::CreateNew)?;
        let content = Arc::new(Mutex::new(Content::default()));
        machine.root.insert(path, Node::File(content.clone()))?;
        Ok(self.file(content))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(Call::OpenWrite, path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(Call::OpenRead, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(Call::Remove)?;
        machine.root.remove(path)
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        // As Linux does, a name that is taken is told before a disk that is read-only.
        if machine.root.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        machine.faults.meet(Call::Mkdir)?;
        machine.root.insert(path, Node::Directory(Arc::default()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(Call::SyncDir)?;
        machine.root.with(path, Directory::sync)
    }

    fn list(&self, path: &Path, entry: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(Call::List)?;
        let names = machine.root.with(path, |directory| directory.names())?;
        drop(machine);
        names.iter().for_each(|name| entry(name));
        Ok(())
    }
}

struct FaultyFile {
    machine: Arc<Mutex<Machine>>,
    content: Arc<Mutex<Content>>,
}

impl FaultyFile {
    fn call<T>(&self, call: Call, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(call)?;
        Ok(work(&mut lock(&self.content)))
    }
}

impl DiskFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(Call::Write)?;
        let fits = machine.faults.take_space(bytes.len());
        lock(&self.content).write(&bytes[..fits], offset);
        if fits < bytes.len() { Err(rustix::io::Errno::NOSPC.into()) } else { Ok(()) }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Read, |content| content.read(into, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        let outcome = self.call(Call::SyncData, Content::sync);
        if outcome.is_err() {
            lock(&self.content).sync_failed();
        }
        outcome
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.call(Call::Truncate, |content| content.truncate(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.call(Call::Len, |content| content.len())
    }
}

/// Chance that can be had again: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
