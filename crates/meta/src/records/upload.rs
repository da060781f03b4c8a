//! Upload sessions that left something behind.
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

/// The state of a session that takes bytes.
pub const OPEN: &str = "open";
/// The state of a session whose layer exists.
pub const COMPLETE: &str = "complete";
/// The state of a session that was given up; kept until it expires, so that its id stays dead.
pub const CANCELLED: &str = "cancelled";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    pub id: UploadId,
    pub repository: RepositoryId,
    /// [`OPEN`], [`COMPLETE`] or [`CANCELLED`].
    pub state: String,
    /// Raised by each request that takes the session.
    pub turn: i64,
    /// Durable bytes.
    pub received: i64,
    pub parts: i64,
    /// 0: none; 1: the last part was below the minimum; 2: a part below the minimum was followed by another.
    pub small_part: i64,
    /// Where its bytes lie; `None` once they are a layer's, and before there are any.
    pub location: Option<LocationId>,
    pub hash_state: Vec<u8>,
    pub engine_state: Vec<u8>,
    /// Of a complete one.
    pub digest: Option<Vec<u8>>,
    pub expires_at: i64,
    /// Of the blocks of the bytes received, as `blob::checksum` stores them; `None` for a session from before version 6.
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

/// The row of a session that left something behind.
pub fn by_id(id: UploadId) -> Lookup<UploadRow> {
    Lookup::new(UPLOAD_GET, [id.into()], |row| upload(&row))
}

/// What a call that names an upload needs first.
#[derive(Clone, Debug)]
pub struct NamedUpload {
    /// The living repository of that name.
    pub repository: RepositoryId,
    /// Its encryption identity, which never changes.
    pub encryption: String,
    /// The session's row, if it left something behind.
    pub upload: Option<UploadRow>,
}

/// A session and the repository of that name; nothing without the repository.
pub fn named(registry: &RegistryKey, repository: &str, id: UploadId) -> Lookup<NamedUpload> {
    let params = [(&registry.account).into(), (&registry.region).into(), repository.into(), id.into()];
    Lookup::new(UPLOAD_NAMED, params, |row| {
        let upload = if row.holds(0) { Some(upload(&row)?) } else { None };
        Ok(NamedUpload { repository: row.get(13)?, encryption: row.get(14)?, upload })
    })
}

/// Takes an open session from whoever had it, unless another has taken it since `turn`, or it received more, or it ended.
pub fn take(id: UploadId, turn: i64, received: i64) -> Change {
    Change::new(UPLOAD_TAKE, [id.into(), turn.into(), received.into()])
}

/// Ends an open session whose bytes became a layer, unless another has taken it since `turn`, or it ended.
pub fn complete(id: UploadId, turn: i64, digest: &[u8]) -> Change {
    Change::new(UPLOAD_COMPLETE, [id.into(), turn.into(), digest.into()])
}

impl Tx<'_> {
    /// See [`by_id`].
    pub fn upload_get(&mut self, id: UploadId) -> Result<Option<UploadRow>, Error> {
        self.look_up(by_id(id))
    }

    /// The sessions of every registry that left something behind, by id, from behind `after`.
    pub fn upload_list(&mut self, after: UploadId, limit: u32) -> Result<Vec<UploadRow>, Error> {
        self.query(UPLOAD_LIST, &[after.into(), limit.into()])?.iter().map(upload).collect()
    }

    /// Writes a session's first row; false when it has one already.
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

    /// Stores how far an open session is, under the row's turn; false when another has taken it, or it ended.
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

    /// Ends a session for good, whoever has it.
    pub fn upload_cancel(&mut self, id: UploadId) -> Result<(), Error> {
        self.execute(UPLOAD_CANCEL, &[id.into()])?;
        Ok(())
    }

    pub fn upload_delete(&mut self, id: UploadId) -> Result<(), Error> {
        self.execute(UPLOAD_DELETE, &[id.into()])?;
        Ok(())
    }
}
