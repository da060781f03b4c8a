//! Bytes on their way to a location, hashed as they go.
use blob::{Buffer, Durable, Error, Location, Writer};
use oci::{Digest, Hasher};

/// How far a location is: what a session's row may be told.
pub(super) struct Covered {
    pub location: Location,
    pub durable: Durable,
    /// The state of the hash at the durable offset.
    pub hash_state: Vec<u8>,
}

/// Writes a location and hashes each byte once.
pub(super) struct Receiver {
    location: Location,
    writer: Box<dyn Writer>,
    hasher: Hasher,
    /// Bytes from the location's start that were written.
    written: u64,
    /// Where the hash stood at each place where the engine may say that it is durable up to, the last known one first.
    states: Vec<(u64, Vec<u8>)>,
    durable: Durable,
}

impl Receiver {
    /// `writer` stands at `durable.offset` of the location, and `hasher` has seen the bytes before it.
    pub(super) fn new(location: Location, writer: Box<dyn Writer>, hasher: Hasher, durable: Durable) -> Receiver {
        let states = vec![(durable.offset, hasher.state())];
        Receiver { location, writer, hasher, written: durable.offset, states, durable }
    }

    pub(super) fn location(&self) -> Location {
        self.location
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) async fn write(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.hasher.update(&buffer);
        self.written += buffer.len() as u64;
        self.states.push((self.written, self.hasher.state()));
        self.writer.write(buffer).await
    }

    /// Makes durable what the engine can.
    pub(super) async fn sync(&mut self) -> Result<Covered, Error> {
        let durable = self.writer.sync().await?;
        Ok(self.cover(durable))
    }

    /// What became durable beside the writes since this was asked last.
    pub(super) fn synced(&mut self) -> Option<Covered> {
        let durable = self.writer.synced()?;
        Some(self.cover(durable))
    }

    /// An engine may lag, but only to where a buffer ended; where it stands between two, the hash has no state to go on from, and
    /// the former place holds.
    fn cover(&mut self, durable: Durable) -> Covered {
        if let Some(at) = self.states.iter().position(|(offset, _)| *offset == durable.offset) {
            self.states.drain(..at);
            self.durable = durable;
        }
        let hash_state = self.states.first().map(|(_, state)| state.clone()).unwrap_or_default();
        Covered { location: self.location, durable: self.durable.clone(), hash_state }
    }

    /// Splits off what makes the bytes readable, and the digest of all of them.
    pub(super) fn end(self) -> (Location, Box<dyn Writer>, Digest) {
        (self.location, self.writer, self.hasher.finish())
    }
}
