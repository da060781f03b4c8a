//! Reads a layer from its location in blocks. Each block is checked before any of its bytes is returned.

use super::damage::{self, Damage};
use crate::{CommonError, Error, System};
use blob::checksum::{BLOCK_BYTES, Checksums, HEAD_BYTES, SUM_BYTES};
use blob::{Buffer, Location, Reader};
use bytes::Bytes;
use meta::records::layer::{self, LayerRow};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of checksums that are read at once. See [`layer::FIRST_CHECKSUMS`].
const CHECKSUMS_AT_ONCE: i64 = 16 * 1024;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A reader of a layer's range, from front to back.
pub(super) struct Blocks {
    system: Arc<System>,
    row: LayerRow,
    location: Location,
    /// `None` for a layer from before version 6, which is not checked.
    checksums: Option<Checksums>,
    /// The bytes that were not returned yet.
    left: Range<u64>,
    /// From the start of the next block to the end of the last one.
    blocks: Range<u64>,
    /// A reader at `blocks.start`, or `None` if it must be opened there.
    reader: Option<Box<dyn Reader>>,
    /// The start of a block that was found damaged once and is read again.
    suspect: Option<u64>,
}

impl Blocks {
    /// Opens a range of a layer at a location. Returns a [`Damage`] if the bytes are missing or too short.
    pub(super) async fn open(
        system: &Arc<System>,
        row: LayerRow,
        location: Location,
        checksums: Option<Vec<u8>>,
        range: Range<u64>,
    ) -> Result<Result<Blocks, Damage>, Error> {
        let checksums = checksums.map(|stored| Checksums::read(&stored)).transpose().map_err(Error::server)?;
        let end = range.end.next_multiple_of(BLOCK).min(super::size(&row));
        let blocks = range.start / BLOCK * BLOCK..end;
        let system = system.clone();
        let mut opened = Blocks { system, row, location, checksums, left: range, blocks, reader: None, suspect: None };
        Ok(opened.reader().await?.map(|_| ()).map(|()| opened))
    }

    /// Returns the number of bytes that must still be read from the store, in whole blocks.
    pub(super) fn left_to_read(&self) -> u64 {
        self.blocks.end - self.blocks.start
    }

    /// Returns the next bytes, at least one, or `None` at the end. Fails with [`Error::LayerDamaged`] after it has marked a damaged layer.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while !self.left.is_empty() {
            let damage = match self.read().await? {
                Ok(buffer) => return Ok(Some(self.give(buffer))),
                Err(damage) => damage,
            };
            // Read the block once more, because it may have been corrupted on its way from the disk.
            self.reader = None;
            if self.suspect == Some(self.blocks.start) {
                return Err(damage::found(&self.system, &self.row, damage).await);
            }
            self.suspect = Some(self.blocks.start);
            self.look_again().await?;
        }
        Ok(None)
    }

    /// Cuts the requested bytes from checked blocks.
    fn give(&mut self, blocks: Buffer) -> Bytes {
        let begin = self.blocks.start;
        let end = begin + blocks.len() as u64;
        let wanted = self.left.start..self.left.end.min(end);
        (self.blocks.start, self.left.start) = (end, wanted.end);
        let at = |offset: u64| usize::try_from(offset - begin).unwrap_or(usize::MAX);
        Bytes::from_owner(blocks).slice(at(wanted.start)..at(wanted.end))
    }

    /// Reads the next whole blocks. Returns the intact blocks before the first damaged one, at least one block.
    async fn read(&mut self) -> Result<Result<Buffer, Damage>, Error> {
        let reader = match self.reader().await? {
            Ok(reader) => reader,
            Err(damage) => return Ok(Err(damage)),
        };
        let mut buffer = match reader.next().await {
            Ok(Some(buffer)) => buffer,
            Ok(None) => return Ok(Err(Damage::Short)),
            Err(error) if error.is_short() => return Ok(Err(Damage::Short)),
            Err(error) => return Err(error.into()),
        };
        let last = self.blocks.start + buffer.len() as u64 >= self.blocks.end;
        let whole = if last { buffer.len() } else { buffer.len() / BLOCK_BYTES * BLOCK_BYTES };
        if whole == 0 {
            return Err(Error::server(HalfBlock));
        }
        let good = self.good(&buffer[..whole]).await?;
        if good < buffer.len() {
            // The next call reads again from the start of the following block.
            self.reader = None;
            buffer.set_len(good);
        }
        Ok(if good == 0 { Err(Damage::Altered) } else { Ok(buffer) })
    }

    /// Returns a reader at the next block, or a [`Damage`] if the bytes are missing or too short.
    async fn reader(&mut self) -> Result<Result<&mut Box<dyn Reader>, Damage>, Error> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => match self.system.blobs.read(self.location, self.blocks.clone()).await {
                Ok(Some(reader)) => reader,
                Ok(None) => return Ok(Err(Damage::Missing)),
                Err(error) if error.is_short() => return Ok(Err(Damage::Short)),
                Err(error) => return Err(error.into()),
            },
        };
        Ok(Ok(self.reader.insert(reader)))
    }

    /// Returns the number of bytes before the first damaged block.
    async fn good(&mut self, blocks: &[u8]) -> Result<usize, Error> {
        let mut good = 0;
        for block in blocks.chunks(BLOCK_BYTES) {
            let number = (self.blocks.start + good as u64) / BLOCK;
            if !self.check(number, block).await? {
                break;
            }
            good += block.len();
        }
        Ok(good)
    }

    async fn check(&mut self, number: u64, block: &[u8]) -> Result<bool, Error> {
        let Some(checksums) = &self.checksums else { return Ok(true) };
        if let Some(right) = checksums.check(number, block) {
            return Ok(right);
        }
        // Read more checksums. They do not change if the bytes move to another location.
        let sum = SUM_BYTES as u64;
        let from = i64::try_from(HEAD_BYTES as u64 + number * sum).unwrap_or(i64::MAX);
        let part = self.system.db.look_up(layer::checksums(self.row.id, from, CHECKSUMS_AT_ONCE)).await?;
        let part = Checksums::part(number, part.unwrap_or_default());
        let right = part.check(number, block).ok_or_else(|| Error::server(NoChecksum))?;
        self.checksums = Some(part);
        Ok(right)
    }

    /// Reads the record again, because a push may have replaced the bytes, or another reader may have marked the layer.
    async fn look_again(&mut self) -> Result<(), Error> {
        let row = self.system.db.look_up(layer::by_id(self.row.id)).await?;
        let Some(row) = row.filter(|row| row.damaged_at.is_none()) else {
            let digest = oci::Digest::from_bytes(&self.row.digest).map_err(Error::server)?;
            return Err(Error::LayerDamaged { digest: digest.to_string() });
        };
        // If the bytes have moved into the record, this reader can't read them. The client's next request can.
        let location = row.location.map(|location| Location(location.0)).ok_or(Error::Common(CommonError::Busy))?;
        if location != self.location {
            (self.location, self.suspect) = (location, None);
        }
        self.row = row;
        Ok(())
    }
}

/// The engine returned less than a block before the end of the range.
#[derive(Debug, thiserror::Error)]
#[error("the layer store returned half a block")]
struct HalfBlock;

#[derive(Debug, thiserror::Error)]
#[error("a layer has fewer checksums than blocks")]
struct NoChecksum;
