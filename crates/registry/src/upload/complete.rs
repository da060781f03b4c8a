//! Completes a session: its bytes become a layer (`ECR.md` B.4, A.3 CompleteLayerUpload).

use super::append::INNER_PART_SMALL;
use super::body::{BodySource, drain};
use super::receiver::{ReceivedBytes, Receiver};
use super::session::{SessionState, UploadSession, UploadTarget, take};
use super::transfer::{BodyPlace, Chunk, Transfer, discard};
use super::{UploadId, start};
use crate::event::{self, Event};
use crate::layer::{self, LayerBytes, LocationCheck, NewLayer, NotRecorded, RecordedLayer};
use crate::{CommonError, Cx, Error};
use blob::Location;
use blob::checksum::{self, Checksummer};
use meta::records::{self, upload::CANCELLED};
use oci::{Digest, Hasher, RepositoryName};
use serde_json::json;
use std::sync::Arc;

/// The most attempts to check an existing layer's bytes while other pushes move them.
const LOOKS: usize = 8;

/// The API of a completion. The doors differ in what they refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompletionRules {
    /// Docker's PUT. An existing layer is a success, parts may have any size, and an upload without bytes makes the empty layer.
    Docker,
    /// CompleteLayerUpload, which fails with LayerAlreadyExists, LayerPartTooSmall or EmptyUpload instead.
    Api,
}

/// Completes a session: appends `body`, verifies the digest, and makes the layer visible in the repository. A repeated call for a complete
/// session succeeds as the first did.
///
/// A body at [`BodyPlace::Offset`] 0 is the whole layer: whatever the session had is left out of it. At any other offset it must
/// begin where the session stands, unless it has no bytes.
///
/// After [`Error::InvalidLayer`] or an interrupted body, the session is as it was before this body.
pub async fn complete(
    cx: &Cx,
    name: &RepositoryName,
    id: UploadId,
    digest: &Digest,
    at: Option<BodyPlace>,
    body: &mut dyn BodySource,
    how: CompletionRules,
) -> Result<(), Error> {
    match run(cx, (name, id), digest, at, body, how).await {
        // The API has no error for this. The client retries, and finds the result of the newer request.
        Err(Error::InvalidLayerPart { .. }) if how == CompletionRules::Api => Err(Error::Common(CommonError::Busy)),
        other => other,
    }
}

/// Uploads a layer with one request (POST with `digest`).
pub async fn put_whole(
    cx: &Cx,
    name: &RepositoryName,
    digest: &Digest,
    body: &mut dyn BodySource,
) -> Result<(), Error> {
    let id = start(cx, name, digest.algorithm()).await?;
    complete(cx, name, id, digest, None, body, CompletionRules::Docker).await
}

async fn run(
    cx: &Cx,
    (name, id): (&RepositoryName, UploadId),
    digest: &Digest,
    at: Option<BodyPlace>,
    body: &mut dyn BodySource,
    how: CompletionRules,
) -> Result<(), Error> {
    let (target, row, lease) = UploadTarget::to_write(cx, name, id).await?;
    let target = &target;
    let session = match take(cx, target, row).await? {
        SessionState::Open(session) => session,
        SessionState::Complete(layer) if layer == digest.to_bytes() => {
            still_there(cx, target, &layer).await?;
            return drain(cx, body).await;
        }
        SessionState::Complete(_) => return Err(target.not_found()),
    };
    if how == CompletionRules::Api {
        check_parts(cx, target, &session)?;
    }

    // Receive the rest of the bytes. The algorithm of earlier bytes is in the id. Without earlier bytes, use the digest's algorithm.
    let algorithm = if session.location().is_some() { target.claim.algorithm } else { digest.algorithm() };
    // The chunk is not resumable: on failure the client resends this body whole, so the session must not keep any of it.
    let (at, offset) = match at {
        Some(BodyPlace::Offset(offset)) => (None, Some(offset)),
        at => (at, None),
    };
    let chunk = Chunk { at, algorithm, resumable: false };
    let mut transfer = Transfer::new(cx, target, session, chunk, (body, lease))?;
    let replaced = match offset {
        Some(offset) => transfer.close_at(offset, digest.algorithm()).await?,
        None => None,
    };
    let new = receive(cx, &mut transfer, digest).await?;
    let location = match new.bytes {
        LayerBytes::Stored(location) => Some(location),
        LayerBytes::Inline(_) => None,
    };
    let recorded = match record(cx, target, &transfer.session, new).await {
        Ok(recorded) => recorded,
        Err(error) => {
            // If the outcome of the commit is unknown, the record may name the bytes, so leave them to the sweep of `crate::collect`.
            if let Some(location) = location.filter(|_| !error.is_in_doubt()) {
                transfer.abandon(location).await;
            }
            return Err(error);
        }
    };
    for unneeded in recorded.surplus.into_iter().chain(replaced) {
        discard(cx, unneeded).await;
    }
    match how {
        CompletionRules::Api if !recorded.newly_shown && !recorded.mended => Err(target.layer_already_exists(digest)),
        _ => Ok(()),
    }
}

