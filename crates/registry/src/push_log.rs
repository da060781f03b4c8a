//! The push log of a repository: its pushes and refusals, with their callers and reasons (DESIGN "Events", `ECR.md` R).
//!
//! Pushes are read from the events that their transactions wrote. Refusals of authenticated callers are queued, and written to a ring of
//! [`RING`] for each repository. The queue is bounded and calls do not wait for it, so that refusals can't flood the store. A repository
//! that does not exist has no ring.

mod queue;

pub use queue::{QUEUE, refused, run};

use crate::clock::Time;
use crate::repository::{Page, read};
use crate::{Capability, Cx, Error, System};
use meta::records::event::EventRow;
use meta::records::push_refusal::PushRefusalRow;
use meta::{EventId, PushRefusalId};
use oci::{Digest, RepositoryName};
use queue::Queue;
use serde::Deserialize;
use std::cmp::Reverse;

/// The number of refusals that a repository keeps. Equal refusals count once.
pub const RING: u32 = 100;

/// The queue of refusals, and the task that writes them.
pub(crate) const CAPABILITY: Capability =
    Capability::with_state::<Queue>().with_run(|system, stop| Box::pin(run(system, stop)));

/// Returns the number of refusals that this node dropped, because its queue was full or the store failed.
pub fn dropped(system: &System) -> u64 {
    Queue::of(system).dropped()
}

/// Returns the number of refusals that wait to be written on this node, at most [`QUEUE`].
pub fn waiting(system: &System) -> usize {
    Queue::of(system).len()
}

/// A caller's attempt to push to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushAttempt {
    /// The action, such as `PUT manifest` or `UploadLayerPart`.
    pub action: &'static str,
    pub repository: RepositoryName,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// A door's answer to a refused attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRefusal {
    /// The status and the code of the door's protocol.
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// True if a permission is missing. Such refusals are equal for all tags, so that a caller without rights can't fill a ring.
    pub denied: bool,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushLogLine {
    /// The id of the event or of the refusal. Both sort by time.
    id: [u8; 16],
    pub at: Time,
    /// The caller's ARN.
    pub principal: String,
    /// The caller's address. Absent for pushes to a store of version 1, as the next two members.
    pub source: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
    pub outcome: PushOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The image was stored or tagged. `replaced` is the tag's previous image.
    Pushed {
        replaced: Option<Digest>,
    },
    /// The image was stored, but the immutable tag did not move (`ECR.md` R 2 and 3b). `holds` is the tag's image.
    TagKept {
        holds: Option<Digest>,
    },
    Refused(RefusedPush),
}

/// A push that was refused `times` times since `first_at`. The line describes the last refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPush {
    pub action: String,
    pub status: u16,
    pub code: String,
    pub message: String,
    pub times: u64,
    pub first_at: Time,
}

/// Lists a repository's log, newest first. It includes all earlier refusals of this node. Fails with [`Error::RepositoryNotFound`] if the
/// repository does not exist.
pub async fn list(
    cx: &Cx,
    name: &RepositoryName,
    refused_only: bool,
    after: Option<Vec<u8>>,
    limit: u32,
) -> Result<Page<PushLogLine>, Error> {
    let before: Option<[u8; 16]> = after.map(|id| id.try_into().map_err(|_| Error::server(NoCursor))).transpose()?;
    Queue::of(cx).written().await;
    let wanted = limit.saturating_add(1);
    let (pushes, refusals) = read(cx, name, move |tx, row| {
        let pushes = if refused_only { Vec::new() } else { tx.event_pushes(row.id, before.map(EventId), wanted)? };
        Ok((pushes, tx.push_refusal_list(row.id, before.map(PushRefusalId), wanted)?))
    })
    .await?;
    let pushes = pushes.into_iter().map(pushed);
    let mut lines = pushes.chain(refusals.into_iter().map(refusal)).collect::<Result<Vec<_>, _>>()?;
    lines.sort_unstable_by_key(|line| Reverse(line.id));
    lines.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    Ok(Page::cut(lines, limit, |line| line.id.to_vec()))
}

/// A valid page token contains something else than an id.
#[derive(Debug, thiserror::Error)]
#[error("a cursor of the push log is not an id")]
struct NoCursor;

/// The details of a push event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    before: Option<String>,
    #[serde(default)]
    tag_kept: bool,
}

fn pushed(row: EventRow) -> Result<PushLogLine, Error> {
    let detail: Detail = serde_json::from_str(&row.detail).map_err(Error::server)?;
    let before = detail.before.map(|digest| digest.parse().map_err(Error::server)).transpose()?;
    let outcome = match detail.tag_kept {
        true => PushOutcome::TagKept { holds: before },
        false => PushOutcome::Pushed { replaced: before },
    };
    Ok(PushLogLine {
        id: row.id.0,
        at: Time(row.at),
        principal: row.actor,
        source: row.source,
        user_agent: row.user_agent,
        request_id: row.request_id,
        tag: row.tag,
        digest: digest(row.digest)?,
        outcome,
    })
}

fn refusal(row: PushRefusalRow) -> Result<PushLogLine, Error> {
    Ok(PushLogLine {
        id: row.id.0,
        at: Time(row.last_at),
        principal: row.actor,
        source: Some(row.source),
        user_agent: Some(row.user_agent),
        request_id: Some(row.request_id),
        tag: row.tag,
        digest: digest(row.digest)?,
        outcome: PushOutcome::Refused(RefusedPush {
            action: row.action,
            status: u16::try_from(row.status).map_err(Error::server)?,
            code: row.code,
            message: row.message,
            times: u64::try_from(row.times).map_err(Error::server)?,
            first_at: Time(row.first_at),
        }),
    })
}

fn digest(bytes: Option<Vec<u8>>) -> Result<Option<Digest>, Error> {
    bytes.map(|bytes| Digest::from_bytes(&bytes).map_err(Error::server)).transpose()
}
