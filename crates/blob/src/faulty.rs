//! A wrapper around any engine that fails or holds chosen calls, for tests of what stands above.
//!
//! Faults beneath an engine, a missing fsync above all, are [`crate::faulty_disk`]'s part.
use crate::{Buffer, Durable, Engine, EngineState, Error, Location, Reader, Stat, Writer, lock};
use async_trait::async_trait;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// A kind of call of an engine, of its writers or of its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    Resume,
    Read,
    Stat,
    Remove,
    List,
    Check,
    /// [`Engine::present`], which can be failed and not held.
    Present,
    /// [`Writer::write`]
    Write,
    /// [`Writer::sync`]
    Sync,
    /// [`Writer::finish`]
    Finish,
    /// [`Reader::next`]
    Next,
}

/// An engine whose calls a test can fail or hold. Clones share their faults.
#[derive(Clone)]
pub struct Faulty {
    engine: Arc<dyn Engine>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    failures: Vec<(Call, Error)>,
    gates: Vec<(Call, Arc<Turnstile>)>,
    unreadable_from: Option<u64>,
    /// Pieces that will be read with a wrong bit.
    altered_reads: usize,
}

/// Holds one call. The call goes on when the gate is opened or dropped.
pub struct Gate {
    turnstile: Arc<Turnstile>,
}

struct Turnstile {
    arrived: Semaphore,
    open: Semaphore,
}

impl Faulty {
    /// Wraps an engine, without faults at first.
    pub fn new(engine: Arc<dyn Engine>) -> Faulty {
        Faulty { engine, faults: Arc::default() }
    }

    /// Makes the next `times` calls of a kind fail with `error` before they do anything. Those asked for earlier fail first.
    pub fn fail(&self, call: Call, times: usize, error: Error) {
        lock(&self.faults).failures.extend(std::iter::repeat_n((call, error), times));
    }

    /// Makes the next `writes` writes fail as on a full disk.
    pub fn fill(&self, writes: usize) {
        self.fail(Call::Write, writes, Error::from_io("", io::ErrorKind::StorageFull.into()));
    }

    /// Makes reads fail at this byte of any location, after the bytes before it were read; `None`: reads go well again.
    pub fn set_unreadable_from(&self, byte: Option<u64>) {
        lock(&self.faults).unreadable_from = byte;
    }

    /// Flips a bit of each of the next `pieces` that are read, as a bad cable does: the stored bytes stay right.
    pub fn alter_reads(&self, pieces: usize) {
        lock(&self.faults).altered_reads = pieces;
    }

    /// Holds the next call of a kind. Several gates hold the calls that come, one each, in order.
    #[must_use = "a gate that is dropped holds nothing"]
    pub fn hold(&self, call: Call) -> Gate {
        let turnstile = Arc::new(Turnstile { arrived: Semaphore::new(0), open: Semaphore::new(0) });
        lock(&self.faults).gates.push((call, turnstile.clone()));
        Gate { turnstile }
    }

    /// Waits at the gate of a call, if there is one, then fails it if its turn has come.
    async fn meet(&self, call: Call) -> Result<(), Error> {
        let gate = take_first(&mut lock(&self.faults).gates, call);
        if let Some(turnstile) = gate {
            turnstile.arrived.add_permits(1);
            // The gate opens by closing the semaphore, which is the error here.
            let _opened = turnstile.open.acquire().await;
        }
        self.fail_in_turn(call)
    }

    fn fail_in_turn(&self, call: Call) -> Result<(), Error> {
        take_first(&mut lock(&self.faults).failures, call).map_or(Ok(()), Err)
    }
}

fn take_first<T>(waiting: &mut Vec<(Call, T)>, call: Call) -> Option<T> {
    let at = waiting.iter().position(|(kind, _)| *kind == call)?;
    Some(waiting.remove(at).1)
}

