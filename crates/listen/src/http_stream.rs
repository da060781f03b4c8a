//! The stream beneath an HTTP connection. It limits how much is read at once.
//!
//! hyper doubles its read buffer after each read that fills it, up to [`LARGE_READ_BYTES`], and never shrinks it. Reads are
//! therefore limited here: they are small until a transfer is authorized, and large only within a budget of all connections.
//! After such a transfer, hyper's connection is taken apart and restarted over the same stream.
//!
//! [`LARGE_READ_BYTES`]: crate::connections::LARGE_READ_BYTES

use crate::connections::ConnectionState;
use bytes::{Buf as _, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// A stream whose reads are limited by its connection's budget.
pub struct HttpStream<S> {
    /// Its limit is set before each read. Unlike a part of the buffer, it needs no buffer that is filled with zeros first.
    stream: Take<S>,
    /// Bytes that the previous hyper connection had read but not used.
    first: Bytes,
    state: Arc<ConnectionState>,
}

impl<S: AsyncRead> HttpStream<S> {
    pub fn new(stream: S, first: Bytes, state: Arc<ConnectionState>) -> HttpStream<S> {
        HttpStream { stream: stream.take(0), first, state }
    }

    pub fn into_inner(self) -> S {
        self.stream.into_inner()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // HTTP/2 limits its buffer by the frame size.
        let most = if this.state.is_http2() { usize::MAX } else { this.state.read_at_most() };
        if !this.first.is_empty() {
            let count = this.first.len().min(buffer.remaining()).min(most);
            buffer.put_slice(&this.first[..count]);
            this.first.advance(count);
            if this.first.is_empty() {
                // Releases the former read buffer.
                this.first = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        this.stream.set_limit(most as u64);
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.state.received(buffer.filled().len() - before).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A connection that goes on under a new hyper connection is only flushed.
        match self.state.is_kept_open() {
            true => self.poll_flush(cx),
            false => Pin::new(self.stream.get_mut()).poll_shutdown(cx),
        }
    }
}
