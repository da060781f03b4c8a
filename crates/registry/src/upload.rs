//! Layer uploads. All doors share the sessions (`ECR.md` A.3, B.4; DESIGN "Uploads").
//!
//! A session has no row until a request stores something: a PATCH, a part, a cancel. A session has one writer. A request takes the
//! session over by incrementing the `turn` of its row, and can write to the row only under that turn. On its own node it first ends the
//! older request and waits for it. A byte counts as received only when it is durable together with the state of the hash.

mod append;
mod body;
mod cancel;
mod complete;
mod expire;
mod id;
mod receiver;
mod session;
mod transfer;
mod writers;

pub use append::{append, put_part};
pub use body::{BodySource, WholeBody};
pub use cancel::cancel;
pub use complete::{CompletionRules, complete, put_whole};
pub use expire::UploadExpire;
pub use meta::{InvalidUploadId, UploadId};
pub use transfer::BodyPlace;

use crate::{Capability, Cx, Error, repository};
use id::{UploadClaim, UploadOwner};
use meta::records::upload::OPEN;
use oci::{Algorithm, RepositoryName};
use session::UploadTarget;

/// The state of uploads in a process: the sessions that are being written on this node.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<writers::Writers>();

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    pub id: UploadId,
    /// The number of durable bytes.
    pub received: u64,
}

/// Opens a session without writing anything. Fails with [`Error::RepositoryNotFound`] if the repository does not exist.
///
/// `algorithm` is the hash to compute while bytes arrive. If the final digest uses the other algorithm, the bytes are read again.
pub async fn start(cx: &Cx, name: &RepositoryName, algorithm: Algorithm) -> Result<UploadId, Error> {
    let repository = repository::row(cx, name).await?.id;
    let owner = UploadOwner { registry: &cx.registry, repository };
    Ok(UploadClaim { made_at: cx.now(), algorithm }.into_id(&cx.keys, cx.random.as_ref(), owner))
}

/// Returns the progress of an open session. Fails with [`Error::UploadNotFound`] if it has ended or never existed.
pub async fn status(cx: &Cx, name: &RepositoryName, id: UploadId) -> Result<UploadProgress, Error> {
    let (target, row) = UploadTarget::find(cx, name, id).await?;
    let now = cx.now();
    let received = match &row {
        None if target.expires_at(cx) > now => Some(0),
        Some(row) if row.state == OPEN && row.expires_at > now.0 => Some(session::unsigned(row.received)),
        _ => None,
    };
    received.map(|received| UploadProgress { id, received }).ok_or_else(|| target.not_found())
}
