//! Events: the changes of repositories and images, with their actors.

use super::RegistryKey;
use crate::{Error, EventId, RepositoryId, Row, Tx, Value};

statements! {
    EVENT_DELETE_OLD = "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE id < $1 ORDER BY id LIMIT $2)";
    EVENT_INSERT = "INSERT INTO event (id, account, region, repository_id, kind, actor, digest, tag, detail, at, source, \
        user_agent, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    // The kind is a constant, so that the partial index of pushes is used.
    EVENT_PUSHES = "SELECT id, kind, actor, digest, tag, detail, at, source, user_agent, request_id FROM event \
        WHERE repository_id = $1 AND kind = 'image.push' AND id < $2 ORDER BY id DESC LIMIT $3";
}

#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: EventId,
    pub kind: String,
    pub actor: String,
    pub digest: Option<Vec<u8>>,
    pub tag: Option<String>,
    /// JSON.
    pub detail: String,
    pub at: i64,
    /// The address of the caller. Absent in events of version 1 of the schema, as the next two columns.
    pub source: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
}

fn event(row: &Row) -> Result<EventRow, Error> {
    Ok(EventRow {
        id: row.get(0)?,
        kind: row.get(1)?,
        actor: row.get(2)?,
        digest: row.get(3)?,
        tag: row.get(4)?,
        detail: row.get(5)?,
        at: row.get(6)?,
        source: row.get(7)?,
        user_agent: row.get(8)?,
        request_id: row.get(9)?,
    })
}

impl Tx<'_> {
    /// Removes up to `limit` events that are older than an id, the oldest first. Returns how many it removed.
    pub fn event_delete_old(&mut self, before: EventId, limit: u32) -> Result<u64, Error> {
        self.execute(EVENT_DELETE_OLD, &[before.into(), limit.into()])
    }

    pub fn event_insert(
        &mut self,
        registry: &RegistryKey,
        repository: Option<RepositoryId>,
        event: EventRow,
    ) -> Result<(), Error> {
        self.send(
            EVENT_INSERT,
            [
                event.id.into(),
                (&registry.account).into(),
                (&registry.region).into(),
                repository.into(),
                event.kind.into(),
                event.actor.into(),
                event.digest.into(),
                event.tag.into(),
                event.detail.into(),
                event.at.into(),
                event.source.into(),
                event.user_agent.into(),
                event.request_id.into(),
            ],
        )?;
        Ok(())
    }

    /// Lists the push events of a repository before `before`, newest first.
    pub fn event_pushes(
        &mut self,
        repository: RepositoryId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let before: Value = before.unwrap_or(EventId::MAX).into();
        self.query(EVENT_PUSHES, &[repository.into(), before, limit.into()])?.iter().map(event).collect()
    }
}
