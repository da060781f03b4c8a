//! Answers that hold their memory budget until the client has read them.

use super::Lease;
use crate::body::{Body, full};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes of an answer that are handed over at once. A smaller answer is not copied and is never cut off.
const PIECE_BYTES: usize = 64 * 1024;

/// The bytes of an answer with their lease. Any excess of the bytes over the lease is framing and is not counted.
pub struct AnswerBytes {
    bytes: Vec<u8>,
    /// `None` for answers that are always small.
    lease: Option<Lease>,
}

impl AnswerBytes {
    /// Combines bytes with their lease, which releases what the bytes do not need.
    pub fn new(bytes: Vec<u8>, lease: Option<Lease>) -> AnswerBytes {
        let mut lease = lease;
        if let Some(lease) = &mut lease {
            lease.shrink(bytes.len());
        }
        AnswerBytes { bytes, lease }
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the answer's body. It breaks off if the client reads so slowly that the answer is evicted for others.
    pub fn into_body(self) -> Body {
        match self.lease {
            None => full(self.bytes),
            Some(lease) if self.bytes.len() <= PIECE_BYTES => {
                full(Bytes::from_owner(Small { bytes: self.bytes, _lease: lease }))
            }
            Some(mut lease) => {
                let length = self.bytes.len();
                lease.offer(self.bytes);
                Large { lease, length, taken: 0 }.boxed_unsync()
            }
        }
    }
}

struct Small {
    bytes: Vec<u8>,
    _lease: Lease,
}

impl AsRef<[u8]> for Small {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// An answer that is copied out piece by piece, so that the unread part can be dropped.
struct Large {
    lease: Lease,
    length: usize,
    taken: usize,
}

impl hyper::body::Body for Large {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let (from, to) = (self.taken, self.length.min(self.taken + PIECE_BYTES));
        match self.lease.part(from, to) {
            Some(piece) => {
                self.taken = to;
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            None => Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.taken == self.length
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.length - self.taken) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Budget, Owner, STALL_TIME};
    use hyper::body::Body as _;
    use tokio::time::advance;

    fn owner() -> Owner {
        Owner::stranger("10.0.0.1".parse().unwrap())
    }

    async fn held(budget: &Budget, room: usize, bytes: usize) -> Body {
        AnswerBytes::new(vec![7; bytes], Some(budget.take(owner(), room).await.unwrap())).into_body()
    }

    #[tokio::test]
    async fn an_answer_holds_its_room_until_the_last_of_it_was_taken() {
        let budget = Budget::new("test", 1 << 20);
        for bytes in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let body = held(&budget, 1 << 20, bytes).await;
            assert_eq!((budget.free(), body.size_hint().exact()), ((1 << 20) - bytes, Some(bytes as u64)));
            assert_eq!(body.collect().await.unwrap().to_bytes(), vec![7; bytes]);
            assert_eq!(budget.free(), 1 << 20);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_makes_room_and_breaks_off() {
        let budget = Budget::new("test", 4 * PIECE_BYTES);
        let mut unread = held(&budget, 4 * PIECE_BYTES, 4 * PIECE_BYTES).await;
        let piece = unread.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece.len(), PIECE_BYTES);
        advance(STALL_TIME).await;
        let read = held(&budget, 4 * PIECE_BYTES, 4 * PIECE_BYTES).await;
        assert_eq!(unread.frame().await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(read.collect().await.unwrap().to_bytes().len(), 4 * PIECE_BYTES);
        assert_eq!(budget.evicted(), 1);
    }
}
