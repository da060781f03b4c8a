//! What every engine can do, and nothing else. The rules of layers and uploads stand above it.
use crate::Buffer;
use async_trait::async_trait;
use std::ops::Range;
use std::sync::Arc;

/// Where bytes lie: 32 lower-case hex digits of an id that holds its time of making (UUIDv7) and is never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(pub [u8; 16]);
impl std::fmt::Display for Location { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::fmt::Debug for Location { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for Location { type Err = Error; fn from_str(_: &str) -> Result<Self, Error> { todo!() } }

impl Location {
    /// Milliseconds since 1970 at which it was made (the first 48 bits of a UUIDv7).
    pub fn made_at_ms(&self) -> u64 { todo!() }
}

/// An upload's state as its engine keeps it: opaque and versioned; stored with the session's row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EngineState(pub Vec<u8>);

/// What survives a crash now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Bytes from the start that are durable; may lag what was written (S3's minimum part).
    pub offset: u64,
    pub state: EngineState,
}

/// What an engine knows of a location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub size: u64,
}

#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Creates a location exclusively, for writing from its first byte.
    async fn create(&self, location: Location) -> Result<Box<dyn Writer>, Error>;
    /// Takes up an unfinished location at `durable.offset`; bytes behind it are dropped.
    async fn resume(&self, location: Location, durable: &Durable) -> Result<Box<dyn Writer>, Error>;
    /// A reader of a finished location's bytes; `None` when the location does not exist.
    async fn read(&self, location: Location, range: Range<u64>) -> Result<Option<Box<dyn Reader>>, Error>;
    /// `None` when the location does not exist or is unfinished (S3); the fs engine can't tell unfinished and answers its size.
    async fn stat(&self, location: Location) -> Result<Option<Stat>, Error>;
    /// Removes a location, finished or not; removing what isn't there is no error. `state` helps engines that keep unfinished bytes elsewhere.
    async fn remove(&self, location: Location, state: Option<&EngineState>) -> Result<(), Error>;
    /// Up to `limit` locations greater than `after`, in order, for the sweep.
    async fn list(&self, after: Option<Location>, limit: usize) -> Result<Vec<Location>, Error>;
    /// Whether the engine can store and read now, for readiness. Bounded in time by the caller.
    async fn check(&self) -> Result<(), Error>;
}

/// Writes one location from front to back. Dropping it keeps what was synced.
#[async_trait]
pub trait Writer: Send {
    /// Appends a buffer. May return before the bytes are durable.
    async fn write(&mut self, buffer: Buffer) -> Result<(), Error>;
    /// Makes durable what the engine can, and says how far that is.
    async fn sync(&mut self) -> Result<Durable, Error>;
    /// Makes every byte and the location itself durable and readable, and ends the writing. Returns the size.
    async fn finish(self: Box<Self>) -> Result<u64, Error>;
}

/// Reads a range front to back.
#[async_trait]
pub trait Reader: Send {
    /// The next bytes; `None` at the end of the range.
    async fn next(&mut self) -> Result<Option<Buffer>, Error>;
}

/// Why an engine failed. Display carries the context, `source` the cause.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("no space left for layers")]
    Full(#[source] Arc<std::io::Error>),
    #[error("the layer store is read-only")]
    ReadOnly(#[source] Arc<std::io::Error>),
    #[error("the location exists already")]
    Exists,
    #[error("the location does not exist")]
    Missing,
    #[error("the stored upload state can't be read: {0}")]
    State(&'static str),
    #[error("{0}")]
    Io(&'static str, #[source] Arc<std::io::Error>),
}
