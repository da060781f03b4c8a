//! Layer uploads: one space of sessions for every door (`ECR.md` A.3, B.4; DESIGN "Uploads").
use crate::{Cx, Error};
use bytes::Bytes;
use oci::{Algorithm, ChunkRange, Digest, RepositoryName};

/// A session's id: a UUID that carries its own proof, so that no row is needed before bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadId(pub [u8; 16]);
impl std::fmt::Display for UploadId { fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { todo!() } }
impl std::str::FromStr for UploadId { type Err = InvalidUploadId; fn from_str(_: &str) -> Result<Self, InvalidUploadId> { todo!() } }

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an upload id")]
pub struct InvalidUploadId;

/// A body as it comes in, piece by piece.
#[async_trait::async_trait]
pub trait Source: Send {
    /// The next piece; `None` at the body's end. [`Error::BodyTruncated`] when it ends early.
    async fn next(&mut self) -> Result<Option<Bytes>, Error>;
}

/// A body that is at hand.
pub struct Whole(pub Option<Bytes>);
#[async_trait::async_trait]
impl Source for Whole {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.0.take())
    }
}

/// Which upload sessions are being written on this node.
#[derive(Default)]
pub struct Writers;

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub id: UploadId,
    /// Durable bytes.
    pub received: u64,
}

/// Opens a session without writing anything. [`Error::RepositoryNotFound`] without its repository.
pub async fn start(_cx: &Cx, _name: &RepositoryName, _algorithm: Algorithm) -> Result<UploadId, Error> { todo!() }

/// Docker's PATCH: appends a streamed body. With `at`, the chunk must begin where the session stands and have that length,
/// else [`Error::InvalidLayerPart`]. What was synced before a body broke off stays.
pub async fn append(_cx: &Cx, _name: &RepositoryName, _id: UploadId, _at: Option<ChunkRange>, _body: &mut dyn Source) -> Result<Progress, Error> { todo!() }

/// UploadLayerPart: a part with the API's own limits.
pub async fn put_part(_cx: &Cx, _name: &RepositoryName, _id: UploadId, _at: ChunkRange, _bytes: Bytes) -> Result<Progress, Error> { todo!() }

/// How a completion is asked for: the doors differ in what they refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Docker's PUT: a layer that is already there is a success; any part size goes; no bytes at all make the empty layer.
    Docker,
    /// CompleteLayerUpload: LayerAlreadyExists, LayerPartTooSmall, EmptyUpload.
    Api,
}

/// Ends a session: appends what `body` still holds, compares the digest, and makes the layer exist in the repository.
/// A replay of a completed session answers as the first did.
pub async fn complete(_cx: &Cx, _name: &RepositoryName, _id: UploadId, _digest: &Digest, _at: Option<ChunkRange>, _body: &mut dyn Source, _how: Completion) -> Result<(), Error> { todo!() }

/// A layer in one request (POST with `digest`).
pub async fn put_whole(_cx: &Cx, _name: &RepositoryName, _digest: &Digest, _body: &mut dyn Source) -> Result<(), Error> { todo!() }

/// [`Error::UploadNotFound`] for one that ended or never was.
pub async fn status(_cx: &Cx, _name: &RepositoryName, _id: UploadId) -> Result<Progress, Error> { todo!() }

/// Ends a session and drops its bytes.
pub async fn cancel(_cx: &Cx, _name: &RepositoryName, _id: UploadId) -> Result<(), Error> { todo!() }
