//! Appends bytes to a session: docker's PATCH and UploadLayerPart (`ECR.md` B.4, A.3).

use super::body::{BodySource, WholeBody};
use super::session::{SessionState, UploadSession, UploadTarget, take};
use super::transfer::{BodyPlace, Chunk, Transfer};
use super::{UploadId, UploadProgress};
use crate::{Constraint, Cx, Error};
use blob::checksum::{BLOCK_BYTES, Checksums};
use bytes::Bytes;
use meta::records::upload::UploadRow;
use oci::{ChunkRange, RepositoryName};

/// Values of [`meta::records::upload::UploadRow::small_part`].
const LAST_PART_SMALL: i64 = 1;
pub(super) const INNER_PART_SMALL: i64 = 2;

/// Appends a streamed body (docker's PATCH).
///
/// With `at`, the body must begin at the session's offset and, for a chunk, have that length. If not, the call fails with
/// [`Error::InvalidLayerPart`], and only bytes that became durable meanwhile are kept. The bytes of an interrupted body are kept. If two
/// requests write the same session, the older one fails with [`Error::InvalidLayerPart`].
pub async fn append(
    cx: &Cx,
    name: &RepositoryName,
    id: UploadId,
    at: Option<BodyPlace>,
    body: &mut dyn BodySource,
) -> Result<UploadProgress, Error> {
    let (target, row, lease) = UploadTarget::to_write(cx, name, id).await?;
    let session = open(cx, &target, row).await?;
    let chunk = Chunk { at, algorithm: target.claim.algorithm, resumable: true };
    let mut transfer = Transfer::new(cx, &target, session, chunk, (body, lease))?;
    store(&mut transfer).await
}

/// Appends a part with the API's limits (UploadLayerPart, `ECR.md` A.3). If the last part is sent again, because its answer was lost, the
/// answer is the same. If it then has other bytes, it is refused with [`Error::InvalidLayerPart`].
pub async fn put_part(
    cx: &Cx,
    name: &RepositoryName,
    id: UploadId,
    at: ChunkRange,
    bytes: Bytes,
) -> Result<UploadProgress, Error> {
    // Check the part against the limit and its range.
    let size = bytes.len() as u64;
    let max = cx.limits.layer_part_bytes;
    if size > max {
        return Err(Error::invalid("layerPartBlob", Constraint::MaxLength(max)));
    }
    let (target, row, lease) = UploadTarget::to_write(cx, name, id).await?;
    let mut session = open(cx, &target, row).await?;
    let received = session.received();
    if at.len() != size {
        return Err(target.invalid_part(format!("The part has {size} bytes, but its range has {}", at.len()), received));
    }
    // The last part again: answer as before if its bytes are the same.
    if at.first < received && at.last + 1 == received {
        if differs(&session, at.first, &bytes)? {
            let reason = format!("The upload has other bytes from byte {} to byte {}", at.first, at.last);
            return Err(target.invalid_part(reason, received));
        }
        return Ok(UploadProgress { id, received });
    }
    // Store a new part.
    count(cx, &mut session, size)?;
    let chunk = Chunk { at: Some(at.into()), algorithm: target.claim.algorithm, resumable: true };
    let mut body = WholeBody(Some(bytes));
    let mut transfer = Transfer::new(cx, &target, session, chunk, (&mut body, lease))?;
    store(&mut transfer).await
}

/// Whether bytes that begin at `first` and end where the session stands are other ones than it has, by the checksums of its blocks. If
/// `first` is within a block, the rest of that block is not compared: the layer's digest finds a difference there.
fn differs(session: &UploadSession, first: u64, bytes: &[u8]) -> Result<bool, Error> {
    const BLOCK: u64 = BLOCK_BYTES as u64;
    let Some(stored) = &session.row.checksums else { return Ok(false) };
    let stored = Checksums::read(stored).map_err(Error::server)?;
    let block = first.div_ceil(BLOCK);
    let skipped = usize::try_from(block * BLOCK - first).unwrap_or(usize::MAX);
    let compared = bytes.get(skipped..).unwrap_or_default();
    Ok(compared.chunks(BLOCK_BYTES).zip(block..).any(|(bytes, block)| stored.check(block, bytes) != Some(true)))
}

async fn open(cx: &Cx, target: &UploadTarget, row: Option<UploadRow>) -> Result<UploadSession, Error> {
    match take(cx, target, row).await? {
        SessionState::Open(session) => Ok(session),
        SessionState::Complete(_) => Err(target.not_found()),
    }
}

/// Counts a part, and notes whether a part below the minimum size is followed by another.
fn count(cx: &Cx, session: &mut UploadSession, size: u64) -> Result<(), Error> {
    let max = cx.limits.layer_parts;
    if session.row.parts >= i64::from(max) {
        return Err(Error::limit(None, format!("The upload has its maximum of {max} parts")));
    }
    session.row.parts += 1;
    if session.row.small_part == LAST_PART_SMALL {
        session.row.small_part = INNER_PART_SMALL;
    } else if session.row.small_part != INNER_PART_SMALL && size < cx.limits.layer_part_min_bytes {
        session.row.small_part = LAST_PART_SMALL;
    }
    Ok(())
}

async fn store(transfer: &mut Transfer<'_>) -> Result<UploadProgress, Error> {
    if let Some(mut receiver) = transfer.run().await?
        && let Err(error) = transfer.commit(&mut receiver).await
    {
        transfer.abandon(receiver.location()).await;
        return Err(error);
    }
    Ok(transfer.progress())
}
