//! Bodies on the HTTP wire: one response type for every door, and requests as a `registry` source.
use crate::pace::Pace;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use registry::Error;
use registry::layer::{Open, Opened};
use registry::upload::Source;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;
pub type Response = http::Response<Body>;
/// A request as a door receives it.
pub type Request = http::Request<Incoming>;

/// Bytes of an unread body at most that are read and dropped, so that its client gets to read the answer.
const DISCARD_BYTES: u64 = 64 * 1024 * 1024;
/// The same where nobody knows who the client is.
const STRANGERS_DISCARD_BYTES: u64 = 1024 * 1024;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(30);

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer in plain text.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer with a layer's bytes, or with their headers alone for a HEAD: 200, 206 for a `partial` request, or 416
/// (RFC 9110 14.2).
///
/// The first piece is read before the answer begins, so that a failure to have it is an answer of its own.
pub async fn ranged(open: Open, partial: bool, head: bool, deadline: Instant) -> Result<Response, Error> {
    match open {
        Open::Opened(Opened { layer, range, mut bytes }) => {
            let body = if head { empty() } else { self::layer(bytes.next().await?, bytes, deadline) };
            let mut response = Response::new(body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(oci::MediaType::OCTET_STREAM));
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
            insert(&mut response, header::ETAG, &etag(&layer.digest));
            if partial {
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let last = range.end.saturating_sub(1);
                insert(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{last}/{}", range.start, layer.size));
            }
            Ok(response)
        }
        Open::Unsatisfiable { size } => {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            Ok(response)
        }
    }
}

/// The entity tag of content that its digest names.
pub fn etag(digest: &oci::Digest) -> String {
    format!("\"{digest}\"")
}

/// Sets a header whose value is of our own making: digests, paths of valid names, numbers.
pub fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The same for a header that may stand there already, once for each of its values.
pub fn append(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}

/// A layer's bytes as a body. An error in their midst is logged here, and breaks the connection off, so that no client takes a
/// part for the whole; so does the `deadline`.
fn layer(first: Option<Bytes>, bytes: registry::layer::Bytes, deadline: Instant) -> Body {
    let first = first.map(|piece| Ok(Frame::data(piece)));
    let rest = stream::unfold(Some(bytes), move |bytes| async move {
        let mut bytes = bytes?;
        match timeout_at(deadline, bytes.next()).await {
            Ok(Ok(piece)) => piece.map(|piece| (Ok(Frame::data(piece)), Some(bytes))),
            Ok(Err(error)) => {
                // What marked a damaged layer has said so.
                if !matches!(error, Error::LayerDamaged { .. }) {
                    tracing::error!("A layer broke off while it was sent: {}", Chain(&error));
                }
                Some((Err(std::io::Error::other(error)), None))
            }
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    });
    let pieces = stream::iter(first).chain(rest);
    StreamBody::new(pieces).boxed_unsync()
}

/// An error and its causes in one line, for the log.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// A request's body, read piece by piece. Bytes that come slower than the least [`Pace`], that are fewer than was declared, or
/// that take longer than the longest request are [`Error::BodyTruncated`].
pub struct RequestBody {
    body: Incoming,
    /// Content-Length.
    declared: Option<u64>,
    received: u64,
    /// The client waits for `100 Continue` until the first piece is asked for.
    waits: bool,
    pace: Pace,
    deadline: Instant,
}

impl RequestBody {
    pub fn new(body: Incoming, headers: &HeaderMap, deadline: Instant) -> RequestBody {
        let declared = body.size_hint().exact();
        let waits = headers.contains_key(header::EXPECT);
        RequestBody { body, declared, received: 0, waits, pace: Pace::default(), deadline }
    }

    /// Content-Length, or 0 for a request that has no body at all; `None` for a body of unknown length.
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Whether nothing is left to read.
    pub fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Reads and drops in the background what is left, within bounds: a client that still writes when its connection closes
    /// reports a broken pipe instead of our answer. One that waits for `100 Continue` has sent nothing.
    pub fn discard(self) {
        self.discard_within(DISCARD_BYTES);
    }

    /// The same for a client that did not say who it is: less, since anyone can be one.
    pub fn discard_strangers(self) {
        self.discard_within(STRANGERS_DISCARD_BYTES);
    }

    fn discard_within(mut self, most: u64) {
        if self.body.is_end_stream() || self.waits {
            return;
        }
        tokio::spawn(async move {
            let drain = async {
                let mut dropped = 0;
                while let Some(Ok(frame)) = self.body.frame().await {
                    dropped += frame.data_ref().map_or(0, |piece| piece.len() as u64);
                    if dropped > most {
                        break;
                    }
                }
            };
            // A client that is too slow loses its answer, nothing else.
            let _ = timeout(DISCARD_TIME, drain).await;
        });
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let began = Instant::now();
            let until = self.deadline.min(began + self.pace.left());
            let frame = timeout_at(until, self.body.frame()).await;
            self.pace.waited(began.elapsed());
            let frame = frame.map_err(|_| truncated("too few bytes came in time"))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| truncated("the connection ended before the body did"))?;
            // Trailers carry nothing that an upload needs.
            if let Ok(piece) = frame.into_data() {
                self.pace.moved(piece.len() as u64);
                return Ok(Some(piece));
            }
        }
    }
}

#[async_trait::async_trait]
impl Source for RequestBody {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.waits = false;
        let piece = self.piece().await?;
        match &piece {
            Some(piece) => self.received += piece.len() as u64,
            None if self.declared.is_some_and(|declared| declared != self.received) => {
                return Err(truncated("it has another length than its Content-Length says"));
            }
            None => {}
        }
        Ok(piece)
    }
}

fn truncated(why: &str) -> Error {
    Error::BodyTruncated(why.to_owned())
}
