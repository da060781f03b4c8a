//! Sends requests to other servers over reused connections, with bodies streamed in both directions.

use super::{ANSWER_TIME, Authorities, OutboundError, Trust, dial, to_origin_form};
use bytes::Bytes;
use futures_util::Stream;
use http::{Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kernel::lock;
use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Maximum idle connections to one server.
const MAX_IDLE: usize = 8;

type BoxError = Box<dyn Error + Send + Sync>;
/// A request's body.
pub type Payload = UnsyncBoxBody<Bytes, BoxError>;

/// Returns a body of these bytes.
pub fn whole(bytes: impl Into<Bytes>) -> Payload {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body that is sent as the stream yields it. An error of the stream aborts the request.
pub fn streamed<S, E>(stream: S) -> Payload
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<BoxError>,
{
    use futures_util::StreamExt as _;
    StreamBody::new(stream.map(|piece| piece.map(Frame::data).map_err(Into::into))).boxed_unsync()
}

/// A client for any number of servers. Requests share the trusted authorities and idle connections, but no cookies or
/// credentials.
pub struct Agent {
    authorities: Authorities,
    trust: OnceCell<Trust>,
    /// Idle connections by scheme and authority.
    idle: Mutex<HashMap<String, Vec<SendRequest<Watched>>>>,
}

impl Agent {
    pub fn new(authorities: Authorities) -> Agent {
        Agent { authorities, trust: OnceCell::new(), idle: Mutex::default() }
    }

    /// Sends a request with an absolute URI. Does not follow redirects.
    ///
    /// If an idle connection turns out to be closed before it took the request, sends it once more over a new one. Fails if the
    /// server neither reads the body nor answers for [`ANSWER_TIME`].
    pub async fn send(&self, request: Request<Payload>) -> Result<Response<Incoming>, OutboundError> {
        let uri = request.uri().clone();
        let key = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()));
        let moved = Arc::new(AtomicU64::new(0));
        let mut request = request.map(|inner| Watched { inner, moved: moved.clone() });
        to_origin_form(&mut request);
        loop {
            let kept = self.take_idle(&key);
            let reused = kept.is_some();
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.connect(&uri).await?,
            };
            let sent = unless_stalled(sender.try_send_request(request), &moved).await;
            let Some(sent) = sent else { return Err(OutboundError::Slow { uri }) };
            match sent {
                Ok(response) => {
                    self.keep(key, sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(OutboundError::Broken { uri, source: error.into_error().into() }),
                },
            }
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<SendRequest<Watched>, OutboundError> {
        let opened = async {
            let trust = match uri.scheme_str() {
                Some("https") => Some(self.trust.get_or_try_init(|| async { self.authorities.trust() }).await?.clone()),
                _ => None,
            };
            let stream = dial(uri, || trust.map_or_else(|| self.authorities.trust(), Ok)).await?;
            let broken = |error: hyper::Error| OutboundError::Broken { uri: uri.clone(), source: error.into() };
            let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
            // The connection's errors reach the caller that waits for the answer.
            tokio::spawn(connection);
            Ok(sender)
        };
        timeout(ANSWER_TIME, opened).await.unwrap_or_else(|_| Err(OutboundError::Slow { uri: uri.clone() }))
    }

    /// Takes an idle connection that is ready for a request: its last answer was read completely.
    fn take_idle(&self, key: &str) -> Option<SendRequest<Watched>> {
        let mut idle = lock(&self.idle);
        let kept = idle.get_mut(key)?;
        kept.retain(|sender| !sender.is_closed());
        let ready = kept.iter().position(SendRequest::is_ready)?;
        Some(kept.swap_remove(ready))
    }

    fn keep(&self, key: String, sender: SendRequest<Watched>) {
        let mut idle = lock(&self.idle);
        let kept = idle.entry(key).or_default();
        if kept.len() < MAX_IDLE {
            kept.push(sender);
        }
    }
}

/// Waits for an answer while the request's body makes progress; `None` after [`ANSWER_TIME`] without progress.
async fn unless_stalled<T>(answer: impl Future<Output = T>, moved: &AtomicU64) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        let before = moved.load(Ordering::Relaxed);
        match timeout(ANSWER_TIME, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if moved.load(Ordering::Relaxed) == before => return None,
            Err(_) => {}
        }
    }
}

/// Reads an answer's whole body.
///
/// Fails if it exceeds `limit` bytes or takes longer than [`ANSWER_TIME`].
pub async fn read(response: Response<Incoming>, limit: usize, uri: &Uri) -> Result<Response<Bytes>, OutboundError> {
    let (parts, body) = response.into_parts();
    match timeout(ANSWER_TIME, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(Response::from_parts(parts, body.to_bytes())),
        Ok(Err(source)) => Err(OutboundError::Broken { uri: uri.clone(), source }),
        Err(_) => Err(OutboundError::Slow { uri: uri.clone() }),
    }
}

/// Streams an answer's body. Fails if no piece arrives for [`ANSWER_TIME`].
pub fn pieces(body: Incoming, uri: Uri) -> impl Stream<Item = Result<Bytes, OutboundError>> + Send {
    futures_util::stream::unfold(Some(body), move |body| {
        let uri = uri.clone();
        async move {
            let mut body = body?;
            loop {
                return match timeout(ANSWER_TIME, body.frame()).await {
                    Ok(None) => None,
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => Some((Ok(data), Some(body))),
                        Err(_trailers) => continue,
                    },
                    Ok(Some(Err(error))) => Some((Err(OutboundError::Broken { uri, source: error.into() }), None)),
                    Err(_) => Some((Err(OutboundError::Slow { uri }), None)),
                };
            }
        }
    })
}

/// A body that counts its progress, so that a slow request can be told from a stalled one.
struct Watched {
    inner: Payload,
    moved: Arc<AtomicU64>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if polled.is_ready() {
            self.moved.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
