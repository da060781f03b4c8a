//! Events. Every change writes one event row in its transaction (DESIGN "Events").

use crate::Cx;
use crate::clock::Time;
use meta::{EventId, RepositoryId};
use oci::Digest;

/// An event that is not stored yet.
#[derive(Clone)]
pub struct Event {
    pub id: EventId,
    pub registry: meta::records::RegistryKey,
    pub repository: Option<RepositoryId>,
    pub kind: &'static str,
    /// The caller's ARN.
    pub actor: String,
    pub digest: Option<Digest>,
    pub tag: Option<String>,
    /// The state before and after, as JSON.
    pub detail: serde_json::Value,
    pub at: Time,
    /// The client's address, or for a job the name of its service.
    pub source: String,
    pub user_agent: String,
    /// `None` for a job.
    pub request_id: Option<String>,
}

impl Event {
    /// Makes an event of this call. A transaction's closure may run more than once, so it clones the event.
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

/// Stores the event.
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
