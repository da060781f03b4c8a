//! Events: every change writes one row in its own transaction (DESIGN "Events").
use crate::Cx;
use crate::clock::Time;
use meta::{EventId, RepositoryId};
use oci::Digest;

/// What happened, before it is a row.
#[derive(Clone)]
pub struct Event {
    pub id: EventId,
    pub registry: meta::records::RegistryKey,
    pub repository: Option<RepositoryId>,
    pub kind: &'static str,
    /// The ARN of who did it.
    pub actor: String,
    pub digest: Option<Digest>,
    pub tag: Option<String>,
    /// Before and after.
    pub detail: serde_json::Value,
    pub at: Time,
    /// The client's address, or the service whose job it was.
    pub source: String,
    pub user_agent: String,
    /// Absent for jobs.
    pub request_id: Option<String>,
}

impl Event {
    /// An event of this call; a transaction's closure clones it, since it may run more than once.
    pub fn new(cx: &Cx, kind: &'static str, repository: Option<RepositoryId>) -> Event {
        Event {
            id: cx.id(),
            registry: cx.registry.key(),
            repository,
            kind,
            actor: cx.caller_arn(),
            digest: None,
            tag: None,
            detail: serde_json::Value::Null,
            at: cx.now(),
            source: cx.source(),
            user_agent: cx.user_agent(),
            request_id: cx.request_id().map(str::to_owned),
        }
    }
}

/// Writes the event's row.
pub fn record(tx: &mut meta::Tx<'_>, event: Event) -> Result<(), meta::Error> {
    let detail = if event.detail.is_null() { "{}".to_owned() } else { event.detail.to_string() };
    tx.event_insert(
        &event.registry,
        event.repository,
        meta::records::event::EventRow {
            id: event.id,
            kind: event.kind.to_owned(),
            actor: event.actor,
            digest: event.digest.map(|digest| digest.to_bytes()),
            tag: event.tag,
            detail,
            at: event.at.0,
            source: Some(event.source),
            user_agent: Some(event.user_agent),
            request_id: event.request_id,
        },
    )
}
