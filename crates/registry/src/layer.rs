//! Layers: what a repository shows, reading their bytes, mounts (`ECR.md` A.3, B.4, B.8; DESIGN "Layers").
use crate::{Cx, Error};
use oci::{ByteRange, Digest, RepositoryName};

/// A layer that a repository shows.
#[derive(Clone, Debug)]
pub struct Layer {
    pub id: [u8; 16],
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub media_type: Option<String>,
}

/// The layers among `digests` that the repository shows and that will outlive a push (the HEAD rule of DESIGN "Deletion").
pub async fn check(_cx: &Cx, _name: &RepositoryName, _digests: Vec<Digest>) -> Result<Vec<Layer>, Error> { todo!() }

/// The bytes of a layer, opened for reading.
pub struct Opened {
    pub layer: Layer,
    /// The half-open range that `bytes` will give.
    pub range: std::ops::Range<u64>,
    pub bytes: Bytes,
}

/// Bytes of a layer, whether they lie in a record or at a location.
pub struct Bytes;

impl Bytes {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> { todo!() }
}

/// Why a layer's range can't be had.
pub enum Open {
    Opened(Opened),
    /// 416: the layer has `size` bytes.
    Unsatisfiable { size: u64 },
}

/// A layer for the docker door. [`Error::LayersNotFound`] when the repository doesn't show it.
pub async fn open(_cx: &Cx, _name: &RepositoryName, _digest: &Digest, _range: Option<ByteRange>) -> Result<Open, Error> { todo!() }

/// A layer for GetDownloadUrlForLayer and redirects: LayersNotFound when unknown, LayerInaccessible when no image references it
/// (`referenced` true, as the API asks).
pub async fn find(_cx: &Cx, _name: &RepositoryName, _digest: &Digest, _referenced: bool) -> Result<Layer, Error> { todo!() }

/// A layer by its record's id, for signed layer URLs. `None` when it is gone.
pub async fn open_by_id(_system: &crate::System, _id: [u8; 16], _range: Option<ByteRange>) -> Result<Option<Open>, Error> { todo!() }

/// Shows a layer of `from` in `to` without copying it; false when that is not possible, for whatever reason (`ECR.md` B.8).
/// The caller's right to download from `from` is checked here, since its lack only means that an upload opens.
pub async fn mount(_cx: &Cx, _from: &RepositoryName, _to: &RepositoryName, _digest: &Digest) -> Result<bool, Error> { todo!() }

/// Takes a layer from what the repository shows; refused while an image here stands on it.
pub async fn delete(_cx: &Cx, _name: &RepositoryName, _digest: &Digest) -> Result<(), Error> { todo!() }
