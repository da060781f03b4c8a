//! A session's row: taken by raising its turn, and changed only under the turn that was taken.
use super::expire::UploadExpire;
use super::id::{UploadClaim, UploadOwner};
use super::receiver::DurableProgress;
use super::writers::{self, SessionKey, SessionLease};
use crate::clock::Time;
use crate::jobs::{self, JobQueue};
use crate::repository::not_found;
use crate::{Cx, Error};
use blob::checksum::Checksummer;
use blob::{Durable, EngineState, Location};
use meta::records::upload::{COMPLETE, NamedUpload, OPEN, UploadRow};
use meta::records::{self, RegistryKey};
use meta::{LocationId, RepositoryId, UploadId};
use oci::{Algorithm, Digest, Hasher, RepositoryName};

/// The session that a call names, once its id was found right.
#[derive(Clone)]
pub(super) struct UploadTarget {
    pub id: UploadId,
    pub claim: UploadClaim,
    /// The repository's id.
    pub repository: RepositoryId,
    /// The repository's encryption identity.
    pub encryption: String,
    pub registry: RegistryKey,
    name: String,
}

impl UploadTarget {
    /// Finds the session, with its row if it left something behind. [`Error::RepositoryNotFound`], or [`Error::UploadNotFound`]
    /// for an id that was not made here for this repository.
    pub(super) async fn find(
        cx: &Cx,
        name: &RepositoryName,
        id: UploadId,
    ) -> Result<(UploadTarget, Option<UploadRow>), Error> {
        let registry = cx.registry.key();
        let found = cx.db.look_up(records::upload::named(&registry, name.as_str(), id)).await?;
        let NamedUpload { repository, encryption, upload } = found.ok_or_else(|| not_found(cx, name))?;
        let owner = UploadOwner { registry: &cx.registry, repository };
        match UploadClaim::verify(id, &cx.keys, owner) {
            Some(claim) => {
                Ok((UploadTarget { id, claim, repository, encryption, registry, name: name.to_string() }, upload))
            }
            None => Err(Error::UploadNotFound {
                id: id.to_string(),
                name: name.to_string(),
                account: cx.registry.account.to_string(),
            }),
        }
    }

    /// The same for a request that writes: it becomes the session's writer on this node first, so that what is found stays so.
    pub(super) async fn to_write(
        cx: &Cx,
        name: &RepositoryName,
        id: UploadId,
    ) -> Result<(UploadTarget, Option<UploadRow>, SessionLease), Error> {
        let session = SessionKey { registry: cx.registry.clone(), repository: name.clone(), id };
        let lease = writers::take(cx, session).await.map_err(|_| Error::InvalidLayerPart {
            reason: SUPERSEDED.to_owned(),
            account: cx.registry.account.to_string(),
            name: name.to_string(),
            id: id.to_string(),
            last_valid_byte: None,
        })?;
        let (target, row) = UploadTarget::find(cx, name, id).await?;
        Ok((target, row, lease))
    }

    /// When a session without a row ends.
    pub(super) fn expires_at(&self, cx: &Cx) -> Time {
        self.claim.made_at.plus(cx.limits.upload_life)
    }

    pub(super) fn not_found(&self) -> Error {
        Error::UploadNotFound {
            id: self.id.to_string(),
            name: self.name.clone(),
            account: self.registry.account.clone(),
        }
    }

    pub(super) fn repository_not_found(&self) -> Error {
        Error::RepositoryNotFound { name: self.name.clone(), account: self.registry.account.clone() }
    }

    pub(super) fn layer_already_exists(&self, digest: &Digest) -> Error {
        Error::LayerAlreadyExists {
            digest: digest.to_string(),
            name: self.name.clone(),
            account: self.registry.account.clone(),
        }
    }

    pub(super) fn invalid_part(&self, reason: impl Into<String>, received: u64) -> Error {
        Error::InvalidLayerPart {
            reason: reason.into(),
            account: self.registry.account.clone(),
            name: self.name.clone(),
            id: self.id.to_string(),
            last_valid_byte: received.checked_sub(1),
        }
    }

    /// For the older of two requests that write one session at once.
    pub(super) fn superseded(&self, received: u64) -> Error {
        self.invalid_part(SUPERSEDED, received)
    }

    /// Looks for the session's row again, in a transaction. The repository's name may be another one's by now.
    pub(super) fn again(&self, tx: &mut meta::Tx<'_>) -> Result<Option<UploadRow>, Error> {
        let found = tx.look_up(records::upload::named(&self.registry, &self.name, self.id))?;
        let found = found.filter(|found| found.repository == self.repository);
        Ok(found.ok_or_else(|| self.repository_not_found())?.upload)
    }
}

/// What the older of two requests that write one session at once hears.
const SUPERSEDED: &str = "A newer request has taken this upload";

