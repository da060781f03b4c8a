//! Reading a layer's bytes, whether they lie in a record or at a location.
use super::{Layer, find_shown, layer, size};
use crate::quirks::Behaviour;
use crate::{Cx, Error, System};
use blob::Location;
use meta::records::{
    self,
    layer::{LayerRow, ShownLayer},
};
use oci::{ByteRange, Digest, RepositoryName};
use std::ops::Range;

/// A layer, opened for reading.
pub struct Opened {
    pub layer: Layer,
    /// The half-open range that `bytes` will give.
    pub range: Range<u64>,
    pub bytes: Bytes,
}

/// Why a layer's range can't be had, or its bytes.
pub enum Open {
    Opened(Opened),
    /// 416: the layer has `size` bytes.
    Unsatisfiable {
        size: u64,
    },
}

/// A layer for the docker door. [`Error::LayersNotFound`] when the repository doesn't show it.
pub async fn open(cx: &Cx, name: &RepositoryName, digest: &Digest, range: Option<ByteRange>) -> Result<Open, Error> {
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
) -> Result<Open, Error> {
    // The bytes may go between the record and their reading: moved, or collected. The second look finds what was moved.
    for _ in 0..2 {
        let found = find_shown(cx, name, digest, referenced).await?;
        if let Some(open) = open_shown(cx, found.shown, found.bytes, range).await? {
            return Ok(open);
        }
    }
    Err(bytes_missing())
}

/// A layer by its record's id, for signed layer URLs. `None` when it is gone.
pub async fn open_by_id(system: &System, id: [u8; 16], range: Option<ByteRange>) -> Result<Option<Open>, Error> {
    // As in `open`: the second look finds what was moved after the first.
    for _ in 0..2 {
        let Some((row, data)) = system.db.look_up(records::layer::by_id_to_read(id)).await? else { return Ok(None) };
        let shown = ShownLayer { layer: row, media_type: None };
        if let Some(open) = open_shown(system, shown, data, range).await? {
            return Ok(Some(open));
        }
    }
    Err(bytes_missing())
}

/// `None` when the bytes are not where the record says.
async fn open_shown(
    system: &System,
    shown: ShownLayer,
    data: Option<Vec<u8>>,
    range: Option<ByteRange>,
) -> Result<Option<Open>, Error> {
    let size = size(&shown.layer);
    let range = match range {
        None => 0..size,
        Some(asked) => match asked.resolve(size) {
            Some(range) => range,
            None => return Ok(Some(Open::Unsatisfiable { size })),
        },
    };
    let Some(bytes) = bytes(system, &shown.layer, data, range.clone()).await? else { return Ok(None) };
    Ok(Some(Open::Opened(Opened { layer: layer(shown)?, range, bytes })))
}

async fn bytes(
    system: &System,
    row: &LayerRow,
    data: Option<Vec<u8>>,
    range: Range<u64>,
) -> Result<Option<Bytes>, Error> {
    let left = range.end - range.start;
    let from = match row.location {
        Some(location) => system.blobs.read(Location(location), range).await?.map(Stored::Location),
        None => {
            let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            data.zip(range)
                .filter(|(data, (_, end))| *end <= data.len())
                .map(|(data, (start, end))| Stored::Record(bytes::Bytes::from(data).slice(start..end)))
        }
    };
    Ok(from.map(|from| Bytes { from, left }))
}

/// Bytes of a layer, front to back.
pub struct Bytes {
    from: Stored,
    /// Bytes that have not been given yet.
    left: u64,
}

enum Stored {
    Record(bytes::Bytes),
    Location(Box<dyn blob::Reader>),
}

impl Bytes {
    /// The next piece; `None` at the end. An error rather than an end when the store gives fewer or more bytes than it should.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        let piece = match &mut self.from {
            Stored::Record(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Stored::Location(reader) => reader.next().await?.map(bytes::Bytes::from_owner),
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

/// A record points at bytes that are not there.
fn bytes_missing() -> Error {
    Error::server(blob::Error::Missing)
}
