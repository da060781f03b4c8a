//! The engine that stores layers in memory, for tests. It behaves as a file system does, or under S3's rules.

use crate::engine::SYNC_EVERY;
use crate::{Buffer, Buffers, DurableBytes, Engine, EngineState, Error, Location, Reader, Stat, Writer, lock};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex};

/// The version of the state that is stored with an upload's session.
const STATE_VERSION: u8 = 1;

/// An engine that stores layers in memory. Clones share the layers, which live as long as the last clone.
#[derive(Clone)]
pub struct MemoryEngine {
    store: Arc<Mutex<Store>>,
    buffers: Buffers,
    min_part: Option<usize>,
}

#[derive(Default)]
struct Store {
    objects: BTreeMap<Location, Object>,
    writers: u64,
}

struct Object {
    bytes: Arc<Vec<u8>>,
    finished: bool,
    /// The sizes of the parts of `bytes`, under S3's rules.
    parts: Vec<u64>,
    /// The id of the newest writer. Earlier writers are superseded.
    writer: u64,
}

impl MemoryEngine {
    /// Creates an engine that behaves as the fs engine: a sync makes every written byte durable, and unfinished bytes can be read.
    pub fn new(buffers: Buffers) -> MemoryEngine {
        MemoryEngine { store: Arc::default(), buffers, min_part: None }
    }

    /// Creates an engine under the rules of S3's multipart uploads.
    ///
    /// Every part but the last has at least `min_part` bytes (AWS, "Amazon S3 multipart upload limits": 5 MiB; tests use less).
    /// Only whole parts are durable. An object becomes visible when it is finished, and nothing can be appended to it afterwards.
    pub fn under_s3_rules(buffers: Buffers, min_part: usize) -> MemoryEngine {
        MemoryEngine { store: Arc::default(), buffers, min_part: Some(min_part.max(1)) }
    }

    /// Creates a writer. `told` is the durable offset that its caller knows already.
    fn writer(&self, location: Location, id: u64, told: u64) -> Box<dyn Writer> {
        Box::new(MemoryWriter {
            engine: self.clone(),
            location,
            id,
            pending: Vec::new(),
            stored: None,
            told,
            failure: None,
        })
    }

