//! A TLS stream that is read in pieces larger than its records.

use crate::forward::forward_write;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose reads return everything available, as far as it fits. A TLS read returns at most one record of 16 KiB, and each
/// piece of a body costs a transfer from the connection to the handler.
pub struct Gathered<S>(pub S);

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            let filled = buffer.filled().len();
            match Pin::new(&mut self.0).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) if buffer.filled().len() > filled => {}
                // The end of the stream, which the next read reports again, as it does an error.
                Poll::Ready(Ok(())) => break,
                _ if filled > before => break,
                nothing => return nothing,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    forward_write!(0: poll_write, poll_write_vectored, is_write_vectored, poll_flush, poll_shutdown);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, join};

    /// A stream of records. Each read returns at most one record; after the last one it ends, fails, or waits.
    struct Records {
        left: Vec<&'static [u8]>,
        then: fn() -> Poll<io::Result<()>>,
    }

    impl AsyncRead for Records {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let Some(record) = self.left.first_mut() else { return (self.then)() };
            let count = record.len().min(buffer.remaining());
            buffer.put_slice(&record[..count]);
            *record = &record[count..];
            self.left.retain(|record| !record.is_empty());
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_read_gives_all_records_that_are_there_and_what_comes_then_is_the_next_reads() {
        let broken = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let ended = || Poll::Ready(Ok(()));
        let waits = || Poll::Pending;
        for then in [broken as fn() -> _, ended, waits] {
            let records = Records { left: vec![b"one", b"two", b"three"], then };
            let mut gathered = Gathered(join(records, tokio::io::sink()));
            let mut buffer = [0; 8];
            assert_eq!(gathered.read(&mut buffer).await.unwrap(), 8);
            assert_eq!(&buffer, b"onetwoth");
            assert_eq!(gathered.read(&mut buffer).await.unwrap(), 3);
            assert_eq!(&buffer[..3], b"ree");
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let mut rest = ReadBuf::new(&mut buffer);
            let polled =
                Pin::new(&mut gathered).poll_read(&mut cx, &mut rest).map(|read| read.map_err(|error| error.kind()));
            assert_eq!(polled, then().map(|read| read.map_err(|error| error.kind())));
            assert!(rest.filled().is_empty());
        }
    }
}
