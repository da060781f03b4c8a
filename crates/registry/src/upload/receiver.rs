//! Bytes on their way to a location, hashed and checksummed as they go.
use blob::checksum::{ChecksumPosition, Checksummer};
use blob::{Buffer, Durable, Error, Location, Writer};
use oci::{Digest, Hasher};

/// How far a location is: what a session's row may be told.
pub(super) struct DurableProgress {
    pub location: Location,
    pub durable: Durable,
    /// The state of the hash at the durable offset.
    pub hash_state: Vec<u8>,
    /// The checksums of the bytes before the durable offset; `None` for a session that began before there were any.
    pub checksums: Option<Vec<u8>>,
}

/// Writes a location, and hashes and checksums each byte once.
pub(super) struct Receiver {
    location: Location,
    writer: Box<dyn Writer>,
    hasher: Hasher,
    /// `None` for a session that began before there were checksums.
    summer: Option<Checksummer>,
    /// Bytes from the location's start that were written.
    written: u64,
    /// Where hash and checksums stood at each place where the engine may say that it is durable up to, the last known one first.
    states: Vec<State>,
    durable: Durable,
}

struct State {
    offset: u64,
    hash: Vec<u8>,
    checksums: Option<ChecksumPosition>,
}

/// A location whose bytes have all come; `writer` is still to make them readable.
pub(super) struct ReceivedBytes {
    pub location: Location,
    pub writer: Box<dyn Writer>,
    pub digest: Digest,
    /// `None` for a session that began before there were checksums.
    pub checksums: Option<Vec<u8>>,
}

impl Receiver {
    /// `writer` stands at `durable.offset` of the location, and `hasher` and `summer` have seen the bytes before it.
    pub(super) fn new(
        location: Location,
        writer: Box<dyn Writer>,
        hasher: Hasher,
        summer: Option<Checksummer>,
        durable: Durable,
    ) -> Receiver {
        let (written, states) = (durable.offset, Vec::new());
        let mut receiver = Receiver { location, writer, hasher, summer, written, states, durable };
        receiver.remember();
        receiver
    }

    /// Keeps where hash and checksums stand now.
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

    /// Makes durable what the engine can.
    pub(super) async fn sync(&mut self) -> Result<DurableProgress, Error> {
        let durable = self.writer.sync().await?;
        Ok(self.cover(durable))
    }

    /// What became durable beside the writes since this was asked last.
    pub(super) fn synced(&mut self) -> Option<DurableProgress> {
        let durable = self.writer.synced()?;
        Some(self.cover(durable))
    }

    /// An engine may lag, but only to where a buffer ended; where it stands between two, the hash has no state to go on from, and
    /// the former place holds.
    fn cover(&mut self, durable: Durable) -> DurableProgress {
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

    /// Splits off what makes the bytes readable, and what was computed over all of them.
    pub(super) fn end(self) -> ReceivedBytes {
        ReceivedBytes {
            location: self.location,
            writer: self.writer,
            digest: self.hasher.finish(),
            checksums: self.summer.map(Checksummer::finish),
        }
    }
}
