//! HTTP bodies: one response type for every door, and request bodies as a `registry` source.

use crate::connections::ConnectionState;
use crate::pace::Pace;
use blob::{BufferClaim, BufferShare, Buffers};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, Incoming};
use kernel::{CommonError, ErrorChain};
use registry::Error;
use registry::layer::{LayerOpening, OpenedLayer};
pub use registry::upload::BodySource;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// The body of every response.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;
pub type Response = http::Response<Body>;
/// A request as a door receives it.
pub type Request = http::Request<Inbound>;

/// Maximum bytes of a body whose handler runs in its connection's task: such a body arrives with the head or in a few reads.
pub const SMALL_BODY_BYTES: u64 = 64 * 1024;
/// Maximum bytes of an unread body that are drained to keep the connection open. After a longer one the connection ends, see
/// [`crate::linger`].
const REST_BYTES: u64 = 128 * 1024;
/// Maximum time to drain an unread body; after it the connection ends.
const REST_TIME: Duration = Duration::from_secs(5);

/// A request's body with the connection that it arrives on.
pub struct Inbound {
    incoming: Incoming,
    connection: Arc<ConnectionState>,
}

impl Inbound {
    pub fn new(incoming: Incoming, connection: Arc<ConnectionState>) -> Inbound {
        Inbound { incoming, connection }
    }

    /// Maximum length of the body, if known.
    pub fn most(&self) -> Option<u64> {
        self.incoming.size_hint().upper()
    }
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Returns a plain-text response.
pub fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Returns the response with a layer's bytes, or only its headers for a HEAD: 200, 206 for a `partial` request, or 416 (RFC 9110
/// 14.2).
///
/// The first piece is read before the response begins, so that a read error can still become an error response. A response of at
/// most [`Buffers::SMALL`] bytes is read whole before it begins, and holds no pooled buffer while the client reads it.
///
/// Pooled buffers count against `share`.
pub async fn ranged(
    open: LayerOpening,
    partial: bool,
    head: bool,
    share: BufferShare,
    deadline: Instant,
) -> Result<Response, Error> {
    match open {
        LayerOpening::Opened(OpenedLayer { layer, range, bytes }) => {
            // Read the first piece, or all of a small range.
            let is_small = range.end - range.start <= Buffers::SMALL as u64;
            let mut response = match (head, is_small) {
                (true, _) => Response::new(empty()),
                (false, true) => Response::new(full(small_range(bytes, &share).await?)),
                (false, false) => {
                    let mut pieces = Pieces { bytes, share };
                    let mut response = Response::new(self::layer(pieces.next().await?, pieces, deadline));
                    response.extensions_mut().insert(Transfer);
                    response
                }
            };
            // Describe the bytes, and their place in the layer if only a part was requested.
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
        LayerOpening::Unsatisfiable { size } => {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            insert(&mut response, header::CONTENT_RANGE, &format!("bytes */{size}"));
            Ok(response)
        }
    }
}

/// Returns the entity tag of content with this digest.
pub fn etag(digest: &oci::Digest) -> String {
    format!("\"{digest}\"")
}

/// Sets a header whose value the server made itself: digests, paths of valid names, numbers.
pub fn insert(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Adds a header of which a response may have several.
pub fn append(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(name, value);
    }
}

/// Copies a small range out of the blocks that contain it. The buffer and its claim are released before the response begins, so a
/// client that reads nothing holds neither.
async fn small_range(mut bytes: registry::layer::LayerReader, share: &BufferShare) -> Result<Bytes, Error> {
    // A small layer needs no pooled buffer. A small range may need one, because whole blocks are read.
    let is_pooled = bytes.left_to_read() > Buffers::SMALL as u64;
    let _claim = if is_pooled { Some(share.claim().await?) } else { None };
    let mut copy = Vec::new();
    while let Some(piece) = bytes.next().await? {
        copy.extend_from_slice(&piece);
    }
    Ok(copy.into())
}

/// Streams a layer's bytes as a body. An error midway is logged here and breaks the connection, so that no client mistakes a part
/// for the whole. Reaching the `deadline` breaks it too.
fn layer(first: Option<Bytes>, bytes: Pieces, deadline: Instant) -> Body {
    let first = first.map(|piece| Ok(Frame::data(piece)));
    let rest = stream::unfold(Some(bytes), move |bytes| async move {
        let mut bytes = bytes?;
        match timeout_at(deadline, bytes.next()).await {
            Ok(Ok(piece)) => piece.map(|piece| (Ok(Frame::data(piece)), Some(bytes))),
            // Overload is not a fault.
            Ok(Err(error @ Error::Common(CommonError::Busy))) => {
                tracing::debug!("A layer broke off while it was sent: {}", ErrorChain(&error));
                Some((Err(std::io::Error::other(error)), None))
            }
            Ok(Err(error)) => {
                // A damaged layer was already logged when it was marked.
                if !matches!(error, Error::LayerDamaged { .. }) {
                    tracing::error!("A layer broke off while it was sent: {}", ErrorChain(&error));
                }
                Some((Err(std::io::Error::other(error)), None))
            }
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), None)),
        }
    });
    let pieces = stream::iter(first).chain(rest);
    StreamBody::new(pieces).boxed_unsync()
}