/// An open session that this request has taken.
pub(super) struct UploadSession {
    /// Its turn is 0 until the first row is written.
    pub row: UploadRow,
}

/// What [`take`] found.
pub(super) enum SessionState {
    Open(UploadSession),
    /// It ended with this layer.
    Complete(Vec<u8>),
}

/// Takes the session, which has that row, from whoever has it on other nodes. [`Error::UploadNotFound`] for one that expired or
/// was cancelled.
pub(super) async fn take(cx: &Cx, target: &UploadTarget, row: Option<UploadRow>) -> Result<SessionState, Error> {
    let now = cx.now();
    let Some(row) = row else {
        return match target.expires_at(cx) > now {
            true => Ok(SessionState::Open(UploadSession::new(cx, target))),
            false => Err(target.not_found()),
        };
    };
    if row.expires_at <= now.0 {
        return Err(target.not_found());
    }
    match row.state.as_str() {
        OPEN => {
            let (id, turn, received) = (row.id, row.turn, row.received);
            if !cx.db.write(move |tx| tx.change(records::upload::take(id, turn, received))).await? {
                return Err(target.superseded(unsigned(row.received)));
            }
            Ok(SessionState::Open(UploadSession { row: UploadRow { turn: turn + 1, ..row } }))
        }
        COMPLETE => Ok(SessionState::Complete(row.digest.unwrap_or_default())),
        _ => Err(target.not_found()),
    }
}

impl UploadSession {
    /// One that left nothing behind yet.
    pub(super) fn new(cx: &Cx, target: &UploadTarget) -> UploadSession {
        UploadSession {
            row: UploadRow {
                id: target.id,
                repository: target.repository,
                state: OPEN.to_owned(),
                turn: 0,
                received: 0,
                parts: 0,
                small_part: 0,
                location: None,
                hash_state: Vec::new(),
                engine_state: Vec::new(),
                digest: None,
                expires_at: target.expires_at(cx).0,
                checksums: None,
            },
        }
    }

    /// Durable bytes.
    pub(super) fn received(&self) -> u64 {
        unsigned(self.row.received)
    }

    /// Makes it a session without bytes, in memory alone: its row keeps them.
    pub(super) fn forget_bytes(&mut self) {
        self.row.received = 0;
        self.row.location = None;
        self.row.hash_state.clear();
        self.row.engine_state.clear();
        self.row.checksums = None;
    }

    pub(super) fn location(&self) -> Option<Location> {
        self.row.location.map(|location| Location(location.0))
    }

    pub(super) fn durable(&self) -> Durable {
        Durable { offset: self.received(), state: EngineState(self.row.engine_state.clone()) }
    }

    pub(super) fn hasher(&self, algorithm: Algorithm) -> Result<Hasher, Error> {
        if self.row.location.is_none() {
            return Ok(Hasher::new(algorithm));
        }
        Hasher::resume(&self.row.hash_state).map_err(Error::server)
    }

    /// The checksums of what was received, to be gone on with; `None` for a session that began before there were any.
    pub(super) fn checksummer(&self) -> Result<Option<Checksummer>, Error> {
        if self.row.location.is_none() {
            return Ok(Some(Checksummer::default()));
        }
        let resume = |stored: &Vec<u8>| Checksummer::resume(stored, self.received());
        self.row.checksums.as_ref().map(resume).transpose().map_err(Error::server)
    }

    /// Stores how far the session is, and answers it as it is then. The bytes that `progress` speaks of are durable.
    pub(super) fn commit<'a>(
        &self,
        cx: &'a Cx,
        target: &'a UploadTarget,
        progress: DurableProgress,
    ) -> impl Future<Output = Result<UploadSession, Error>> + Send + use<'a> {
        let (first, received) = (self.row.turn == 0, self.received());
        let row = UploadRow {
            turn: self.row.turn.max(1),
            received: signed(progress.durable.offset),
            engine_state: progress.durable.state.0,
            hash_state: progress.hash_state,
            checksums: progress.checksums,
            location: Some(LocationId(progress.location.0)),
            ..self.row.clone()
        };
        async move {
            let (stored, registry, key) = (row.clone(), target.registry.clone(), target.id.to_string());
            let kept = cx
                .db
                .write(move |tx| {
                    if !first {
                        return tx.upload_progress(&stored);
                    }
                    if !tx.upload_insert(&registry, &stored)? {
                        return Ok(false);
                    }
                    jobs::enqueue(tx, &UploadExpire, &key, Time(stored.expires_at))?;
                    Ok::<_, meta::Error>(true)
                })
                .await?;
            if !kept {
                return Err(target.superseded(received));
            }
            if first {
                JobQueue::of(cx).ring();
            }
            Ok(UploadSession { row })
        }
    }
}

/// A stored number of bytes; these are never negative.
pub(super) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// A number of bytes to be stored; the limit of a layer is far below the largest.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
