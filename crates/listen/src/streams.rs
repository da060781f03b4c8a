//! Tracks the streams of one HTTP/2 connection: how many are open, and whether the client reads what it asked for.
//!
//! Over HTTP/1.1 a client that reads nothing blocks the socket, which [`crate::wire`] detects. Over HTTP/2 it can block one
//! stream by not opening its window while the socket stays free, and the transfer's buffers are held all the same.

use crate::body::Body;
use crate::pace::{WINDOW_BYTES, WINDOW_TIME};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use kernel::lock;
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often a connection's streams are checked; an overdue stream is found at most this much later.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Shared by a connection and its streams.
pub struct Streams(Mutex<State>);

struct State {
    /// Open streams by number, in the order in which they began.
    open: BTreeMap<u64, Turn>,
    next: u64,
    /// Until when a connection without streams may wait for one.
    idle_until: Instant,
    /// How long a connection may be idle after its last stream has ended.
    idle_time: Duration,
}

/// Whether a stream waits for the client or for the server, and until when.
#[derive(Default)]
struct Turn {
    /// Bytes that the body has yielded and the client has not read.
    given: u64,
    /// Whether the client waits for more than the body has yielded.
    asked: bool,
    /// Deadline for the client to read; `None` while it waits for the server.
    due: Option<Instant>,
    /// Since when the client has read nothing of what is available; `None` while it waits for the server.
    since: Option<Instant>,
}

/// Why a connection should be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// No stream has been open for too long.
    Idle,
    /// The client does not read what it asked for.
    Stalled,
}

impl Streams {
    /// The first stream must begin before `first`, later ones within `idle_time` after the last stream has ended.
    pub fn new(first: Instant, idle_time: Duration) -> Arc<Streams> {
        let state = State { open: BTreeMap::new(), next: 0, idle_until: first, idle_time };
        Arc::new(Streams(Mutex::new(state)))
    }

    /// Begins a stream. It ends when its last clone is dropped.
    pub fn begin(self: &Arc<Self>) -> Stream {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.open.insert(number, Turn::default());
        drop(state);
        Stream(Arc::new(Entry { streams: self.clone(), number }))
    }

    /// Returns once the connection should be closed.
    pub async fn useless(&self) -> Useless {
        loop {
            let now = Instant::now();
            let next = {
                let state = self.state();
                if state.open.is_empty() && state.idle_until <= now {
                    return Useless::Idle;
                }
                if state.open.values().any(|turn| turn.due.is_some_and(|due| due <= now)) {
                    return Useless::Stalled;
                }
                if state.open.is_empty() { state.idle_until } else { now + LOOK_EVERY }
            };
            sleep_until(next.min(now + LOOK_EVERY)).await;
        }
    }

    /// Returns since when the client has read nothing of an available stream, over all streams the earliest.
    pub fn waits_since(&self) -> Option<Instant> {
        self.state().open.values().filter_map(|turn| turn.since).min()
    }

    /// Reduces the idle time to `time`. A connection that never had a stream ends at once.
    pub fn end_within(&self, time: Duration) {
        let mut state = self.state();
        state.idle_time = time;
        state.idle_until = Instant::now() + if state.next == 0 { Duration::ZERO } else { time };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

/// A request and its response, until the client has read all of it.
#[derive(Clone)]
pub struct Stream(Arc<Entry>);

struct Entry {
    streams: Arc<Streams>,
    number: u64,
}

impl Stream {
    /// Wraps a body so that the client must read it at the minimum pace.
    pub fn paced(self, body: Body) -> Paced {
        self.with(|turn, now| (turn.due, turn.since) = (Some(now + WINDOW_TIME), Some(now)));
        Paced { body, stream: self }
    }

    fn with(&self, change: impl FnOnce(&mut Turn, Instant)) {
        if let Some(turn) = self.0.streams.state().open.get_mut(&self.0.number) {
            change(turn, Instant::now());
        }
    }

    /// Records that the client waits for more than the body has yielded.
    fn asked(&self) {
        self.with(|turn, _| {
            turn.asked = true;
            if turn.given == 0 {
                (turn.due, turn.since) = (None, None);
            }
        });
    }

    /// Records a piece of the body. The returned bytes record their own drop, once they are sent.
    fn give(&self, bytes: Bytes) -> Bytes {
        let length = bytes.len() as u64;
        self.with(|turn, now| {
            turn.asked = false;
            turn.given += length;
            turn.since = Some(now);
            turn.due = Some(turn.due.unwrap_or(now).max(now) + allowed(length));
        });
        Bytes::from_owner(Given { bytes, stream: self.clone() })
    }

    fn taken(&self, length: u64) {
        self.with(|turn, now| {
            turn.given = turn.given.saturating_sub(length);
            let until = now + allowed(turn.given);
            turn.since = if turn.asked && turn.given == 0 { None } else { Some(now) };
            turn.due = match turn.due {
                _ if turn.asked && turn.given == 0 => None,
                // Reading faster than required earns no later deadline.
                due => due.map(|due| due.min(until)),
            };
        });
    }
}

/// Returns how long the client may take for these bytes at the minimum [`crate::pace::Pace`].
fn allowed(bytes: u64) -> Duration {
    let windows = u32::try_from(bytes.div_ceil(WINDOW_BYTES)).unwrap_or(u32::MAX);
    WINDOW_TIME.saturating_mul(windows.max(1))
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.streams.state();
        state.open.remove(&self.number);
        state.idle_until = Instant::now() + state.idle_time;
    }
}

/// Bytes of a body that are on their way to the client.
struct Given {
    bytes: Bytes,
    stream: Stream,
}

impl AsRef<[u8]> for Given {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.stream.taken(self.bytes.len() as u64);
    }
}

