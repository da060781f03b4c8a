//! The push log of a repository: what was pushed to it and what was refused, by whom and why (DESIGN "Events", `ECR.md` R).
//!
//! Pushes are read from the events that their own transactions wrote. Refusals of known callers go through a bounded queue to a
//! ring of [`RING`] for each repository, without their calls waiting for it: else refusals would be a way to flood the store.
//! A repository that does not exist has no ring.
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

/// Refusals that a repository keeps; one that came several times counts once.
pub const RING: u32 = 100;

/// The queue of refusals, and what writes it.
pub(crate) const CAPABILITY: Capability =
    Capability::with_state::<Queue>().with_run(|system, stop| Box::pin(run(system, stop)));

/// Refusals that this node did not write, since its queue was full or the store refused them.
pub fn dropped(system: &System) -> u64 {
    Queue::of(system).dropped()
}

/// How many refusals wait on this node to be written: [`QUEUE`] at most.
pub fn waiting(system: &System) -> usize {
    Queue::of(system).len()
}

/// What a caller tried to do to a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushAttempt {
    /// Such as `PUT manifest` or `UploadLayerPart`.
    pub action: &'static str,
    pub repository: RepositoryName,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// How a door answered an attempt that it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRefusal {
    /// The status and the code of the door's protocol.
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// For want of a permission. Such refusals are the same whatever tag they were about, so that no stranger fills a ring.
    pub denied: bool,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushLogLine {
    /// That of its event or of its refusal: both sort by time.
    id: [u8; 16],
    pub at: Time,
    /// The ARN of who did it.
    pub principal: String,
    /// The address that it came from; absent, as the next two, for pushes to a store of version 1.
    pub source: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
    pub outcome: PushOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// The image was stored or tagged; `replaced` is what the tag held before.
    Pushed {
        replaced: Option<Digest>,
    },
    /// The image was stored, and the immutable tag did not move (`ECR.md` R 2 and 3b).
    TagKept {
        holds: Option<Digest>,
    },
    Refused(RefusedPush),
}

/// A push that was refused, `times` times since `first_at`; the line has the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPush {
    pub action: String,
    pub status: u16,
    pub code: String,
    pub message: String,
    pub times: u64,
    pub first_at: Time,
}

/// A repository's log, newest first; what this node refused before the call is in it. [`Error::RepositoryNotFound`] without
/// the repository.
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

/// A page token that was sealed by us holds something else.
#[derive(Debug, thiserror::Error)]
#[error("a cursor of the push log is no id")]
struct NoCursor;

/// What a push's event says of itself.
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
