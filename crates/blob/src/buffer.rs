//! Pooled, aligned buffers: the one currency between sockets and engines.
//!
//! They are pooled so that their number has a bound, and because an allocator may give memory of this size back to the kernel on
//! every free: with the C library's that measured twice to three times the processor time of a transfer.
use crate::open_files::{OpenFile, OpenFiles};
use crate::shares::{Claim, Share, Shares};
use crate::{Error, lock};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A pool of equal buffers, whose number is bounded; waiting for one is back-pressure.
///
/// Memory is taken when a buffer is first needed and kept for the next one, so the pool holds at most `max` times
/// [`Buffers::SIZE`] bytes. Clones share the pool.
#[derive(Clone)]
pub struct Buffers {
    pool: Arc<Pool>,
    shares: Arc<Shares>,
    files: Arc<OpenFiles>,
}

struct Pool {
    permits: Arc<Semaphore>,
    free: Mutex<Vec<Memory>>,
}

/// One buffer's memory: larger than the buffer by the alignment, so that an aligned start lies within it.
struct Memory {
    bytes: Box<[u8]>,
    start: usize,
}

impl Memory {
    fn new() -> Memory {
        let bytes = vec![0; Buffers::SIZE + Buffers::ALIGNMENT].into_boxed_slice();
        // `align_offset` may decline by answering usize::MAX; the buffer then begins where the memory does, unaligned.
        let start = bytes.as_ptr().align_offset(Buffers::ALIGNMENT);
        Memory { bytes, start: if start < Buffers::ALIGNMENT { start } else { 0 } }
    }
}

impl Buffers {
    /// Bytes of one buffer. Each costs a change of thread on its way to the disk: 256 KiB measured 19,000 futex calls for a GiB, and
    /// this 8,000.
    pub const SIZE: usize = 512 * 1024;
    /// The alignment of a buffer's first byte, enough for direct I/O.
    pub const ALIGNMENT: usize = 4096;
    /// The longest that a transfer waits for a buffer: far longer than busy disks take, and shorter than clients' patience.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// Bytes at most of a [`Buffer::small`] one, which is of no pool.
    pub const SMALL: usize = 64 * 1024;

    /// A pool of at most `max` buffers, one at least.
    pub fn new(max: usize) -> Buffers {
        let permits = max.clamp(1, Semaphore::MAX_PERMITS);
        let pool = Pool { permits: Arc::new(Semaphore::new(permits)), free: Mutex::new(Vec::new()) };
        Buffers { pool: Arc::new(pool), shares: Shares::new(permits), files: OpenFiles::new(usize::MAX) }
    }

    /// The same pool for transfers that may have at most `max` layers' files open for reading at once; else they may have any number.
    pub fn with_open_files(self, max: usize) -> Buffers {
        Buffers { files: OpenFiles::new(max), ..self }
    }

    /// A place among the files that are open for reading, to be held as long as the file. Waits for at most [`Buffers::PATIENCE`],
    /// then [`Error::Busy`].
    pub(crate) async fn open_file(&self) -> Result<OpenFile, Error> {
        self.files.admit(|| self.shares.starve()).await
    }

    /// What an owner may hold of the pool: transfers of callers claim their buffers there before they take them.
    pub fn share(&self, owner: &str) -> Share {
        self.shares.of(owner)
    }

    /// How many transfers wait for their share, or to open a layer's file.
    pub fn waiting(&self) -> usize {
        self.shares.waiting() + self.files.waiting()
    }

    /// Returns when a transfer has begun to wait for its share, or to open a layer's file, since it returned last.
    pub async fn starved(&self) {
        self.shares.starved().await;
    }

    /// Takes an empty buffer, waiting until one is free. Who waits longest is served first.
    ///
    /// A task that holds buffers while it takes more can wait for itself; give back what was filled first.
    pub async fn take(&self) -> Buffer {
        // Nothing closes the semaphore, so there always is a permit.
        let permit = self.pool.permits.clone().acquire_owned().await.ok();
        let kept = lock(&self.pool.free).pop();
        Buffer {
            memory: Some(kept.unwrap_or_else(Memory::new)),
            len: 0,
            capacity: Buffers::SIZE,
            claim: None,
            pool: Some(self.pool.clone()),
            _permit: permit,
        }
    }

    /// The same for at most [`Buffers::PATIENCE`], then [`Error::Busy`]: whoever holds the buffers may never give them back.
    pub async fn take_in_time(&self) -> Result<Buffer, Error> {
        timeout(Buffers::PATIENCE, self.take()).await.map_err(|_| Error::Busy)
    }

    /// How many buffers can be taken now without waiting.
    pub fn available(&self) -> usize {
        self.pool.permits.available_permits()
    }
}

