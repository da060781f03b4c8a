//! Pooled, aligned buffers, which carry all bytes between sockets and engines.
//!
//! A pool bounds their number and keeps their memory. An allocator may return memory of this size to the kernel on every free: with
//! the C library's allocator a transfer took two to three times the processor time.

use crate::open_files::{OpenFile, OpenFiles};
use crate::shares::{BufferClaim, BufferShare, Shares};
use crate::{Error, lock};
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A bounded pool of buffers of equal size. Waiting for a free buffer is the back-pressure of transfers.
///
/// Memory is allocated when a buffer is first needed, and reused afterwards, so the pool holds at most `max` times
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

/// The memory of one buffer. It exceeds the buffer by the alignment, so that it contains an aligned start.
struct Memory {
    bytes: Box<[u8]>,
    start: usize,
}

impl Memory {
    fn new() -> Memory {
        let bytes = vec![0; Buffers::SIZE + Buffers::ALIGNMENT].into_boxed_slice();
        // `align_offset` may return usize::MAX, which means "unknown". The buffer then starts unaligned.
        let start = bytes.as_ptr().align_offset(Buffers::ALIGNMENT);
        Memory { bytes, start: if start < Buffers::ALIGNMENT { start } else { 0 } }
    }
}

impl Buffers {
    /// Bytes of one buffer. Each buffer costs a change of thread on its way to the disk: with 256 KiB a GiB took 19,000 futex calls,
    /// with this size 8,000.
    pub const SIZE: usize = 512 * 1024;
    /// The alignment of a buffer's first byte in bytes, enough for direct I/O.
    pub const ALIGNMENT: usize = 4096;
    /// The longest time that a transfer waits for a buffer: far longer than a busy disk needs, and shorter than the timeouts of
    /// clients.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// The most bytes of a [`Buffer::small`] buffer, which belongs to no pool.
    pub const SMALL: usize = 64 * 1024;

    /// Creates a pool of at most `max` buffers, at least one.
    pub fn new(max: usize) -> Buffers {
        let permits = max.clamp(1, Semaphore::MAX_PERMITS);
        let pool = Pool { permits: Arc::new(Semaphore::new(permits)), free: Mutex::new(Vec::new()) };
        Buffers { pool: Arc::new(pool), shares: Shares::new(permits), files: OpenFiles::new(usize::MAX) }
    }

    /// Bounds the layer files that the pool's transfers may have open for reading at once. By default there is no bound.
    pub fn with_open_files(self, max: usize) -> Buffers {
        Buffers { files: OpenFiles::new(max), ..self }
    }

    /// Waits for a permit to open one more file for reading, to be kept as long as the file. Fails with [`Error::Busy`] after
    /// [`Buffers::PATIENCE`].
    pub(crate) async fn open_file(&self) -> Result<OpenFile, Error> {
        self.files.admit(|| self.shares.starve()).await
    }

    /// Returns an owner's share of the pool. A caller's transfer claims a buffer from the share before it takes one from the pool.
    pub fn share(&self, owner: &(impl Hash + ?Sized)) -> BufferShare {
        self.shares.of(owner)
    }

    /// Returns the number of transfers that wait for a claim or for a permit to open a file.
    pub fn waiting(&self) -> usize {
        self.shares.waiting() + self.files.waiting()
    }

    /// Waits until a transfer has begun to wait for a claim or for a permit to open a file, since the last return.
    pub async fn starved(&self) {
        self.shares.starved().await;
    }

    /// Takes an empty buffer, and waits until one is free. The longest waiting task is served first.
    ///
    /// A task that holds buffers while it takes another can deadlock. Release the filled buffers first.
    pub async fn take(&self) -> Buffer {
        // The semaphore is never closed, so this always returns a permit.
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

    /// Takes an empty buffer as [`Buffers::take`] does, but fails with [`Error::Busy`] after [`Buffers::PATIENCE`]. The tasks that hold
    /// the buffers may never release them.
    pub async fn take_in_time(&self) -> Result<Buffer, Error> {
        timeout(Buffers::PATIENCE, self.take()).await.map_err(|_| Error::Busy)
    }

    /// Returns the number of buffers that can be taken without waiting.
    pub fn available(&self) -> usize {
        self.pool.permits.available_permits()
    }
}

/// A buffer of a pool, to which it returns when dropped. Derefs to the filled bytes.
///
/// It is `AsRef<[u8]>` and `Send + Sync + 'static`, so `bytes::Bytes::from_owner` wraps it without a copy.
pub struct Buffer {
    /// `None` only during drop.
    memory: Option<Memory>,
    len: usize,
    /// In bytes.
    capacity: usize,
    /// The claim that counts this buffer in its owner's share.
    claim: Option<BufferClaim>,
    /// `None` for a small buffer.
    pool: Option<Arc<Pool>>,
    /// Dropped after the memory has returned to the pool, so that the next task to get the permit finds the memory.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Creates a buffer outside any pool, with room for `bytes`, at most [`Buffers::SMALL`]. Its first byte is not aligned.
    pub fn small(bytes: usize) -> Buffer {
        let capacity = bytes.min(Buffers::SMALL);
        let memory = Memory { bytes: vec![0; capacity].into_boxed_slice(), start: 0 };
        Buffer { memory: Some(memory), len: 0, capacity, claim: None, pool: None, _permit: None }
    }

    /// Attaches a claim, which is released together with the buffer.
    pub fn claimed(mut self, claim: BufferClaim) -> Buffer {
        self.claim = Some(claim);
        self
    }

    /// Returns the number of bytes that still fit.
    pub fn room(&self) -> usize {
        self.capacity - self.len
    }

    /// Appends as many of `bytes` as fit, and returns their number.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let (from, count) = (self.len, bytes.len().min(self.room()));
        self.spare_mut()[from..from + count].copy_from_slice(&bytes[..count]);
        self.len += count;
        count
    }

    /// Returns the whole capacity, filled bytes included, as a slice to read into. Call [`Buffer::set_len`] afterwards.
    ///
    /// The unfilled part contains bytes of an earlier use.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Some(memory) => &mut memory.bytes[memory.start..memory.start + self.capacity],
            None => &mut [],
        }
    }

    /// Declares the first `len` bytes filled. All of them must have been written since the buffer was taken, else bytes of an
    /// earlier transfer become visible.
    ///
    /// # Panics
    /// If `len` exceeds the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "the buffer holds {} bytes, not {len}", self.capacity);
        self.len = len;
    }

    /// Empties the buffer, so that its holder can fill it again.
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
    async fn a_new_buffer_is_empty_and_aligned_and_can_be_filled() {
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
    fn a_small_buffer_belongs_to_no_pool() {
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
        assert_eq!((second.as_ptr(), second.len()), (address, 0), "the memory was not reused, or not empty");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_buffer_that_times_out_fails_as_busy_and_leaves_the_queue() {
        let buffers = Buffers::new(1);
        let held = buffers.take_in_time().await.unwrap();
        assert!(matches!(buffers.take_in_time().await, Err(Error::Busy)));
        drop(held);
        assert_eq!(buffers.available(), 1);
        buffers.take_in_time().await.unwrap();
    }

    #[tokio::test]
    async fn bytes_made_from_a_buffer_return_it_to_the_pool_when_dropped() {
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
