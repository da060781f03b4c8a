//! Counts a connection's bytes, and fails if the client reads too slowly.

use crate::connections::ConnectionState;
use crate::forward::forward_write;
use crate::metrics::Traffic;
use crate::pace::{Pace, WINDOW_TIME};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream whose writes fail once the client is slower than the minimum [`Pace`], because it would block its transfer's buffers.
pub struct Wire<S> {
    stream: S,
    traffic: Traffic,
    state: Arc<ConnectionState>,
    pace: Pace,
    /// Timer that runs while a write waits, for as long as the pace allows.
    stalled: Pin<Box<Sleep>>,
    /// Since when the current write waits.
    waits: Option<Instant>,
}

impl<S> Wire<S> {
    pub fn new(stream: S, traffic: &Traffic, state: Arc<ConnectionState>) -> Wire<S> {
        traffic.connections.inc();
        let (pace, stalled) = (Pace::default(), Box::pin(sleep(WINDOW_TIME)));
        Wire { stream, traffic: traffic.clone(), state, pace, stalled, waits: None }
    }

    /// Returns the inner stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    fn written(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(written) => {
                if let Some(since) = self.waits.take() {
                    self.state.blocked(false);
                    self.pace.waited(since.elapsed());
                }
                if let Ok(written) = written {
                    self.pace.moved(*written as u64);
                    self.traffic.sent.inc_by(*written as u64);
                }
                return polled;
            }
            Poll::Pending if self.waits.is_none() => {
                let now = Instant::now();
                self.waits = Some(now);
                self.state.blocked(true);
                let until = now + self.pace.left();
                self.stalled.as_mut().reset(until);
            }
            Poll::Pending => {}
        }
        ready!(self.stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S> Drop for Wire<S> {
    fn drop(&mut self) {
        self.traffic.connections.dec();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.traffic.received.inc_by((buffer.filled().len() - before) as u64);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    forward_write!(stream: is_write_vectored, poll_flush, poll_shutdown);

    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connections::{ConnectionLimits, Connections};
    use crate::pace::WINDOW_BYTES;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const BUFFERED: usize = 64;

    async fn wire(server: tokio::io::DuplexStream, traffic: &Traffic) -> Wire<tokio::io::DuplexStream> {
        let connections = Connections::new(ConnectionLimits::default(), traffic);
        Wire::new(server, traffic, connections.admit([127, 0, 0, 1].into(), false).await.state.clone())
    }

    #[tokio::test]
    async fn what_goes_by_is_counted_and_the_connection_while_it_is_open() {
        let traffic = Traffic::default();
        let (mut client, server) = duplex(BUFFERED);
        let mut wire = wire(server, &traffic).await;
        client.write_all(b"hello").await.unwrap();
        wire.read_exact(&mut [0; 5]).await.unwrap();
        wire.write_all(b"you").await.unwrap();
        assert_eq!((traffic.received.get(), traffic.sent.get(), traffic.connections.get()), (5, 3, 1));
        drop(wire);
        assert_eq!(traffic.connections.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_for_too_long_is_given_up_and_a_slow_one_is_not() {
        let window = usize::try_from(WINDOW_BYTES).unwrap();
        let (mut client, server) = duplex(window);
        let mut wire = wire(server, &Traffic::default()).await;
        let reader = tokio::spawn(async move {
            for _ in 0..3 {
                sleep(WINDOW_TIME / 2).await;
                client.read_exact(&mut vec![0; window]).await.unwrap();
            }
            client
        });
        wire.write_all(&vec![0; 4 * window]).await.unwrap();
        let client = reader.await.unwrap();
        let began = Instant::now();
        let stalled = wire.write_all(&[0; BUFFERED]).await.unwrap_err();
        assert_eq!((stalled.kind(), began.elapsed()), (io::ErrorKind::TimedOut, WINDOW_TIME));
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_trickle_is_given_up_and_one_that_waits_for_us_is_not() {
        let (mut client, server) = duplex(BUFFERED);
        let mut wire = wire(server, &Traffic::default()).await;
        // Between two requests a connection may be idle for long; that is not the client's slowness.
        for _ in 0..3 {
            wire.write_all(b"answer").await.unwrap();
            client.read_exact(&mut [0; 6]).await.unwrap();
            sleep(WINDOW_TIME).await;
        }
        let reader = tokio::spawn(async move {
            loop {
                sleep(WINDOW_TIME / 60).await;
                if client.read_exact(&mut [0; BUFFERED]).await.is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let refused = wire.write_all(&[0; 100 * BUFFERED]).await.unwrap_err();
        assert_eq!((refused.kind(), began.elapsed()), (io::ErrorKind::TimedOut, WINDOW_TIME));
        drop(wire);
        reader.await.unwrap();
    }
}
