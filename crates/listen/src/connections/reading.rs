//! How much a connection may read ahead, and what strangers may hold.
use super::{ConnectionState, lock};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Bytes of one large read of a transfer that was authorized. Each read is a change of task and perhaps of thread: this measured a
/// seventh less processor time for a push than half of it.
pub const LARGE_READ_BYTES: usize = 512 * 1024;
/// The same of a transfer for which the budget has no more room.
pub const MIDDLE_READ_BYTES: usize = 32 * 1024 - 1;
/// Bytes of one read at most until a transfer is authorized. It is less than the 8 KiB with which hyper begins, which doubles its
/// memory after each read that fills it.
pub const SMALL_READ_BYTES: usize = 8 * 1024 - 1;
/// Bytes that a stranger's connection may hold without taking of the strangers' budget: a usual head, or two reads of a body.
pub const FREE_BYTES: usize = 24 * 1024;
/// The budget of what is read ahead is counted in pieces of so many bytes: two reads of [`MIDDLE_READ_BYTES`].
pub(super) const AHEAD_BYTES: usize = 64 * 1024;
/// Such pieces of a transfer that reads in large pieces: two reads of [`LARGE_READ_BYTES`], as one is taken while the next comes.
const LARGE_PIECES: u32 = 16;
/// Of the budget this part (a third) is left for transfers that read in smaller pieces.
pub(super) const LEFT_FOR_OTHERS: usize = 3;
/// The strangers' budget is counted in pieces of so many bytes.
pub(super) const PIECE_BYTES: usize = 8 * 1024;

/// How much a connection may read, and what it holds for that.
pub(super) struct Reading {
    /// Bodies that may be read in large pieces now.
    pub(super) large: AtomicUsize,
    /// Whether a read was larger than [`SMALL_READ_BYTES`], which leaves hyper with more memory than it needs.
    pub(super) grown: AtomicBool,
    /// Wakes the connection's task once it should begin anew, with small memory.
    pub(super) small_again: Notify,
    /// Whether a body was left unread, so that the connection must end after its answer.
    pub(super) unread_body: AtomicBool,
    /// Whether hyper's connection ends only to begin anew, so that the stream stays open.
    pub(super) keep_open: AtomicBool,
    /// Bytes of one read at most.
    pub(super) most: AtomicUsize,
    pub(super) budget: Arc<Semaphore>,
    /// Pieces of `budget` that large reads leave.
    pub(super) left_for_others: usize,
    /// The connection's part of `budget`. Kept until its memory is small again.
    pub(super) grant: Mutex<Option<OwnedSemaphorePermit>>,
    pub(super) strangers_budget: Arc<Semaphore>,
    pub(super) strangers: Mutex<StrangersBytes>,
}

/// What a stranger sent that no handler has taken yet.
#[derive(Default)]
pub(super) struct StrangersBytes {
    pub(super) held: usize,
    pub(super) permits: Option<OwnedSemaphorePermit>,
}

impl ConnectionState {
    /// A body was left unread: the connection must end after its answer.
    pub fn leave_body(&self) {
        self.reading.unread_body.store(true, Relaxed);
    }

    pub fn left_body(&self) -> bool {
        self.reading.unread_body.load(Relaxed)
    }

    /// Lets a body be read in larger pieces, if the budget of all connections has room; else it can be asked again.
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

    /// A body that was read in larger pieces has ended.
    pub fn read_small(&self) {
        if self.reading.large.fetch_sub(1, Relaxed) == 1 {
            self.reading.most.store(SMALL_READ_BYTES, Relaxed);
            // Over HTTP/1.1 the memory of the last body is still there.
            if !self.reading.grown.load(Relaxed) {
                *lock(&self.reading.grant) = None;
            }
        }
    }

    /// Bytes of one read at most, now.
    pub fn read_at_most(&self) -> usize {
        self.reading.most.load(Relaxed)
    }

    /// Whether a body may be read in larger pieces now.
    pub fn reads_large(&self) -> bool {
        self.reading.large.load(Relaxed) > 0
    }

    /// So many bytes came. [`NoRoom`] when a stranger holds more than all strangers may.
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

    /// A handler took so many bytes.
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

    /// Returns once the memory of a large body should be given back: its request was answered, and nothing else runs.
    pub async fn small_again(&self) {
        self.reading.small_again.notified().await;
    }

    /// hyper's connection ends only to begin anew: the stream stays open until [`ConnectionState::begin_anew`].
    pub fn keep_open(&self) {
        self.reading.keep_open.store(true, Relaxed);
    }

    pub fn is_kept_open(&self) -> bool {
        self.reading.keep_open.load(Relaxed)
    }

    /// The memory of large bodies was given back.
    pub fn begin_anew(&self) {
        self.reading.keep_open.store(false, Relaxed);
        self.reading.grown.store(false, Relaxed);
        if !self.reads_large() {
            *lock(&self.reading.grant) = None;
        }
    }
}

/// Strangers hold all that they may.
#[derive(Debug, thiserror::Error)]
#[error("clients that are not known hold all the memory that they may")]
pub struct NoRoom;