    /// Returns the bytes of a location that a reader may see.
    fn visible(&self, location: Location) -> Option<Arc<Vec<u8>>> {
        let store = lock(&self.store);
        let object = store.objects.get(&location)?;
        (object.finished || self.min_part.is_none()).then(|| object.bytes.clone())
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error> {
        let mut store = lock(&self.store);
        if store.objects.contains_key(&location) {
            return Err(Error::Exists);
        }
        let id = store.next_writer();
        store
            .objects
            .insert(location, Object { bytes: Arc::default(), finished: false, parts: Vec::new(), writer: id });
        Ok(self.writer(location, id, 0))
    }

    async fn resume(&self, location: Location, durable: &DurableBytes) -> Result<Box<dyn Writer>, Error> {
        let parts = read_state(durable)?;
        let mut store = lock(&self.store);
        let id = store.next_writer();
        let object = store.objects.get_mut(&location).ok_or(Error::Missing)?;
        if self.min_part.is_some() {
            if object.finished {
                return Err(Error::State("the object is finished"));
            }
            if !object.parts.starts_with(&parts) || parts.iter().sum::<u64>() != durable.offset {
                return Err(Error::State("its parts differ from the uploaded parts"));
            }
            object.parts = parts;
        }
        let len = usize::try_from(durable.offset).unwrap_or(usize::MAX);
        if object.bytes.len() < len {
            return Err(Error::State("the object is shorter than its durable length"));
        }
        Arc::make_mut(&mut object.bytes).truncate(len);
        object.finished = false;
        object.writer = id;
        Ok(self.writer(location, id, durable.offset))
    }

    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error> {
        let Some(bytes) = self.visible(location) else { return Ok(None) };
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        match bounds.filter(|(start, end)| start <= end && *end <= bytes.len()) {
            Some((start, end)) => {
                Ok(Some(Box::new(MemoryReader { bytes, left: start..end, buffers: self.buffers.clone() })))
            }
            None => Err(Error::out_of_range()),
        }
    }

    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error> {
        Ok(self.visible(location).map(|bytes| Stat { size: bytes.len() as u64 }))
    }

    async fn remove(&self, location: Location, _state: Option<&EngineState>) -> Result<(), Error> {
        lock(&self.store).objects.remove(&location);
        Ok(())
    }

    /// Sorts as [`Location`] does.
    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(lock(&self.store)
            .objects
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(location, _)| *location)
            .collect())
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Store {
    fn next_writer(&mut self) -> u64 {
        self.writers += 1;
        self.writers
    }

    /// Returns the object if `writer` is its newest writer and it is unfinished.
    fn object(&mut self, location: Location, writer: u64) -> Result<&mut Object, Error> {
        self.objects
            .get_mut(&location)
            .filter(|object| object.writer == writer && !object.finished)
            .ok_or(Error::Superseded)
    }
}

/// Reads the sizes of an upload's parts from its state: the version, then eight bytes for each part.
fn read_state(durable: &DurableBytes) -> Result<Vec<u64>, Error> {
    const UNKNOWN: Error = Error::State("it is not a state of the memory engine, version 1");
    let sizes = match durable.state.0.split_first() {
        Some((&STATE_VERSION, sizes)) => sizes,
        Some(_) => return Err(UNKNOWN),
        None if durable.offset == 0 => &[],
        None => return Err(Error::State("it is empty, but bytes are durable")),
    };
    let sizes = sizes.chunks(8).map(|size| size.try_into().map(u64::from_be_bytes));
    sizes.collect::<Result<_, _>>().map_err(|_| UNKNOWN)
}

fn write_state(parts: &[u64]) -> EngineState {
    let mut state = vec![STATE_VERSION];
    state.extend(parts.iter().flat_map(|size| size.to_be_bytes()));
    EngineState(state)
}

struct MemoryWriter {
    engine: MemoryEngine,
    location: Location,
    id: u64,
    /// Bytes that are too few for a part yet, under S3's rules.
    pending: Vec<u8>,
    /// The durable progress after the last write.
    stored: Option<DurableBytes>,
    /// The durable offset that [`Writer::synced`] returned last.
    told: u64,
    failure: Option<Error>,
}

impl MemoryWriter {
    /// Stores the pending bytes if the rules allow. `last` allows a small part and makes the object visible.
    fn store(&mut self, last: bool) -> Result<DurableBytes, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = self.put(last);
        self.failure = result.as_ref().err().cloned();
        result
    }

    fn put(&mut self, last: bool) -> Result<DurableBytes, Error> {
        let min_part = self.engine.min_part;
        let mut store = lock(&self.engine.store);
        let object = store.object(self.location, self.id)?;
        if last || self.pending.len() >= min_part.unwrap_or(0) {
            if min_part.is_some() && !self.pending.is_empty() {
                object.parts.push(self.pending.len() as u64);
            }
            Arc::make_mut(&mut object.bytes).append(&mut self.pending);
        }
        object.finished = last;
        Ok(DurableBytes { offset: object.bytes.len() as u64, state: write_state(&object.parts) })
    }
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.pending.extend_from_slice(&buffer);
        self.stored = Some(self.store(false)?);
        Ok(())
    }

    fn synced(&mut self) -> Option<DurableBytes> {
        let stored = self.stored.take_if(|stored| stored.offset >= self.told + SYNC_EVERY)?;
        self.told = stored.offset;
        Some(stored)
    }

    async fn sync(&mut self) -> Result<DurableBytes, Error> {
        self.store(false)
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        Ok(self.store(true)?.offset)
    }
}

struct MemoryReader {
    bytes: Arc<Vec<u8>>,
    left: Range<usize>,
    buffers: Buffers,
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self) -> Result<Option<Buffer>, Error> {
        if self.left.is_empty() {
            return Ok(None);
        }
        let mut buffer = self.buffers.take_in_time().await?;
        self.left.start += buffer.fill(&self.bytes[self.left.clone()]);
        Ok(Some(buffer))
    }
}
