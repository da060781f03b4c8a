//! Ends a connection whose client may still be sending, so that the client can read the response.
//!
//! Closing a socket with unread bytes resets the connection, and the reset can overtake the answer: the client then reports a
//! broken pipe. So the sending half is closed first, and further bytes are drained for a while (RFC 9112 9.6).

use crate::wire::Wire;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// Maximum time that a client may go on sending.
const LINGER_TIME: Duration = Duration::from_secs(30);
/// Maximum time without a byte.
const SILENCE: Duration = Duration::from_secs(10);
/// Maximum bytes to drain.
const LINGER_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of one read, into a buffer that all connections of a thread share.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Drains a stream whose sending half is closed, until the client closes it too or exceeds a limit.
pub async fn linger(wire: &mut Wire<TcpStream>) {
    let (until, mut left) = (Instant::now() + LINGER_TIME, LINGER_BYTES);
    loop {
        let patience = until.min(Instant::now() + SILENCE);
        match timeout_at(patience, poll_fn(|cx| poll_drop(wire, cx))).await {
            Ok(Ok(count)) if count > 0 && left > count => left -= count,
            // The client closed, failed, was too slow, or sent too much.
            _ => return,
        }
    }
}

/// Drains what is available; returns 0 at the end of the stream.
fn poll_drop<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut read = ReadBuf::new(scratch);
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(read.filled().len() as u64))
    })
}
