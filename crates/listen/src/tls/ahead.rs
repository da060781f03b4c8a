//! The stream beneath a TLS session. It is read in larger pieces than the session asks for.

use crate::connections::ConnectionState;
use crate::forward::forward_write;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Initial read size: more than a client's hello, and all that an idle connection holds here.
const LEAST_BYTES: usize = 4 * 1024;
/// Maximum read size, for fast bodies: a push of 1 GiB needs 4,000 recv calls with it, and 16,400 with 64 KiB.
const MOST_BYTES: usize = 256 * 1024;

/// A stream that reads ahead, so that a TLS session, which asks for at most one record, needs no system call for each. During a
/// large transfer, a read that fills the buffer doubles it; two consecutive reads that fill less than half of it halve it.
pub struct Ahead<S> {
    stream: S,
    state: Arc<ConnectionState>,
    memory: Box<[u8]>,
    /// The part of the buffer that was read and not yet consumed.
    unread: Range<usize>,
    /// Whether the last read filled less than half of the buffer.
    was_short: bool,
}

impl<S> Ahead<S> {
    pub fn new(stream: S, state: Arc<ConnectionState>) -> Ahead<S> {
        Ahead { stream, state, memory: memory(LEAST_BYTES), unread: 0..0, was_short: false }
    }

    /// Returns the inner stream and drops what was read ahead.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Resizes the empty buffer for the next read, after a read of `count` bytes.
    fn fit(&mut self, count: usize) {
        let size = self.memory.len();
        let is_short = count < size / 2;
        if !self.state.reads_large() {
            self.shrink();
        } else if count == size && size < MOST_BYTES {
            self.memory = memory(size * 2);
        } else if is_short && self.was_short && size > LEAST_BYTES {
            self.memory = memory(size / 2);
            self.was_short = false;
            return;
        }
        self.was_short = is_short;
    }
}

impl<S> Ahead<S> {
    /// Shrinks the empty buffer to an idle connection's size.
    fn shrink(&mut self) {
        if self.memory.len() > LEAST_BYTES {
            self.memory = memory(LEAST_BYTES);
        }
    }
}

fn memory(size: usize) -> Box<[u8]> {
    vec![0; size].into_boxed_slice()
}

impl<S: AsyncRead + Unpin> AsyncRead for Ahead<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            if !this.state.reads_large() {
                this.shrink();
            }
            let mut read = ReadBuf::new(&mut this.memory);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            this.unread = 0..read.filled().len();
        }
        let count = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.memory[this.unread.start..this.unread.start + count]);
        this.unread.start += count;
        if this.unread.is_empty() {
            this.fit(this.unread.end);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ahead<S> {
    forward_write!(stream: poll_write, poll_write_vectored, is_write_vectored, poll_flush, poll_shutdown);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::{ConnectionLimits, Connections};
    use crate::metrics::Traffic;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    /// Sends bytes through, and takes them in pieces.
    async fn through(ahead: &mut Ahead<tokio::io::DuplexStream>, client: &mut tokio::io::DuplexStream, bytes: &[u8]) {
        client.write_all(bytes).await.unwrap();
        let mut read = vec![0; bytes.len()];
        for piece in read.chunks_mut(1000) {
            ahead.read_exact(piece).await.unwrap();
        }
        assert!(read == bytes, "other bytes came than went");
    }

    #[tokio::test]
    async fn bytes_come_as_they_went_and_the_memory_follows_how_many_there_are() {
        let (mut client, server) = duplex(4 * MOST_BYTES);
        let connections = Connections::new(ConnectionLimits::default(), &Traffic::default());
        let place = connections.admit([127, 0, 0, 1].into(), false).await;
        let mut ahead = Ahead::new(server, place.state.clone());
        let bytes: Vec<u8> = (0..3 * MOST_BYTES).map(|number| (number % 251) as u8).collect();
        through(&mut ahead, &mut client, &bytes[..LEAST_BYTES - 1]).await;
        assert_eq!(ahead.memory.len(), LEAST_BYTES, "what fits leaves it as it is");
        through(&mut ahead, &mut client, &bytes).await;
        assert_eq!(ahead.memory.len(), LEAST_BYTES, "a body that nobody allowed leaves it as it is");
        assert!(place.state.read_large());
        through(&mut ahead, &mut client, &bytes).await;
        assert_eq!(ahead.memory.len(), MOST_BYTES, "a large body makes it larger, and not larger than this");
        through(&mut ahead, &mut client, b"one").await;
        through(&mut ahead, &mut client, b"two").await;
        assert_eq!(ahead.memory.len(), MOST_BYTES / 2, "two small reads halve it");
        for _ in 0..20 {
            through(&mut ahead, &mut client, b"small").await;
        }
        assert_eq!(ahead.memory.len(), LEAST_BYTES);
        through(&mut ahead, &mut client, &bytes).await;
        assert_eq!(ahead.memory.len(), MOST_BYTES);
        place.state.read_small();
        through(&mut ahead, &mut client, b"one").await;
        assert_eq!(ahead.memory.len(), LEAST_BYTES, "it is given back when the body ends");
        drop(client);
        assert_eq!(ahead.read(&mut [0; 8]).await.unwrap(), 0, "the end comes through");
    }
}
