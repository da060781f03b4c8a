//! Reads a layer's bytes from its record or its location. Each byte is checked before it is returned.

use super::blocks::Blocks;
use super::damage::{self, Damage};
use super::{Layer, find_shown, layer, size};
use crate::quirks::Behaviour;
use crate::{CommonError, Cx, Error, System};
use blob::Location;
use meta::records::{
    self,
    layer::{Content, LayerRow, ShownLayer},
};
use meta::{LayerId, LocationId};
use oci::{ByteRange, Digest, RepositoryName};
use std::ops::Range;
use std::sync::Arc;

/// The most attempts to open a layer whose bytes are not where its record says. Two suffice, unless pushes replace the bytes meanwhile.
const LOOKS: usize = 4;

/// A layer, opened for reading.
pub struct OpenedLayer {
    pub layer: Layer,
    /// The half-open range of `bytes`.
    pub range: Range<u64>,
    pub bytes: LayerReader,
}

/// Why a layer's range can't be had, or its bytes.
pub enum LayerOpening {
    Opened(OpenedLayer),
    /// 416: the layer has `size` bytes.
    Unsatisfiable {
        size: u64,
    },
}

/// Opens a layer for the docker door. Fails with [`Error::LayersNotFound`] if it is not visible in the repository.
pub async fn open(
    cx: &Cx,
    name: &RepositoryName,
    digest: &Digest,
    range: Option<ByteRange>,
) -> Result<LayerOpening, Error> {
    let referenced = cx.quirks.unreferenced_layer_get == Behaviour::Faithful;
    open_as(cx, name, digest, range, referenced).await
}

/// Opens a layer that is visible in the repository. With `referenced`, an image must reference it.
pub(crate) async fn open_as(
    cx: &Cx,
    name: &RepositoryName,
    digest: &Digest,
    range: Option<ByteRange>,
    referenced: bool,
) -> Result<LayerOpening, Error> {
    let mut looks = Looks::default();
    for _ in 0..LOOKS {
        let found = find_shown(cx, name, digest, referenced).await?;
        match open_shown(&cx.system, found.shown.clone(), found.content, range).await? {
            Ok(open) => return Ok(open),
            Err(damage) => looks.again(cx, &found.shown.layer, damage).await?,
        }
    }
    Err(Error::Common(CommonError::Busy))
}

/// Opens a layer by the id of its record, for signed layer URLs. Returns `None` if it is gone or damaged.
pub async fn open_by_id(
    system: &Arc<System>,
    id: LayerId,
    range: Option<ByteRange>,
) -> Result<Option<LayerOpening>, Error> {
    let mut looks = Looks::default();
    for _ in 0..LOOKS {
        let found = system.db.look_up(records::layer::by_id_to_read(id)).await?;
        let Some((row, content)) = found.filter(|(row, _)| row.damaged_at.is_none()) else { return Ok(None) };
        let shown = ShownLayer { layer: row.clone(), media_type: None };
        match open_shown(system, shown, content, range).await? {
            Ok(open) => return Ok(Some(open)),
            Err(damage) => looks.again(system, &row, damage).await?,
        }
    }
    Err(Error::Common(CommonError::Busy))
}

/// The last place where a layer's bytes were not found. The bytes may be replaced or collected between reading the record and opening
/// them. A second attempt finds them at their new place.
#[derive(Default)]
struct Looks(Option<Option<LocationId>>);

impl Looks {
    /// Marks the layer if its bytes were damaged at the same place before. Otherwise returns `Ok` for another attempt.
    async fn again(&mut self, system: &System, row: &LayerRow, damage: Damage) -> Result<(), Error> {
        if self.0.replace(row.location) == Some(row.location) {
            return Err(damage::found(system, row, damage).await);
        }
        Ok(())
    }
}

/// Opens a layer from its row. Returns a [`Damage`] if the bytes are not where the record says, or differ from the layer's.
async fn open_shown(
    system: &Arc<System>,
    shown: ShownLayer,
    content: Content,
    range: Option<ByteRange>,
) -> Result<Result<LayerOpening, Damage>, Error> {
    let size = size(&shown.layer);
    let range = match range {
        None => 0..size,
        Some(asked) => match asked.resolve(size) {
            Some(range) => range,
            None => return Ok(Ok(LayerOpening::Unsatisfiable { size })),
        },
    };
    let left = range.end - range.start;
    let from = match shown.layer.location.map(|location| Location(location.0)) {
        Some(location) => Blocks::open(system, shown.layer.clone(), location, content.checksums, range.clone())
            .await?
            .map(|blocks| Stored::Location(Box::new(blocks))),
        None => record_bytes(&shown.layer, content).map(|bytes| {
            let at = |offset| usize::try_from(offset).unwrap_or(bytes.len());
            Stored::Record(bytes.slice(at(range.start)..at(range.end)))
        }),
    };
    let from = match from {
        Ok(from) => from,
        Err(damage) => return Ok(Err(damage)),
    };
    Ok(Ok(LayerOpening::Opened(OpenedLayer { layer: layer(shown)?, range, bytes: LayerReader { from, left } })))
}

/// Returns a layer's bytes from `layer_data`, if they are the pushed ones.
pub(super) fn record_bytes(row: &LayerRow, content: Content) -> Result<bytes::Bytes, Damage> {
    let bytes = content.bytes.ok_or(Damage::Missing)?;
    if (bytes.len() as u64) < size(row) {
        return Err(Damage::Short);
    }
    let right = match content.checksums {
        Some(checksums) => blob::checksum::of(&bytes) == checksums,
        // A layer from before version 6 has no checksums, but it is small enough to check its digest.
        None => Digest::from_bytes(&row.digest).is_ok_and(|digest| Digest::of(digest.algorithm(), &bytes) == digest),
    };
    if right { Ok(bytes.into()) } else { Err(Damage::Altered) }
}

/// A reader of a layer's bytes, from front to back.
pub struct LayerReader {
    from: Stored,
    /// The number of bytes that were not returned yet.
    left: u64,
}

enum Stored {
    Record(bytes::Bytes),
    Location(Box<Blocks>),
}

impl LayerReader {
    /// Returns the number of bytes that must still be read from the store. It may exceed the number of bytes to return, because blocks are
    /// read whole. It is 0 for a layer whose bytes are in its record.
    pub fn left_to_read(&self) -> u64 {
        match &self.from {
            Stored::Record(_) => 0,
            Stored::Location(blocks) => blocks.left_to_read(),
        }
    }

    /// Returns the next piece, or `None` at the end.
    ///
    /// Fails with [`Error::LayerDamaged`] if bytes are missing or corrupt. The layer is marked by then, and counts as missing. Also fails
    /// if the store returns fewer or more bytes than the range has.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        let piece = match &mut self.from {
            Stored::Record(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Stored::Location(blocks) => blocks.next().await?,
        };
        let given = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.left = match self.left.checked_sub(given) {
            Some(left) if piece.is_some() || left == 0 => left,
            _ => return Err(Error::server(WrongLength)),
        };
        Ok(piece)
    }
}

/// The engine returned another number of bytes than the record says.
#[derive(Debug, thiserror::Error)]
#[error("a layer's stored bytes are not as long as its record says")]
struct WrongLength;