/// Succeeds if the layer of a complete session still has its bytes. Otherwise the client must start a new upload.
async fn still_there(cx: &Cx, target: &UploadTarget, digest: &[u8]) -> Result<(), Error> {
    let found = cx.db.read({
        let (target, digest) = (target.clone(), digest.to_vec());
        move |tx| tx.layer_by_digest(&target.registry, &target.encryption, &digest)
    });
    let found: Option<records::layer::LayerRow> = found.await?;
    let sound = match found.filter(|row| row.damaged_at.is_none()) {
        Some(row) => match row.location {
            Some(location) => layer::check_location(cx, Location(location.0), row.size).await.sound(),
            None => true,
        },
        None => false,
    };
    if sound { Ok(()) } else { Err(target.not_found()) }
}

fn check_parts(cx: &Cx, target: &UploadTarget, session: &UploadSession) -> Result<(), Error> {
    if session.received() == 0 {
        return Err(Error::EmptyUpload { id: target.id.to_string() });
    }
    if session.row.small_part == INNER_PART_SMALL {
        return Err(Error::LayerPartTooSmall { min: cx.limits.layer_part_min_bytes });
    }
    Ok(())
}

/// Receives the rest of the bytes, verifies the digest of all bytes, and makes them durable.
async fn receive(cx: &Cx, transfer: &mut Transfer<'_>, digest: &Digest) -> Result<NewLayer, Error> {
    let id = cx.id();
    if transfer.session.location().is_none()
        && let Some(bytes) = transfer.whole(cx.limits.inline_layer_bytes).await?
    {
        compare(digest, Digest::of(digest.algorithm(), &bytes))?;
        let (size, checksums) = (bytes.len() as u64, checksum::of(&bytes));
        return Ok(NewLayer { id, digest: *digest, size, bytes: LayerBytes::Inline(bytes), checksums });
    }
    let receiver = match transfer.run().await? {
        Some(receiver) => receiver,
        None => match transfer.try_open().await? {
            Some(receiver) => receiver,
            None => return finished_before(cx, transfer, digest).await,
        },
    };
    let location = receiver.location();
    match finish(cx, transfer, receiver, digest).await {
        Ok((size, checksums)) => {
            Ok(NewLayer { id, digest: *digest, size, bytes: LayerBytes::Stored(location), checksums })
        }
        Err(error) => {
            transfer.abandon(location).await;
            Err(error)
        }
    }
}

/// Verifies the digest of the received bytes and makes them readable. Returns their number and their checksums.
async fn finish(
    cx: &Cx,
    transfer: &mut Transfer<'_>,
    receiver: Receiver,
    digest: &Digest,
) -> Result<(u64, Vec<u8>), Error> {
    let ReceivedBytes { location, writer, digest: computed, checksums } = receiver.end();
    let hashed = computed.algorithm() == digest.algorithm();
    if hashed {
        compare(digest, computed)?;
    }
    let size = writer.finish().await.map_err(|error| transfer.store_error(error))?;
    let checksums = match checksums.filter(|_| hashed) {
        Some(checksums) => checksums,
        None => verify(cx, location, size, digest).await?,
    };
    // The expiry of the upload may have removed the location while its last bytes arrived.
    match cx.blobs.stat(location).await? {
        Some(stat) if stat.size == size => Ok((size, checksums)),
        _ => Err(transfer.lost("its bytes are gone")),
    }
}

