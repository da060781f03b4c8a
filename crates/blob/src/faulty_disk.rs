//! A disk in memory that crashes, for tests: after a crash unsynced bytes may be lost, torn, or intact.
//!
//! It promises no more than POSIX does. A file's fdatasync makes its bytes durable but not its name. A directory's fsync makes its
//! names durable, but neither the bytes of its files nor the directory's own name. See [`FaultyDisk::crash`].

mod content;
mod faults;
mod tree;

use crate::disk::{Disk, DiskFile};
use crate::lock;
use content::Content;
pub use faults::DiskCall;
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

/// The state of the disk, under one lock, so that each call happens entirely before a crash or not at all.
#[derive(Default)]
struct Machine {
    root: Directory,
    faults: Faults,
}

impl FaultyDisk {
    /// Creates an empty disk without faults.
    pub fn new() -> FaultyDisk {
        FaultyDisk::default()
    }

    /// Cuts the power, and returns the disk as it is after the reboot. From now on every call to this disk fails.
    ///
    /// Synced data survives. For unsynced data, `seed` chooses independently: each 4 KiB of a file are old, new, or torn at a
    /// 512-byte sector; a file's length is the old one, the new one, or between them; each name is in its directory or not, with or
    /// without the file's bytes.
    pub fn crash(&self, seed: u64) -> FaultyDisk {
        let mut machine = lock(&self.machine);
        machine.faults.power_off();
        let root = machine.root.after_crash(&mut Seed(seed));
        FaultyDisk { machine: Arc::new(Mutex::new(Machine { root, faults: Faults::default() })) }
    }

    /// Limits the bytes that can still be written. Then writes store what fits and fail with ENOSPC. `None` removes the limit.
    pub fn set_space(&self, bytes: Option<u64>) {
        lock(&self.machine).faults.space = bytes;
    }

    /// Makes calls that change the disk fail with EROFS, or succeed again.
    pub fn set_read_only(&self, read_only: bool) {
        lock(&self.machine).faults.read_only = read_only;
    }

    /// Makes the `nth` call from now, of one kind or of any, fail with EIO and do nothing. The next call is 1.
    pub fn fail_nth(&self, call: Option<DiskCall>, nth: u64) {
        lock(&self.machine).faults.fail_nth(call, nth);
    }

    /// Cuts the power at the `nth` call from now. That call and all later ones fail with EIO, until [`FaultyDisk::crash`] reboots.
    pub fn power_off_at(&self, nth: u64) {
        lock(&self.machine).faults.power_off_at(nth);
    }

    /// Returns the number of calls so far, so that a test can make each of them fail in turn.
    pub fn calls(&self) -> u64 {
        lock(&self.machine).faults.calls()
    }

    fn file(&self, content: Arc<Mutex<Content>>) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { machine: self.machine.clone(), content })
    }

    fn open(&self, call: DiskCall, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
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
        machine.faults.meet(DiskCall::CreateNew)?;
        let content = Arc::new(Mutex::new(Content::default()));
        machine.root.insert(path, Node::File(content.clone()))?;
        Ok(self.file(content))
    }

    fn open_write(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(DiskCall::OpenWrite, path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(DiskCall::OpenRead, path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(DiskCall::Remove)?;
        machine.root.remove(path)
    }

    fn mkdir(&self, path: &Path) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        // Linux reports a taken name even on a read-only disk.
        if machine.root.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        machine.faults.meet(DiskCall::Mkdir)?;
        machine.root.insert(path, Node::Directory(Arc::default()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(DiskCall::SyncDir)?;
        machine.root.with(path, Directory::sync)
    }

    fn list(&self, path: &Path, entry: &mut dyn FnMut(&OsStr)) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(DiskCall::List)?;
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
    fn call<T>(&self, call: DiskCall, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(call)?;
        Ok(work(&mut lock(&self.content)))
    }
}

impl DiskFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut machine = lock(&self.machine);
        machine.faults.meet(DiskCall::Write)?;
        let fits = machine.faults.take_space(bytes.len());
        lock(&self.content).write(&bytes[..fits], offset);
        if fits < bytes.len() { Err(rustix::io::Errno::NOSPC.into()) } else { Ok(()) }
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(DiskCall::Read, |content| content.read(into, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        let outcome = self.call(DiskCall::SyncData, Content::sync);
        if outcome.is_err() {
            lock(&self.content).sync_failed();
        }
        outcome
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.call(DiskCall::Truncate, |content| content.truncate(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.call(DiskCall::Len, |content| content.len())
    }
}

/// A reproducible pseudorandom generator: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number in `0..bound`.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
