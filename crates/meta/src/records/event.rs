//! Events: what happened, to what, by whom.
use super::{Id, RegistryKey};
use crate::{Error, Tx, Value};

statements! {
    EVENT_INSERT = "INSERT INTO event (id, account, region, repository_id, kind, actor, digest, tag, detail, at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    EVENT_LIST = "SELECT id, kind, actor, digest, tag, detail, at FROM event \
        WHERE repository_id = $1 AND id > $2 ORDER BY id LIMIT $3";
}

#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: Id,
    pub kind: String,
    pub actor: String,
    pub digest: Option<Vec<u8>>,
    pub tag: Option<String>,
    /// JSON.
    pub detail: String,
    pub at: i64,
}

impl Tx<'_> {
    pub fn event_insert(
        &mut self,
        registry: &RegistryKey,
        repository: Option<Id>,
        event: EventRow,
    ) -> Result<(), Error> {
        self.execute(
            EVENT_INSERT,
            &[
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
            ],
        )?;
        Ok(())
    }

    /// A repository's events, oldest first, from behind `after`.
    pub fn event_list(&mut self, repository: Id, after: Option<Id>, limit: u32) -> Result<Vec<EventRow>, Error> {
        let after: Value = after.map_or(Value::Blob(Vec::new()), Into::into);
        let rows = self.query(EVENT_LIST, &[repository.into(), after, limit.into()])?;
        rows.iter()
            .map(|row| {
                Ok(EventRow {
                    id: row.get(0)?,
                    kind: row.get(1)?,
                    actor: row.get(2)?,
                    digest: row.get(3)?,
                    tag: row.get(4)?,
                    detail: row.get(5)?,
                    at: row.get(6)?,
                })
            })
            .collect()
    }
}
