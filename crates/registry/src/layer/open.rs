//! Reading a layer's bytes, whether they lie in a record or at a location. Each byte is checked before it is given.
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

/// How often a layer is looked for whose bytes are not where its record says: twice, and more often only if pushes replace them
/// meanwhile.
const LOOKS: usize = 4;

/// A layer, opened for reading.
pub struct OpenedLayer {
    pub layer: Layer,
    /// The half-open range that `bytes` will give.
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

/// A layer for the docker door. [`Error::LayersNotFound`] when the repository doesn't show it.
pub async fn open(
    cx: &Cx,
    name: &RepositoryName,
    digest: &Digest,
    range: Option<ByteRange>,
) -> Result<LayerOpening, Error> {
    let referenced = cx.quirks.unreferenced_layer_get == Behaviour::Faithful;
    open_as(cx, name, digest, range, referenced).await
}

/// A layer that the repository shows; with `referenced` only one that an image stands on.
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

/// A layer by its record's id, for signed layer URLs. `None` when it is gone or damaged.
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

/// Where a layer's bytes were looked for in vain. The bytes may go between the record and their reading, when a push replaces them or
/// they are collected: the second look finds what was moved.
#[derive(Default)]
struct Looks(Option<Option<LocationId>>);

impl Looks {
    /// Marks the layer if its bytes were not good at the same place before; else another look is due.
    async fn again(&mut self, system: &System, row: &LayerRow, damage: Damage) -> Result<(), Error> {
        if self.0.replace(row.location) == Some(row.location) {
            return Err(damage::found(system, row, damage).await);
        }
        Ok(())
    }
}

/// `Err` in the result: the bytes are not where the record says, or are not the layer's.
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

/// The bytes of a layer that lie in `layer_data`, if they are those that were pushed.
pub(super) fn record_bytes(row: &LayerRow, content: Content) -> Result<bytes::Bytes, Damage> {
    let bytes = content.bytes.ok_or(Damage::Missing)?;
    if (bytes.len() as u64) < size(row) {
        return Err(Damage::Short);
    }
    let right = match content.checksums {
        Some(checksums) => blob::checksum::of(&bytes) == checksums,
        // One from before there were checksums. It is small enough for its digest.
        None => Digest::from_bytes(&row.digest).is_ok_and(|digest| Digest::of(digest.algorithm(), &bytes) == digest),
    };
    if right { Ok(bytes.into()) } else { Err(Damage::Altered) }
}

/// Bytes of a layer, front to back.
pub struct LayerReader {
    from: Stored,
    /// Bytes that have not been given yet.
    left: u64,
}

enum Stored {
    Record(bytes::Bytes),
    Location(Box<Blocks>),
}

impl LayerReader {
    /// Bytes that are read from the store for what has not been given yet. That may be more than what is given, as blocks are read
    /// whole; 0 for a layer that lies in its record.
    pub fn left_to_read(&self) -> u64 {
        match &self.from {
            Stored::Record(_) => 0,
            Stored::Location(blocks) => blocks.left_to_read(),
        }
    }

    /// The next piece; `None` at the end. [`Error::LayerDamaged`] for bytes that are missing or not those that were pushed: the layer
    /// is marked by then, and counts as missing. An error rather than an end when the store gives fewer or more bytes than it should.
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

/// The engine gave another number of bytes than the record says.
#[derive(Debug, thiserror::Error)]
#[error("a layer's stored bytes are not as long as its record says")]
struct WrongLength;
