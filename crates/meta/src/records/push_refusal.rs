//! Refused pushes, in a ring of bounded length for each repository.

use crate::{Error, PushRefusalId, RepositoryId, Row, Tx, Value};

statements! {
    PUSH_REFUSAL_PUT = "INSERT INTO push_refusal (repository_id, same, id, first_at, last_at, times, actor, source, user_agent, \
        request_id, action, tag, digest, status, code, message) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
        ON CONFLICT (repository_id, same) DO UPDATE SET id = excluded.id, last_at = excluded.last_at, \
        times = push_refusal.times + excluded.times, source = excluded.source, user_agent = excluded.user_agent, \
        request_id = excluded.request_id, tag = excluded.tag, digest = excluded.digest";
    PUSH_REFUSAL_TRIM = "DELETE FROM push_refusal WHERE repository_id = $1 AND id < \
        (SELECT id FROM push_refusal WHERE repository_id = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    PUSH_REFUSAL_LIST = "SELECT same, id, first_at, last_at, times, actor, source, user_agent, request_id, action, tag, digest, \
        status, code, message FROM push_refusal WHERE repository_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRefusalRow {
    /// A hash of the properties that make two refusals the same.
    pub same: Vec<u8>,
    /// The id of the last refusal, so that rows sort by time.
    pub id: PushRefusalId,
    pub first_at: i64,
    pub last_at: i64,
    pub times: i64,
    pub actor: String,
    pub source: String,
    pub user_agent: String,
    pub request_id: String,
    pub action: String,
    pub tag: Option<String>,
    pub digest: Option<Vec<u8>>,
    pub status: i64,
    pub code: String,
    pub message: String,
}

fn refusal(row: &Row) -> Result<PushRefusalRow, Error> {
    Ok(PushRefusalRow {
        same: row.get(0)?,
        id: row.get(1)?,
        first_at: row.get(2)?,
        last_at: row.get(3)?,
        times: row.get(4)?,
        actor: row.get(5)?,
        source: row.get(6)?,
        user_agent: row.get(7)?,
        request_id: row.get(8)?,
        action: row.get(9)?,
        tag: row.get(10)?,
        digest: row.get(11)?,
        status: row.get(12)?,
        code: row.get(13)?,
        message: row.get(14)?,
    })
}

impl Tx<'_> {
    /// Writes a refusal. If the same refusal exists, it is replaced, and the counts are added.
    pub fn push_refusal_put(&mut self, repository: RepositoryId, row: &PushRefusalRow) -> Result<(), Error> {
        self.execute(
            PUSH_REFUSAL_PUT,
            &[
                repository.into(),
                (&row.same).into(),
                row.id.into(),
                row.first_at.into(),
                row.last_at.into(),
                row.times.into(),
                (&row.actor).into(),
                (&row.source).into(),
                (&row.user_agent).into(),
                (&row.request_id).into(),
                (&row.action).into(),
                row.tag.clone().into(),
                row.digest.clone().into(),
                row.status.into(),
                (&row.code).into(),
                (&row.message).into(),
            ],
        )?;
        Ok(())
    }

    /// Removes all but the last `keep` refusals of a repository. Keeps at least one.
    pub fn push_refusal_trim(&mut self, repository: RepositoryId, keep: u32) -> Result<(), Error> {
        self.execute(PUSH_REFUSAL_TRIM, &[repository.into(), keep.saturating_sub(1).into()])?;
        Ok(())
    }

    /// Lists a repository's refusals before `before`, newest first.
    pub fn push_refusal_list(
        &mut self,
        repository: RepositoryId,
        before: Option<PushRefusalId>,
        limit: u32,
    ) -> Result<Vec<PushRefusalRow>, Error> {
        let before: Value = before.unwrap_or(PushRefusalId::MAX).into();
        self.query(PUSH_REFUSAL_LIST, &[repository.into(), before, limit.into()])?.iter().map(refusal).collect()
    }
}
