//! A wrapper around any engine that makes chosen calls fail or wait, for tests of the code above the engine.
//!
//! [`crate::faulty_disk`] injects the faults below an engine, such as a missing fsync.

use crate::{Buffer, DurableBytes, Engine, EngineState, Error, Location, Reader, Stat, Writer, lock};
use async_trait::async_trait;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// A kind of call to an engine, to its writers or to its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineCall {
    Create,
    Resume,
    Read,
    Stat,
    Remove,
    List,
    Check,
    /// [`Engine::present`], which can fail but not wait.
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

/// An engine whose calls a test can make fail or wait. Clones share the faults.
#[derive(Clone)]
pub struct FaultyEngine {
    engine: Arc<dyn Engine>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    failures: Vec<(EngineCall, Error)>,
    gates: Vec<(EngineCall, Arc<Turnstile>)>,
    unreadable_from: Option<u64>,
    /// The number of reads that will return a flipped bit.
    altered_reads: usize,
}

/// Makes one call wait. The call continues when the gate is opened or dropped.
pub struct Gate {
    turnstile: Arc<Turnstile>,
}

struct Turnstile {
    arrived: Semaphore,
    open: Semaphore,
}

impl FaultyEngine {
    /// Wraps an engine. At first there are no faults.
    pub fn new(engine: Arc<dyn Engine>) -> FaultyEngine {
        FaultyEngine { engine, faults: Arc::default() }
    }

    /// Makes the next `times` calls of a kind fail with `error` before they reach the engine. Failures that were requested earlier
    /// come first.
    pub fn fail(&self, call: EngineCall, times: usize, error: Error) {
        lock(&self.faults).failures.extend(std::iter::repeat_n((call, error), times));
    }

    /// Makes the next `writes` writes fail as on a full disk.
    pub fn fill(&self, writes: usize) {
        self.fail(EngineCall::Write, writes, Error::from_io("", io::ErrorKind::StorageFull.into()));
    }

    /// Makes reads of every location fail at this byte, after they have returned the bytes before it. `None` ends the fault.
    pub fn set_unreadable_from(&self, byte: Option<u64>) {
        lock(&self.faults).unreadable_from = byte;
    }

    /// Flips one bit in each of the next `pieces` that are read, as a bad cable does. The stored bytes stay intact.
    pub fn alter_reads(&self, pieces: usize) {
        lock(&self.faults).altered_reads = pieces;
    }

    /// Makes the next call of a kind wait at a gate. Several gates hold one call each, in order.
    #[must_use = "a gate that is dropped holds nothing"]
    pub fn hold(&self, call: EngineCall) -> Gate {
        let turnstile = Arc::new(Turnstile { arrived: Semaphore::new(0), open: Semaphore::new(0) });
        lock(&self.faults).gates.push((call, turnstile.clone()));
        Gate { turnstile }
    }

    /// Waits at the gate of a call, if there is one. Then fails if a failure is due.
    async fn meet(&self, call: EngineCall) -> Result<(), Error> {
        let gate = take_first(&mut lock(&self.faults).gates, call);
        if let Some(turnstile) = gate {
            turnstile.arrived.add_permits(1);
            // Opening the gate closes the semaphore, so `acquire` returns an error.
            let _opened = turnstile.open.acquire().await;
        }
        self.fail_in_turn(call)
    }

    fn fail_in_turn(&self, call: EngineCall) -> Result<(), Error> {
        take_first(&mut lock(&self.faults).failures, call).map_or(Ok(()), Err)
    }
}

fn take_first<T>(waiting: &mut Vec<(EngineCall, T)>, call: EngineCall) -> Option<T> {
    let at = waiting.iter().position(|(kind, _)| *kind == call)?;
    Some(waiting.remove(at).1)
}

impl Gate {
    /// Waits until a call waits at the gate.
    pub async fn reached(&self) {
        if let Ok(permit) = self.turnstile.arrived.acquire().await {
            // Return the permit, so that every later call returns at once.
            drop(permit);
        }
    }

    /// Lets the call continue. If no call has come yet, the next one does not wait.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.turnstile.open.close();
    }
}

#[async_trait]
impl Engine for FaultyEngine {
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error> {
        self.meet(EngineCall::Create).await?;
        Ok(FaultyWriter::boxed(self, self.engine.create(location).await?))
    }

    async fn resume(&self, location: Location, durable: &DurableBytes) -> Result<Box<dyn Writer>, Error> {
        self.meet(EngineCall::Resume).await?;
        Ok(FaultyWriter::boxed(self, self.engine.resume(location, durable).await?))
    }

    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error> {
        self.meet(EngineCall::Read).await?;
        let reader = self.engine.read(location, range.clone()).await?;
        Ok(reader.map(|reader| {
            Box::new(FaultyReader { faulty: self.clone(), reader, offset: range.start, cut: false }) as Box<dyn Reader>
        }))
    }

    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error> {
        self.meet(EngineCall::Stat).await?;
        self.engine.stat(location).await
    }

    async fn remove(&self, location: Location, state: Option<&EngineState>) -> Result<(), Error> {
        self.meet(EngineCall::Remove).await?;
        self.engine.remove(location, state).await
    }

    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error> {
        self.meet(EngineCall::List).await?;
        self.engine.list(after, limit).await
    }

    async fn check(&self) -> Result<(), Error> {
        self.meet(EngineCall::Check).await?;
        self.engine.check().await
    }

    fn present(&self) -> Result<(), Error> {
        self.fail_in_turn(EngineCall::Present)?;
        self.engine.present()
    }
}

struct FaultyWriter {
    faulty: FaultyEngine,
    writer: Box<dyn Writer>,
    /// The first failure. Every later call returns it, as the trait requires.
    failure: Option<Error>,
}

impl FaultyWriter {
    fn boxed(faulty: &FaultyEngine, writer: Box<dyn Writer>) -> Box<dyn Writer> {
        Box::new(FaultyWriter { faulty: faulty.clone(), writer, failure: None })
    }

    async fn meet(&mut self, call: EngineCall) -> Result<(), Error> {
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
        self.meet(EngineCall::Write).await?;
        self.writer.write(buffer).await
    }

    fn synced(&mut self) -> Option<DurableBytes> {
        self.writer.synced()
    }

    async fn sync(&mut self) -> Result<DurableBytes, Error> {
        self.meet(EngineCall::Sync).await?;
        self.writer.sync().await
    }

    async fn finish(mut self: Box<Self>) -> Result<u64, Error> {
        self.meet(EngineCall::Finish).await?;
        self.writer.finish().await
    }
}

struct FaultyReader {
    faulty: FaultyEngine,
    reader: Box<dyn Reader>,
    /// The position of the next byte in its location.
    offset: u64,
    /// True after a buffer was cut short at the unreadable byte, so that the next call fails.
    cut: bool,
}

#[async_trait]
impl Reader for FaultyReader {
    async fn next(&mut self) -> Result<Option<Buffer>, Error> {
        self.faulty.meet(EngineCall::Next).await?;
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
    Error::Io("reading a layer's bytes", Arc::new(io::Error::other("a fault injected by a test")))
}
