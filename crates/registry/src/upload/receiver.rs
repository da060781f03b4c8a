//! Writes received bytes to a location, and computes their hash and checksums.

use blob::checksum::{ChecksumPosition, Checksummer};
use blob::{Buffer, DurableBytes, Error, Location, Writer};
use oci::{Digest, Hasher};

/// The durable progress of a location, which may be stored in a session's row.
pub(super) struct DurableProgress {
    pub location: Location,
    pub durable: DurableBytes,
    /// The state of the hash at the durable offset.
    pub hash_state: Vec<u8>,
    /// The checksums of the bytes before the durable offset. `None` for a session from before version 6.
    pub checksums: Option<Vec<u8>>,
}

/// Writes a location, and computes hash and checksums of each byte once.
pub(super) struct Receiver {
    location: Location,
    writer: Box<dyn Writer>,
    hasher: Hasher,
    /// `None` for a session from before version 6.
    summer: Option<Checksummer>,
    /// The number of bytes written, from the location's start.
    written: u64,
    /// The states of hash and checksums at each offset that the engine may report as durable. The first is the last reported one.
    states: Vec<State>,
    durable: DurableBytes,
}

struct State {
    offset: u64,
    hash: Vec<u8>,
    checksums: Option<ChecksumPosition>,
}

/// A location with all of its bytes. `writer` still has to make them readable.
pub(super) struct ReceivedBytes {
    pub location: Location,
    pub writer: Box<dyn Writer>,
    pub digest: Digest,
    /// `None` for a session from before version 6.
    pub checksums: Option<Vec<u8>>,
}

impl Receiver {
    /// Creates a receiver. `writer` must be at `durable.offset`, and `hasher` and `summer` must have seen the bytes before it.
    pub(super) fn new(
        location: Location,
        writer: Box<dyn Writer>,
        hasher: Hasher,
        summer: Option<Checksummer>,
        durable: DurableBytes,
    ) -> Receiver {
        let (written, states) = (durable.offset, Vec::new());
        let mut receiver = Receiver { location, writer, hasher, summer, written, states, durable };
        receiver.remember();
        receiver
    }

    /// Saves the current states of hash and checksums.
    fn remember(&mut self) {
        let checksums = self.summer.as_ref().map(Checksummer::position);
        self.states.push(State { offset: self.written, hash: self.hasher.state(), checksums });
    }

    pub(super) fn location(&self) -> Location {
        self.location
    }

    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) async fn write(&mut self, buffer: Buffer) -> Result<(), Error> {
        self.hasher.update(&buffer);
        if let Some(summer) = &mut self.summer {
            summer.update(&buffer);
        }
        self.written += buffer.len() as u64;
        self.remember();
        self.writer.write(buffer).await
    }

    /// Makes as many bytes durable as the engine can.
    pub(super) async fn sync(&mut self) -> Result<DurableProgress, Error> {
        let durable = self.writer.sync().await?;
        Ok(self.cover(durable))
    }

    /// Returns the progress of syncs beside the writes since the last call.
    pub(super) fn synced(&mut self) -> Option<DurableProgress> {
        let durable = self.writer.synced()?;
        Some(self.cover(durable))
    }

    /// Finds the states for a durable offset. An engine may lag, but normally to the end of a buffer. For any other offset there is no
    /// state of the hash to resume from, so the previous progress stays.
    fn cover(&mut self, durable: DurableBytes) -> DurableProgress {
        if let Some(at) = self.states.iter().position(|state| state.offset == durable.offset) {
            self.states.drain(..at);
            self.durable = durable;
        }
        let state = self.states.first();
        let hash_state = state.map(|state| state.hash.clone()).unwrap_or_default();
        let place = state.and_then(|state| state.checksums);
        let checksums = self.summer.as_ref().zip(place).map(|(summer, place)| summer.stored_at(place));
        DurableProgress { location: self.location, durable: self.durable.clone(), hash_state, checksums }
    }

    /// Ends the receiver. Returns the writer, and the digest and checksums of all bytes.
    pub(super) fn end(self) -> ReceivedBytes {
        ReceivedBytes {
            location: self.location,
            writer: self.writer,
            digest: self.hasher.finish(),
            checksums: self.summer.map(Checksummer::finish),
        }
    }
}
