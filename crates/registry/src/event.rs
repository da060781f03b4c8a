//! Events: every change writes one row in its own transaction (DESIGN "Events").
use crate::Cx;
use crate::clock::Time;
use oci::Digest;

/// What happened, before it is a row.
#[derive(Clone)]
pub(crate) struct Event {
    pub id: [u8; 16],
    pub registry: meta::records::RegistryKey,
    pub repository: Option<[u8; 16]>,
    pub kind: &'static str,
    /// The ARN of who did it.
    pub actor: String,
    pub digest: Option<Digest>,
    pub tag: Option<String>,
    /// Before and after.
    pub detail: serde_json::Value,
    pub at: Time,
}

impl Event {
    /// An event of this call; a transaction's closure clones it, since it may run more than once.
    pub(crate) fn new(cx: &Cx, kind: &'static str, repository: Option<[u8; 16]>) -> Event {
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
        },
    )
}
