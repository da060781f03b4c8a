//! Upload sessions. A session has a row only after its first bytes were stored, or after it ended.

use super::RegistryKey;
use crate::{Change, Error, LocationId, Lookup, RepositoryId, Row, Tx, UploadId};

/// The columns of [`UploadRow`], in order.
macro_rules! upload_columns {
    () => {
        "upload.id, upload.repository_id, upload.state, upload.turn, upload.received, upload.parts, upload.small_part, \
         upload.location, upload.hash_state, upload.engine_state, upload.digest, upload.expires_at, \
         upload.checksums"
    };
}

statements! {
    UPLOAD_GET = concat!("SELECT ", upload_columns!(), " FROM upload WHERE id = $1");
    UPLOAD_NAMED = concat!("SELECT ", upload_columns!(), ", repository.id, repository.encryption FROM repository \
        LEFT JOIN upload ON upload.id = $4 \
        WHERE repository.account = $1 AND repository.region = $2 AND repository.name = $3 AND repository.deleted_at IS NULL");
    UPLOAD_INSERT = "INSERT INTO upload (id, account, region, repository_id, state, turn, received, parts, small_part, \
        location, hash_state, engine_state, digest, expires_at, checksums) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING";
    UPLOAD_TAKE = "UPDATE upload SET turn = turn + 1 WHERE id = $1 AND turn = $2 AND received = $3 AND state = 'open'";
    UPLOAD_PROGRESS = "UPDATE upload SET received = $3, parts = $4, small_part = $5, location = $6, hash_state = $7, \
        engine_state = $8, checksums = $9 WHERE id = $1 AND turn = $2 AND state = 'open'";
    UPLOAD_COMPLETE = "UPDATE upload SET state = 'complete', digest = $3, location = NULL, checksums = NULL \
        WHERE id = $1 AND turn = $2 AND state = 'open'";
    UPLOAD_CANCEL = "UPDATE upload SET state = 'cancelled', turn = turn + 1 WHERE id = $1";
    UPLOAD_LIST = concat!("SELECT ", upload_columns!(), " FROM upload WHERE id > $1 ORDER BY id LIMIT $2");
    UPLOAD_DELETE = "DELETE FROM upload WHERE id = $1";
}

/// The state of a session that accepts bytes.
pub const OPEN: &str = "open";
/// The state of a session whose bytes became a layer.
pub const COMPLETE: &str = "complete";
/// The state of a session that was cancelled. Its row stays until it expires, so that the id can't be used again.
pub const CANCELLED: &str = "cancelled";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    pub id: UploadId,
    pub repository: RepositoryId,
    /// [`OPEN`], [`COMPLETE`] or [`CANCELLED`].
    pub state: String,
    /// A counter that each request increments when it takes over the session, so that an earlier request can't write any more.
    pub turn: i64,
    /// The number of durable bytes.
    pub received: i64,
    pub parts: i64,
    /// Parts below the minimum size. 0: there is none. 1: the last part. 2: a part that was followed by another.
    pub small_part: i64,
    /// The location of the bytes. `None` before the first byte, and after the bytes became a layer.
    pub location: Option<LocationId>,
    pub hash_state: Vec<u8>,
    pub engine_state: Vec<u8>,
    /// The digest of a complete session.
    pub digest: Option<Vec<u8>>,
    pub expires_at: i64,
    /// The checksums of the received bytes, as `blob::checksum` stores them. `None` for a session from before version 6.
    pub checksums: Option<Vec<u8>>,
}

fn upload(row: &Row) -> Result<UploadRow, Error> {
    Ok(UploadRow {
        id: row.get(0)?,
        repository: row.get(1)?,
        state: row.get(2)?,
        turn: row.get(3)?,
        received: row.get(4)?,
        parts: row.get(5)?,
        small_part: row.get(6)?,
        location: row.get(7)?,
        hash_state: row.get(8)?,
        engine_state: row.get(9)?,
        digest: row.get(10)?,
        expires_at: row.get(11)?,
        checksums: row.get(12)?,
    })
}