/// Completes a session whose location can't be resumed, because an earlier completion finished the location and then failed to record the
/// layer.
async fn finished_before(cx: &Cx, transfer: &mut Transfer<'_>, digest: &Digest) -> Result<NewLayer, Error> {
    let (session, size) = (&transfer.session, transfer.session.received());
    let Some(location) = session.location() else { return Err(transfer.lost("it has no location")) };
    if cx.blobs.stat(location).await?.is_none_or(|stat| stat.size != size) {
        return Err(transfer.lost("its location can't be continued"));
    }
    let hasher = session.hasher(digest.algorithm())?;
    let checksums = match session.checksummer()? {
        Some(summer) if hasher.algorithm() == digest.algorithm() => {
            compare(digest, hasher.finish())?;
            summer.finish()
        }
        _ => verify(cx, location, size, digest).await?,
    };
    Ok(NewLayer { id: cx.id(), digest: *digest, size, bytes: LayerBytes::Stored(location), checksums })
}

fn compare(given: &Digest, computed: Digest) -> Result<(), Error> {
    if *given == computed {
        return Ok(());
    }
    Err(Error::InvalidLayer { given: given.to_string(), computed: computed.to_string() })
}

/// Reads a finished location again to verify its digest, and returns its checksums. Needed if the digest's algorithm differs from the one
/// in the id, and for a session from before version 6.
async fn verify(cx: &Cx, location: Location, size: u64, digest: &Digest) -> Result<Vec<u8>, Error> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut summer = Checksummer::default();
    let mut reader = cx.blobs.read(location, 0..size).await?.ok_or_else(|| Error::server(blob::Error::Missing))?;
    while let Some(buffer) = reader.next().await? {
        hasher.update(&buffer);
        summer.update(&buffer);
    }
    compare(digest, hasher.finish())?;
    Ok(summer.finish())
}

/// Makes the layer exist and ends the session, in one transaction. A layer that exists already is looked at between two tries.
async fn record(
    cx: &Cx,
    target: &UploadTarget,
    session: &UploadSession,
    new: NewLayer,
) -> Result<RecordedLayer, Error> {
    let new = Arc::new(new);
    let mut check = None;
    for _ in 0..LOOKS {
        match try_record(cx, target, session, new.clone(), check).await {
            Ok(recorded) => return Ok(recorded),
            Err(NotRecorded::LookAt { location, size }) => {
                check = Some(layer::check_location(cx, location, size).await)
            }
            Err(NotRecorded::Failed(error)) => return Err(error),
        }
    }
    Err(Error::Common(CommonError::Busy))
}

async fn try_record(
    cx: &Cx,
    target: &UploadTarget,
    session: &UploadSession,
    new: Arc<NewLayer>,
    check: Option<LocationCheck>,
) -> Result<RecordedLayer, NotRecorded> {
    let (target, now, turn, received) = (target.clone(), cx.now().0, session.row.turn, session.received());
    let detail = json!({ "size": new.size });
    let event = Event { digest: Some(new.digest), detail, ..Event::new(cx, "layer.push", Some(target.repository)) };
    cx.db
        .write(move |tx| {
            let ended = match turn {
                0 => None,
                _ => Some(tx.attempt(records::upload::complete(target.id, turn, &new.digest.to_bytes()))?),
            };
            let repository = (target.repository, target.encryption.as_str());
            let recorded = layer::record(tx, &target.registry, repository, target.id, &new, check, now)?;
            // If the layer did not become visible, the repository or the session may be gone.
            let row = if recorded.newly_shown { None } else { target.again(tx)? };
            if let Some(ended) = ended {
                if !tx.succeeded(ended)? {
                    return Err(target.superseded(received).into());
                }
            } else if row.is_some_and(|row| row.state == CANCELLED) {
                return Err(target.not_found().into());
            }
            if recorded.newly_shown || recorded.mended {
                event::record(tx, event.clone())?;
            }
            Ok(recorded)
        })
        .await
}
