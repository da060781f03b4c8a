//! Limits how much connections read ahead, and how much strangers hold.

use super::{ConnectionState, lock};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Bytes of one large read, for an authorized transfer. Each read switches tasks and perhaps threads: a push measured a seventh
/// less processor time with this size than with half of it.
pub const LARGE_READ_BYTES: usize = 512 * 1024;
/// Bytes of one read of an authorized transfer for which the read-ahead budget has no room.
pub const MIDDLE_READ_BYTES: usize = 32 * 1024 - 1;
/// Maximum bytes of one read until a transfer is authorized. It is less than hyper's initial 8 KiB, because hyper doubles its
/// buffer after each read that fills it.
pub const SMALL_READ_BYTES: usize = 8 * 1024 - 1;
/// Bytes that a stranger's connection may hold outside the strangers' budget: a usual head, or two reads of a body.
pub const FREE_BYTES: usize = 24 * 1024;
/// Bytes of one permit of the read-ahead budget: two reads of [`MIDDLE_READ_BYTES`].
pub(super) const AHEAD_BYTES: usize = 64 * 1024;
/// Permits of a transfer that reads in large pieces: two reads of [`LARGE_READ_BYTES`], one being consumed while the next
/// arrives.
const LARGE_PIECES: u32 = 16;
/// Large reads leave this fraction (a third) of the budget to transfers that read in smaller pieces.
pub(super) const LEFT_FOR_OTHERS: usize = 3;
/// Bytes of one permit of the strangers' budget.
pub(super) const PIECE_BYTES: usize = 8 * 1024;

/// How much a connection may read at once, and its permits for that.
pub(super) struct Reading {
    /// Number of bodies that are read in large pieces now.
    pub(super) large: AtomicUsize,
    /// Whether a read exceeded [`SMALL_READ_BYTES`], which leaves hyper with an oversized buffer.
    pub(super) grown: AtomicBool,
    /// Wakes the connection's task when it should restart with a small buffer.
    pub(super) small_again: Notify,
    /// Whether a body was left unread, so that the connection must end after its response.
    pub(super) unread_body: AtomicBool,
    /// Whether hyper's connection ends only to be restarted, so that the stream stays open.
    pub(super) keep_open: AtomicBool,
    /// Maximum bytes of one read.
    pub(super) most: AtomicUsize,
    pub(super) budget: Arc<Semaphore>,
    /// Permits of `budget` that large reads must leave.
    pub(super) left_for_others: usize,
    /// The connection's permits of `budget`, kept until its buffer is small again.
    pub(super) grant: Mutex<Option<OwnedSemaphorePermit>>,
    pub(super) strangers_budget: Arc<Semaphore>,
    pub(super) strangers: Mutex<StrangersBytes>,
}

/// The bytes that a stranger has sent and no handler has consumed yet.
#[derive(Default)]
pub(super) struct StrangersBytes {
    pub(super) held: usize,
    pub(super) permits: Option<OwnedSemaphorePermit>,
}

impl ConnectionState {
    /// Notes that a body was left unread, so that the connection ends after its response.
    pub fn leave_body(&self) {
        self.reading.unread_body.store(true, Relaxed);
    }

    pub fn left_body(&self) -> bool {
        self.reading.unread_body.load(Relaxed)
    }

    /// Allows large reads of a body if the read-ahead budget has room. Returns false if not; the caller may try again.
    pub fn read_large(&self) -> bool {
        let Reading { budget, left_for_others, .. } = &self.reading;
        let mut grant = lock(&self.reading.grant);
        if grant.is_none() {
            let has_room = budget.available_permits() >= left_for_others + LARGE_PIECES as usize;
            let large = if has_room { budget.clone().try_acquire_many_owned(LARGE_PIECES).ok() } else { None };
            *grant = large.or_else(|| budget.clone().try_acquire_owned().ok());
        }
        let Some(granted) = &*grant else { return false };
        let is_large = granted.num_permits() == LARGE_PIECES as usize;
        self.reading.most.store(if is_large { usize::MAX } else { MIDDLE_READ_BYTES }, Relaxed);
        self.reading.large.fetch_add(1, Relaxed);
        true
    }

    /// Notes that a body with large reads has ended.
    pub fn read_small(&self) {
        if self.reading.large.fetch_sub(1, Relaxed) == 1 {
            self.reading.most.store(SMALL_READ_BYTES, Relaxed);
            // Over HTTP/1.1, hyper still has the last body's buffer.
            if !self.reading.grown.load(Relaxed) {
                *lock(&self.reading.grant) = None;
            }
        }
    }

    /// Returns the current maximum bytes of one read.
    pub fn read_at_most(&self) -> usize {
        self.reading.most.load(Relaxed)
    }

    /// Whether a body is read in large pieces now.
    pub fn reads_large(&self) -> bool {
        self.reading.large.load(Relaxed) > 0
    }

    /// Counts received bytes. Fails with [`NoRoom`] if the strangers' budget is exhausted.
    pub fn received(&self, bytes: usize) -> Result<(), NoRoom> {
        if bytes > SMALL_READ_BYTES && !self.is_http2() {
            self.reading.grown.store(true, Relaxed);
        }
        if self.is_known() {
            return Ok(());
        }
        let mut strangers = lock(&self.reading.strangers);
        strangers.held = strangers.held.saturating_add(bytes);
        let wanted = strangers.held.saturating_sub(FREE_BYTES).div_ceil(PIECE_BYTES);
        let missing = wanted.saturating_sub(strangers.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits));
        if missing == 0 {
            return Ok(());
        }
        let missing = u32::try_from(missing).map_err(|_| NoRoom)?;
        let more = self.reading.strangers_budget.clone().try_acquire_many_owned(missing).map_err(|_| NoRoom)?;
        match &mut strangers.permits {
            Some(permits) => permits.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Counts bytes that a handler has consumed.
    pub fn consumed(&self, bytes: usize) {
        if self.is_known() {
            return;
        }
        let mut strangers = lock(&self.reading.strangers);
        strangers.held = strangers.held.saturating_sub(bytes);
        if strangers.held <= FREE_BYTES {
            strangers.permits = None;
        }
    }

    /// Returns once the buffer of a large body should be released: its request was answered, and no other request runs.
    pub async fn small_again(&self) {
        self.reading.small_again.notified().await;
    }

    /// Notes that hyper's connection ends only to be restarted: the stream stays open until [`ConnectionState::begin_anew`].
    pub fn keep_open(&self) {
        self.reading.keep_open.store(true, Relaxed);
    }

    pub fn is_kept_open(&self) -> bool {
        self.reading.keep_open.load(Relaxed)
    }

    /// Notes that the buffer of large bodies was released.
    pub fn begin_anew(&self) {
        self.reading.keep_open.store(false, Relaxed);
        self.reading.grown.store(false, Relaxed);
        if !self.reads_large() {
            *lock(&self.reading.grant) = None;
        }
    }
}

/// The strangers' budget is exhausted.
#[derive(Debug, thiserror::Error)]
#[error("clients that are not known hold all the memory that they may")]
pub struct NoRoom;
