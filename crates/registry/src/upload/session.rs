//! A session's row. A request takes it over by incrementing its turn, and can change it only under that turn.

use super::expire::UploadExpire;
use super::id::{UploadClaim, UploadOwner};
use super::receiver::DurableProgress;
use super::writers::{self, SessionKey, SessionLease};
use crate::clock::Time;
use crate::jobs::{self, JobQueue};
use crate::repository::not_found;
use crate::{Cx, Error};
use blob::checksum::Checksummer;
use blob::{DurableBytes, EngineState, Location};
use meta::records::upload::{COMPLETE, NamedUpload, OPEN, UploadRow};
use meta::records::{self, RegistryKey};
use meta::{LocationId, RepositoryId, UploadId};
use oci::{Algorithm, Digest, Hasher, RepositoryName};

/// The session of a call, whose id was verified.
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
    /// Finds the session, with its row if it has one.
    ///
    /// Fails with [`Error::RepositoryNotFound`], or with [`Error::UploadNotFound`] if this installation did not make the id for this
    /// repository.
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

    /// Finds the session for a request that writes. The request first becomes the session's writer on this node, so that no other request
    /// changes the row afterwards.
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

    /// Returns the expiry of a session without a row.
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

    /// Returns the error for a request whose session a newer request has taken over.
    pub(super) fn superseded(&self, received: u64) -> Error {
        self.invalid_part(SUPERSEDED, received)
    }

    /// Reads the session's row again in a transaction. Fails if the repository was deleted, also if another one has its name by now.
    pub(super) fn again(&self, tx: &mut meta::Tx<'_>) -> Result<Option<UploadRow>, Error> {
        let found = tx.look_up(records::upload::named(&self.registry, &self.name, self.id))?;
        let found = found.filter(|found| found.repository == self.repository);
        Ok(found.ok_or_else(|| self.repository_not_found())?.upload)
    }
}

/// The message for a request whose session a newer request has taken over.
const SUPERSEDED: &str = "A newer request has taken this upload";

/// An open upload session that this request has taken over.
pub(super) struct UploadSession {
    /// Its turn is 0 until the first row is written.
    pub row: UploadRow,
}

/// The result of [`take`].
pub(super) enum SessionState {
    Open(UploadSession),
    /// The session is complete. This is the digest of its layer.
    Complete(Vec<u8>),
}

/// Takes the session with this row over from other nodes. Fails with [`Error::UploadNotFound`] if the session has expired or was
/// cancelled.
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
    /// Creates a session without a row.
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

    /// Returns the number of durable bytes.
    pub(super) fn received(&self) -> u64 {
        unsigned(self.row.received)
    }

    /// Forgets the session's bytes in memory. Its row still has them.
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

    pub(super) fn durable(&self) -> DurableBytes {
        DurableBytes { offset: self.received(), state: EngineState(self.row.engine_state.clone()) }
    }

    pub(super) fn hasher(&self, algorithm: Algorithm) -> Result<Hasher, Error> {
        if self.row.location.is_none() {
            return Ok(Hasher::new(algorithm));
        }
        Hasher::resume(&self.row.hash_state).map_err(Error::server)
    }

    /// Resumes the checksums of the received bytes. Returns `None` for a session from before version 6.
    pub(super) fn checksummer(&self) -> Result<Option<Checksummer>, Error> {
        if self.row.location.is_none() {
            return Ok(Some(Checksummer::default()));
        }
        let resume = |stored: &Vec<u8>| Checksummer::resume(stored, self.received());
        self.row.checksums.as_ref().map(resume).transpose().map_err(Error::server)
    }

    /// Stores the session's progress and returns the session after it. The bytes that `progress` counts must be durable.
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
                    // The first commit inserts the row, and the job that ends the session when it expires.
                    if !tx.upload_insert(&registry, &stored)? {
                        return Ok(false);
                    }
                    jobs::enqueue(tx, &UploadExpire, &key, Time(stored.expires_at))?;
                    Ok::<_, meta::Error>(true)
                })
                .await?;
            // A newer request has taken the session over, or the session has ended.
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

/// Converts a stored number of bytes, which is never negative.
pub(super) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Converts a number of bytes for storing. The limit of a layer is far below the maximum.
fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