/// A response extension: the body holds pooled buffers of the transfers.
#[derive(Clone, Copy, Debug)]
pub struct Transfer;

/// A layer's bytes on their way to a client. Pieces that the client has not taken count against its share.
struct Pieces {
    bytes: registry::layer::LayerReader,
    share: BufferShare,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let claim = self.share.claim().await?;
        let piece = self.bytes.next().await?;
        Ok(piece.map(|bytes| Bytes::from_owner(Claimed { bytes, _claim: claim })))
    }
}

/// Bytes that release their claim on a share when dropped.
struct Claimed {
    bytes: Bytes,
    _claim: BufferClaim,
}

impl AsRef<[u8]> for Claimed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A request's body, read piece by piece. It fails with [`Error::BodyTruncated`] if bytes arrive slower than the minimum
/// [`Pace`], if fewer arrive than declared, or if the request's deadline passes.
pub struct RequestBody {
    body: Incoming,
    connection: Arc<ConnectionState>,
    /// The body's number within its connection.
    number: u64,
    /// Whether this is a large body of an authorized caller.
    authorized: bool,
    /// Whether the connection reads it in large pieces.
    large: bool,
    /// Content-Length.
    declared: Option<u64>,
    received: u64,
    /// Whether the client still waits for `100 Continue`, which is sent when the first piece is read.
    waits: bool,
    pace: Pace,
    deadline: Instant,
}

impl RequestBody {
    pub fn new(body: Inbound, headers: &HeaderMap, deadline: Instant) -> RequestBody {
        let Inbound { incoming: body, connection } = body;
        let (declared, number) = (body.size_hint().exact(), connection.body_number());
        let waits = headers.contains_key(header::EXPECT);
        let pace = Pace::default();
        RequestBody {
            body,
            connection,
            number,
            authorized: false,
            large: false,
            declared,
            received: 0,
            waits,
            pace,
            deadline,
        }
    }

    /// Marks the caller as authenticated and authorized to send this body. From now on a large body is read in large pieces.
    pub fn authorize(&mut self) {
        self.connection.become_known();
        let large = self.declared.is_none_or(|declared| declared > SMALL_BODY_BYTES);
        if large && !self.authorized {
            self.authorized = true;
            self.connection.begin_transfer();
        }
    }

    /// Content-Length; 0 for a request without a body, `None` for a body of unknown length.
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Whether nothing is left to read.
    pub fn is_empty(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Discards the unread part of the body. A short rest is drained in the background, so that the connection can continue. A
    /// longer rest, or one of unknown length, ends the connection after the response. Over HTTP/2 only the stream ends.
    pub fn discard(mut self) {
        if self.body.is_end_stream() || self.connection.is_http2() {
            return;
        }
        let rest = self.declared.map(|declared| declared.saturating_sub(self.received));
        // A client that waits for `100 Continue` may send the body later, or not at all.
        if self.waits || rest.is_none_or(|rest| rest > REST_BYTES) {
            self.connection.leave_body();
            return;
        }
        tokio::spawn(async move {
            let _waiting = self.connection.waits_for_body(self.number);
            let drain = async {
                while let Some(Ok(frame)) = self.body.frame().await {
                    self.connection.consumed(frame.data_ref().map_or(0, Bytes::len));
                }
            };
            // If the client is too slow, only its connection is lost.
            let _ = timeout(REST_TIME, drain).await;
        });
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let began = Instant::now();
            let until = self.deadline.min(began + self.pace.left());
            if self.authorized && !self.large {
                self.large = self.connection.read_large();
            }
            let waiting = self.connection.waits_for_body(self.number);
            let frame = timeout_at(until, self.body.frame()).await;
            drop(waiting);
            self.pace.waited(began.elapsed());
            let frame = frame.map_err(|_| truncated("too few bytes came in time"))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|_| truncated("the connection ended before the body did"))?;
            // Trailers are ignored: an upload does not use them.
            if let Ok(piece) = frame.into_data() {
                self.pace.moved(piece.len() as u64);
                self.connection.consumed(piece.len());
                return Ok(Some(piece));
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.authorized {
            self.connection.end_transfer();
        }
        if self.large {
            self.connection.read_small();
        }
    }
}

#[async_trait::async_trait]
impl BodySource for RequestBody {
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