impl Gate {
    /// Returns once a call is held.
    pub async fn reached(&self) {
        if let Ok(permit) = self.turnstile.arrived.acquire().await {
            // It stays reached, however often that is asked.
            drop(permit);
        }
    }

    /// Lets the call go, or the one that would have been held.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.turnstile.open.close();
    }
}

#[async_trait]
impl Engine for Faulty {
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error> {
        self.meet(Call::Create).await?;
        Ok(FaultyWriter::boxed(self, self.engine.create(location).await?))
    }

    async fn resume(&self, location: Location, durable: &Durable) -> Result<Box<dyn Writer>, Error> {
        self.meet(Call::Resume).await?;
        Ok(FaultyWriter::boxed(self, self.engine.resume(location, durable).await?))
    }

    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error> {
        self.meet(Call::Read).await?;
        let reader = self.engine.read(location, range.clone()).await?;
        Ok(reader.map(|reader| {
            Box::new(FaultyReader { faulty: self.clone(), reader, offset: range.start, cut: false }) as Box<dyn Reader>
        }))
    }

    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error> {
        self.meet(Call::Stat).await?;
        self.engine.stat(location).await
    }

    async fn remove(&self, location: Location, state: Option<&EngineState>) -> Result<(), Error> {
        self.meet(Call::Remove).await?;
        self.engine.remove(location, state).await
    }

    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error> {
        self.meet(Call::List).await?;
        self.engine.list(after, limit).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.meet(Call::Check).await?;
        self.engine.check().await
    }

    fn present(&self) -> Result<(), Error> {
        self.fail_in_turn(Call::Present)?;
        self.engine.present()
    }
}

struct FaultyWriter {
    faulty: Faulty,
    writer: Box<dyn Writer>,
    /// A writer that failed is done, as the trait says.
    failure: Option<Error>,
}

impl FaultyWriter {
    fn boxed(faulty: &Faulty, writer: Box<dyn Writer>) -> Box<dyn Writer> {
        Box::new(FaultyWriter { faulty: faulty.clone(), writer, failure: None })
    }

    async fn meet(&mut self, call: Call) -> Result<(), Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = self.faulty.meet(call).await;
        self.failure = result.as_ref().err().cloned();
        result
    }
}

#[async_trait]
impl Writer for FaultyWriter {
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.meet(Call::Write).await?;
        self.writer.write(buffer).await
    }

    fn synced(&mut self) -> Option<Durable> {
        self.writer.synced()
    }

    async fn sync(&mut self) -> Result<Durable, Error> {
        self.meet(Call::Sync).await?;
        self.writer.sync().await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        self.meet(Call::Finish).await?;
        self.writer.finish().await
    }
}

struct FaultyReader {
    faulty: Faulty,
    reader: Box<dyn Reader>,
    /// The place of the next byte in its location.
    offset: u64,
    /// Whether bytes were taken away, so that nothing may follow.
    cut: bool,
}

#[async_trait]
impl Reader for FaultyReader {
    async fn next(&mut self) -> Result<Option<Buffer>, Error> {
        self.faulty.meet(Call::Next).await?;
        if self.cut {
            return Err(unreadable());
        }
        let Some(mut buffer) = self.reader.next().await? else { return Ok(None) };
        let unreadable_from = {
            let mut faults = lock(&self.faulty.faults);
            if let Some(fewer) = faults.altered_reads.checked_sub(1) {
                faults.altered_reads = fewer;
                buffer.spare_mut()[0] ^= 1;
            }
            faults.unreadable_from
        };
        let readable = unreadable_from.map_or(u64::MAX, |byte| byte.saturating_sub(self.offset));
        if readable < buffer.len() as u64 {
            self.cut = true;
            buffer.set_len(readable as usize);
        }
        self.offset += buffer.len() as u64;
        if buffer.is_empty() { Err(unreadable()) } else { Ok(Some(buffer)) }
    }
}

fn unreadable() -> Error {
    Error::Io("reading a layer's bytes", Arc::new(io::Error::other("a fault that a test asked for")))
}
