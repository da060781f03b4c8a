//! Pooled, aligned buffers: the one currency between sockets and engines.
use std::sync::Arc;

/// A pool of equal buffers, whose number is bounded; waiting for one is back-pressure.
#[derive(Clone)]
pub struct Buffers {
    _inner: Arc<()>,
}

impl Buffers {
    /// Bytes of one buffer.
    pub const SIZE: usize = 256 * 1024;
    /// The alignment of a buffer's first byte, enough for direct I/O.
    pub const ALIGNMENT: usize = 4096;
    pub fn new(_max: usize) -> Buffers { todo!() }
    /// Takes an empty buffer, waiting until one is free.
    pub async fn take(&self) -> Buffer { todo!() }
}

/// A buffer of the pool; goes back to it when dropped. Derefs to the filled bytes; `AsRef<[u8]>`, `Send + Sync + 'static`, so `bytes::Bytes::from_owner` takes it without a copy.
pub struct Buffer {
    _bytes: Vec<u8>,
}

impl Buffer {
    /// Bytes that still fit.
    pub fn room(&self) -> usize { todo!() }
    /// Appends as much of `bytes` as fits and returns how much that was.
    pub fn fill(&mut self, _bytes: &[u8]) -> usize { todo!() }
    /// The whole capacity as a slice to read into; follow with [`Buffer::set_len`].
    pub fn spare_mut(&mut self) -> &mut [u8] { todo!() }
    pub fn set_len(&mut self, _len: usize) { todo!() }
    pub fn clear(&mut self) { todo!() }
}
impl std::ops::Deref for Buffer { type Target = [u8]; fn deref(&self) -> &[u8] { todo!() } }
impl AsRef<[u8]> for Buffer { fn as_ref(&self) -> &[u8] { self } }