/// A response body whose reading by the client is tracked.
pub struct Paced {
    body: Body,
    stream: Stream,
}

impl hyper::body::Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let stream = &self.stream;
                Poll::Ready(Some(Ok(frame.map_data(|bytes| stream.give(bytes)))))
            }
            Poll::Pending => {
                self.stream.asked();
                Poll::Pending
            }
            ended => ended,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::full;
    use http_body_util::BodyExt as _;

    const IDLE: Duration = Duration::from_secs(100);

    async fn piece(paced: &mut Paced) -> Bytes {
        paced.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_streams_is_given_up_and_one_that_waits_for_us_is_not() {
        let began = Instant::now();
        let streams = Streams::new(began + Duration::from_secs(10), IDLE);
        assert_eq!(streams.useless().await, Useless::Idle);
        assert_eq!(began.elapsed().as_secs(), 10);
        let stream = streams.begin();
        assert!(tokio::time::timeout(IDLE * 10, streams.useless()).await.is_err(), "the handler runs");
        let ended = Instant::now();
        drop(stream);
        assert_eq!(streams.useless().await, Useless::Idle);
        assert_eq!(ended.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_what_it_was_given_is_given_up() {
        let streams = Streams::new(Instant::now(), IDLE);
        // It does not even ask.
        let paced = streams.begin().paced(full("answer"));
        let began = Instant::now();
        assert_eq!(streams.useless().await, Useless::Stalled);
        assert!((WINDOW_TIME..=WINDOW_TIME + LOOK_EVERY).contains(&began.elapsed()), "{:?}", began.elapsed());
        drop(paced);
        // It asks, and leaves the bytes where they are; the body itself is gone.
        let mut paced = streams.begin().paced(full("answer"));
        let held = piece(&mut paced).await;
        drop(paced);
        assert_eq!(streams.useless().await, Useless::Stalled);
        drop(held);
        let ended = Instant::now();
        assert_eq!(streams.useless().await, Useless::Idle);
        assert_eq!(ended.elapsed(), IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_keeps_its_stream_and_speed_before_is_no_credit() {
        let window = usize::try_from(WINDOW_BYTES).unwrap();
        let streams = Streams::new(Instant::now(), IDLE);
        let stream = streams.begin();
        stream.with(|turn, now| turn.due = Some(now + WINDOW_TIME));
        let mut held = stream.give(Bytes::from(vec![0; window]));
        for _ in 0..100 {
            // Before one is taken the next is there, so that there is never none.
            let next = stream.give(Bytes::from(vec![0; window]));
            drop(std::mem::replace(&mut held, next));
        }
        for _ in 0..5 {
            let slow = tokio::time::timeout(WINDOW_TIME * 9 / 10, streams.useless()).await;
            assert!(slow.is_err(), "{slow:?}");
            let next = stream.give(Bytes::from(vec![0; window]));
            drop(std::mem::replace(&mut held, next));
        }
        let began = Instant::now();
        assert_eq!(streams.useless().await, Useless::Stalled);
        assert!(began.elapsed() <= WINDOW_TIME + LOOK_EVERY, "{:?}", began.elapsed());
        drop(held);
    }
}
