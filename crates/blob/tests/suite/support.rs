//! The engines under test, and helpers to write and read them.

use blob::disk::RealDisk;
use blob::faulty_disk::FaultyDisk;
use blob::fs::FsEngine;
use blob::memory::MemoryEngine;
use blob::{Buffers, Engine, Error, Location, Writer};
use std::ops::Range;
use std::sync::Arc;
use tempfile::TempDir;

/// Small, so that a few bytes suffice for every case: no part, one part, several parts, a short last part.
pub const MIN_PART: usize = 1000;

/// As few as a transfer needs, so that a test hangs if an engine keeps buffers.
pub const BUFFERS: usize = 4;

pub struct Setup {
    pub name: &'static str,
    pub engine: Arc<dyn Engine>,
    pub buffers: Buffers,
    /// True if a sync makes only whole parts durable.
    pub by_parts: bool,
    _directory: Option<TempDir>,
}

/// Creates one of each engine.
pub async fn engines() -> Vec<Setup> {
    let buffers = Buffers::new(BUFFERS);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("layers");
    let engine = Arc::new(FsEngine::open(root, Arc::new(RealDisk), buffers.clone()).await.unwrap());
    let real = Setup { name: "fs on the real disk", engine, buffers, by_parts: false, _directory: Some(directory) };
    let mut engines = engines_without_a_device().await;
    engines.push(real);
    engines
}

/// Creates the engines whose syncs cost nothing.
pub async fn engines_without_a_device() -> Vec<Setup> {
    let buffers = Buffers::new(BUFFERS);
    let faulty = FsEngine::open("/layers", Arc::new(FaultyDisk::new()), buffers.clone()).await.unwrap();
    let memory = MemoryEngine::new(buffers.clone());
    let s3_rules = MemoryEngine::under_s3_rules(buffers.clone(), MIN_PART);
    let setup = |name, engine, by_parts| Setup { name, engine, buffers: buffers.clone(), by_parts, _directory: None };
    vec![
        setup("fs on the faulty disk", Arc::new(faulty), false),
        setup("memory", Arc::new(memory), false),
        setup("memory under S3's rules", Arc::new(s3_rules), true),
    ]
}

impl Setup {
    pub async fn write(&self, writer: &mut dyn Writer, bytes: &[u8]) -> Result<(), Error> {
        write(&self.buffers, writer, bytes).await
    }

    /// Stores a finished location.
    pub async fn put(&self, location: Location, bytes: &[u8]) {
        let mut writer = self.engine.create(location).await.unwrap();
        self.write(&mut *writer, bytes).await.unwrap();
        assert_eq!(writer.finish().await.unwrap(), bytes.len() as u64, "{}", self.name);
    }

    pub async fn get(&self, location: Location, range: Range<u64>) -> Option<Vec<u8>> {
        read(&*self.engine, location, range).await.unwrap()
    }

    pub async fn size(&self, location: Location) -> Option<u64> {
        self.engine.stat(location).await.unwrap().map(|stat| stat.size)
    }
}

pub async fn write(buffers: &Buffers, writer: &mut dyn Writer, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let mut buffer = buffers.take().await;
        let count = buffer.fill(bytes);
        bytes = &bytes[count..];
        writer.write(buffer).await?;
    }
    Ok(())
}

pub async fn read(engine: &dyn Engine, location: Location, range: Range<u64>) -> Result<Option<Vec<u8>>, Error> {
    let Some(mut reader) = engine.read(location, range).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    while let Some(buffer) = reader.next().await? {
        assert!(!buffer.is_empty(), "a reader returned an empty buffer, which a caller may mistake for the end");
        bytes.extend_from_slice(&buffer);
    }
    Ok(Some(bytes))
}

/// Returns a distinct location for each number. The locations use sixteen directories, and neighbours are in different ones.
pub fn location(number: u8) -> Location {
    let mut bytes = *b"\x01\x7f\x22\xe2\x79\xb0\x7c\xc3\x98\xc4\xdc\x0c\x0c\x07\x00\x00";
    (bytes[14], bytes[15]) = (number, number.wrapping_mul(67) % 16);
    Location(bytes)
}

/// Returns pseudorandom bytes, different for each `kind`, so that moved or mixed bytes are detected.
pub fn bytes(kind: u64, len: usize) -> Vec<u8> {
    let mut chance = Chance(kind);
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(|| chance.next().to_le_bytes()).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

/// A reproducible pseudorandom generator (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}