/// A buffer of the pool; goes back to it when dropped. Derefs to the filled bytes; `AsRef<[u8]>`, `Send + Sync + 'static`,
/// so `bytes::Bytes::from_owner` takes it without a copy.
pub struct Buffer {
    /// `None` only while it is dropped.
    memory: Option<Memory>,
    len: usize,
    /// Bytes that it has.
    capacity: usize,
    /// The place in its owner's share.
    claim: Option<Claim>,
    /// `None` for a small one.
    pool: Option<Arc<Pool>>,
    /// Dropped after the memory went back: who gets the permit finds the memory.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// A buffer that is of no pool, for so many bytes, of [`Buffers::SMALL`] at most. Its first byte is not aligned.
    pub fn small(bytes: usize) -> Buffer {
        let capacity = bytes.min(Buffers::SMALL);
        let memory = Memory { bytes: vec![0; capacity].into_boxed_slice(), start: 0 };
        Buffer { memory: Some(memory), len: 0, capacity, claim: None, pool: None, _permit: None }
    }

    /// The same buffer, which keeps its place in its owner's share until it is dropped.
    pub fn claimed(mut self, claim: Claim) -> Buffer {
        self.claim = Some(claim);
        self
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// Appends as much of `bytes` as fits and returns how much that was.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let (from, count) = (self.len, bytes.len().min(self.room()));
        self.spare_mut()[from..from + count].copy_from_slice(&bytes[..count]);
        self.len += count;
        count
    }

    /// The whole capacity, filled bytes included, as a slice to read into; follow with [`Buffer::set_len`].
    ///
    /// What lies in it is left from an earlier use.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(memory) => &mut memory.bytes[memory.start..memory.start + self.capacity],
            None => &mut [],
        }
    }

    /// Declares the first `len` bytes filled. `len` counts only bytes that were written since the buffer was taken,
    /// else an earlier transfer's bytes would show.
    ///
    /// # Panics
    /// If `len` is more than it has.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "the buffer holds {} bytes, not {len}", self.capacity);
        self.len = len;
    }

    /// Empties it, for another use by the same holder.
    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let (Some(memory), Some(pool)) = (self.memory.take(), &self.pool) {
            lock(&pool.free).push(memory);
        }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory.bytes[memory.start..memory.start + self.len],
            None => &[],
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_buffer_is_empty_aligned_and_fills_up() {
        let buffers = Buffers::new(2);
        let mut buffer = buffers.take().await;
        assert!(buffer.is_empty());
        assert_eq!(buffer.spare_mut().as_ptr().align_offset(Buffers::ALIGNMENT), 0);
        assert_eq!(buffer.fill(b"abc"), 3);
        assert_eq!(&buffer[..], b"abc");
        assert_eq!(buffer.fill(&vec![7; Buffers::SIZE]), Buffers::SIZE - 3);
        assert_eq!((buffer.room(), buffer.len()), (0, Buffers::SIZE));
        assert_eq!(buffer.fill(b"more"), 0);
        buffer.clear();
        assert_eq!(buffer.room(), Buffers::SIZE);
    }

    #[test]
    fn a_small_buffer_is_of_no_pool() {
        let mut buffer = Buffer::small(3);
        assert_eq!((buffer.fill(b"abcd"), buffer.room(), &buffer[..]), (3, 0, &b"abc"[..]));
        assert_eq!(Buffer::small(Buffers::SIZE).room(), Buffers::SMALL);
    }

    #[tokio::test]
    async fn the_pool_never_has_more_buffers_than_its_bound() {
        let buffers = Buffers::new(1);
        let first = buffers.take().await;
        let address = first.as_ptr();
        let mut second = std::pin::pin!(buffers.take());
        let waits = futures_poll(second.as_mut()).is_pending();
        assert!(waits, "a second buffer of a pool of one was handed out");
        drop(first);
        let second = second.await;
        assert_eq!((second.as_ptr(), second.len()), (address, 0), "the memory is used again, and empty");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_buffer_in_vain_is_told_that_all_are_busy_and_loses_its_place() {
        let buffers = Buffers::new(1);
        let held = buffers.take_in_time().await.unwrap();
        assert!(matches!(buffers.take_in_time().await, Err(Error::Busy)));
        drop(held);
        assert_eq!(buffers.available(), 1);
        buffers.take_in_time().await.unwrap();
    }

    #[tokio::test]
    async fn bytes_made_from_a_buffer_give_it_back_when_dropped() {
        let buffers = Buffers::new(1);
        let mut buffer = buffers.take().await;
        buffer.fill(b"layer");
        let bytes = bytes::Bytes::from_owner(buffer);
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!((&part[..], buffers.available()), (&b"ay"[..], 0));
        drop(part);
        assert_eq!(buffers.available(), 1);
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