/// Finds a session's row by its id.
pub fn by_id(id: UploadId) -> Lookup<UploadRow> {
    Lookup::new(UPLOAD_GET, [id.into()], |row| upload(&row))
}

/// The repository and the session of a call that names an upload.
#[derive(Clone, Debug)]
pub struct NamedUpload {
    pub repository: RepositoryId,
    /// The repository's encryption identity, which never changes.
    pub encryption: String,
    /// The session's row, if it has one.
    pub upload: Option<UploadRow>,
}

/// Finds a repository by its name, and a session by its id. Finds nothing if the repository does not exist.
pub fn named(registry: &RegistryKey, repository: &str, id: UploadId) -> Lookup<NamedUpload> {
    let params = [(&registry.account).into(), (&registry.region).into(), repository.into(), id.into()];
    Lookup::new(UPLOAD_NAMED, params, |row| {
        let upload = if row.holds(0) { Some(upload(&row)?) } else { None };
        Ok(NamedUpload { repository: row.get(13)?, encryption: row.get(14)?, upload })
    })
}

/// Takes over an open session, unless another request did so since `turn`, or the session received more bytes, or it ended.
pub fn take(id: UploadId, turn: i64, received: i64) -> Change {
    Change::new(UPLOAD_TAKE, [id.into(), turn.into(), received.into()])
}

/// Completes an open session whose bytes became a layer, unless another request took it over since `turn`, or it ended.
pub fn complete(id: UploadId, turn: i64, digest: &[u8]) -> Change {
    Change::new(UPLOAD_COMPLETE, [id.into(), turn.into(), digest.into()])
}

impl Tx<'_> {
    /// See [`by_id`].
    pub fn upload_get(&mut self, id: UploadId) -> Result<Option<UploadRow>, Error> {
        self.look_up(by_id(id))
    }

    /// Lists the sessions of all registries after `after`, ordered by id.
    pub fn upload_list(&mut self, after: UploadId, limit: u32) -> Result<Vec<UploadRow>, Error> {
        self.query(UPLOAD_LIST, &[after.into(), limit.into()])?.iter().map(upload).collect()
    }

    /// Inserts a session's row. Returns false if it has one already.
    pub fn upload_insert(&mut self, registry: &RegistryKey, row: &UploadRow) -> Result<bool, Error> {
        let inserted = self.execute(
            UPLOAD_INSERT,
            &[
                row.id.into(),
                (&registry.account).into(),
                (&registry.region).into(),
                row.repository.into(),
                (&row.state).into(),
                row.turn.into(),
                row.received.into(),
                row.parts.into(),
                row.small_part.into(),
                row.location.into(),
                (&row.hash_state).into(),
                (&row.engine_state).into(),
                row.digest.clone().into(),
                row.expires_at.into(),
                row.checksums.clone().into(),
            ],
        )?;
        Ok(inserted == 1)
    }

    /// Stores the progress of an open session. Returns false if another request took it over since the row's turn, or if it ended.
    pub fn upload_progress(&mut self, row: &UploadRow) -> Result<bool, Error> {
        let changed = self.execute(
            UPLOAD_PROGRESS,
            &[
                row.id.into(),
                row.turn.into(),
                row.received.into(),
                row.parts.into(),
                row.small_part.into(),
                row.location.into(),
                (&row.hash_state).into(),
                (&row.engine_state).into(),
                row.checksums.clone().into(),
            ],
        )?;
        Ok(changed == 1)
    }

    /// Cancels a session, also while another request writes to it.
    pub fn upload_cancel(&mut self, id: UploadId) -> Result<(), Error> {
        self.execute(UPLOAD_CANCEL, &[id.into()])?;
        Ok(())
    }

    pub fn upload_delete(&mut self, id: UploadId) -> Result<(), Error> {
        self.execute(UPLOAD_DELETE, &[id.into()])?;
        Ok(())
    }
}
