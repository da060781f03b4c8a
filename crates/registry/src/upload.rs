//! Layer uploads: one space of sessions for every door (`ECR.md` A.3, B.4; DESIGN "Uploads").
//!
//! A session has no row until a request leaves something behind: a PATCH, a part, a cancel. It has one writer. A request takes
//! it by raising the `turn` of its row, and on its own node ends and awaits the older request before; whatever it stores, it
//! stores under the turn that it took. No byte counts as received before it is durable together with the state of the hash.
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

/// Which sessions are being written on this node.
pub(crate) const CAPABILITY: Capability = Capability::with_state::<writers::Writers>();

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    pub id: UploadId,
    /// Durable bytes.
    pub received: u64,
}

/// Opens a session without writing anything. [`Error::RepositoryNotFound`] without its repository.
///
/// `algorithm` is the hash that will be computed while bytes come; a digest of the other one costs reading them again.
pub async fn start(cx: &Cx, name: &RepositoryName, algorithm: Algorithm) -> Result<UploadId, Error> {
    let repository = repository::row(cx, name).await?.id;
    let owner = UploadOwner { registry: &cx.registry, repository };
    Ok(UploadClaim { made_at: cx.now(), algorithm }.into_id(&cx.keys, cx.random.as_ref(), owner))
}

/// [`Error::UploadNotFound`] for one that ended or never was.
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
