//! Events: every change writes one row in its own transaction (DESIGN "Events").
use crate::Cx;
use crate::clock::Time;
use meta::{EventId, RepositoryId};
use oci::Digest;

/// What happened, before it is a row.
#[derive(Clone)]
pub(crate) struct Event {
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
    /// The address that the call came from.
    pub source: String,
    pub user_agent: String,
    pub request_id: String,
}

/// Characters of a User-Agent at most that a record keeps: a client may send 64 KiB of it.
pub(crate) const MAX_USER_AGENT: usize = 256;

/// The beginning of a client's text, without what the stores don't take.
pub(crate) fn excerpt(text: &str, characters: usize) -> String {
    text.chars().take(characters).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Event {
    /// An event of this call; a transaction's closure clones it, since it may run more than once.
    pub(crate) fn new(cx: &Cx, kind: &'static str, repository: Option<RepositoryId>) -> Event {
        Event {
            id: cx.id(),
            registry: cx.registry.key(),
            repository,
            kind,
            actor: cx.caller.arn(),
            digest: None,
            tag: None,
            detail: serde_json::Value::Null,
            at: cx.now(),
            source: cx.origin.address.to_string(),
            user_agent: excerpt(&cx.origin.user_agent, MAX_USER_AGENT),
            request_id: cx.origin.request_id.clone(),
        }
    }
}

/// Writes the event's row.
pub(crate) fn record(tx: &mut meta::Tx<'_>, event: Event) -> Result<(), meta::Error> {
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
            request_id: Some(event.request_id),
        },
    )
}
