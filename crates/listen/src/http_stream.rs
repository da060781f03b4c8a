//! The stream beneath an HTTP connection. It limits how much is read at once.
//!
//! hyper doubles its read buffer after each read that fills it, up to [`LARGE_READ_BYTES`], and never shrinks it. Reads are
//! therefore limited here: they are small until a transfer is authorized, and large only within a budget of all connections.
//! After such a transfer, hyper's connection is taken apart and restarted over the same stream.
//!
//! [`LARGE_READ_BYTES`]: crate::connections::LARGE_READ_BYTES
use crate::connections::ConnectionState;
use crate::forward::forward_write;
use bytes::{Buf as _, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose reads are limited by its connection's budget.
pub struct HttpStream<S> {
    stream: S,
    /// Bytes that the previous hyper connection had read but not used.
    first: Bytes,
    state: Arc<ConnectionState>,
}

impl<S> HttpStream<S> {
    pub fn new(stream: S, first: Bytes, state: Arc<ConnectionState>) -> HttpStream<S> {
        HttpStream { stream, first, state }
    }

    pub fn into_inner(self) -> S {
        self.stream
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
        if buffer.remaining() <= most {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        } else {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part))?;
            let count = part.filled().len();
            buffer.advance(count);
        }
        this.state.received(buffer.filled().len() - before).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    forward_write!(stream: poll_write, poll_write_vectored, is_write_vectored, poll_flush);

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.is_kept_open() {
            return Pin::new(&mut self.stream).poll_flush(cx);
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
