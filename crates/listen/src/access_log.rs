//! The access log: one line for each request, written when its response has ended, together with its metrics.

use crate::app::App;
use crate::body::{Body, Response, Transfer};
use crate::connections::RequestGuard;
use crate::door::Door;
use crate::loggable;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The log target of access lines.
pub const TARGET: &str = "ecru::access";

/// The caller's ARN, for the access line. A door sets it in its response's extensions.
#[derive(Clone, Debug)]
pub struct CalledBy(pub String);

/// Which operation of the AWS API a call was, for its line; as [`CalledBy`]. Operations of several services have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// The service's signing name, such as `ecr`.
    pub service: &'static str,
    pub operation: &'static str,
}

/// Why a call was refused, for its line; as [`CalledBy`].
#[derive(Clone, Debug)]
pub struct RefusedFor {
    /// The error's name, as the client reads it.
    code: &'static str,
    reason: Box<str>,
}

impl RefusedFor {
    pub fn new(code: &'static str, reason: &str) -> RefusedFor {
        RefusedFor { code, reason: loggable::sentence(reason).into() }
    }
}

/// The access line of one request. It begins with the request's head and is written when dropped.
pub struct Line {
    app: Arc<App>,
    /// Keeps the request counted in its connection until the line is written.
    request: RequestGuard,
    door: Door,
    method: Method,
    /// The part of the path that may be logged.
    path: String,
    user_agent: String,
    request_id: String,
    peer: IpAddr,
    began: Instant,
    /// `None` until the handler has returned a response.
    status: Option<StatusCode>,
    called: Option<Called>,
    caller: Option<String>,
    refused: Option<RefusedFor>,
    /// Bytes of the response's body that were sent.
    sent: u64,
    /// Whether the whole body was sent.
    whole: bool,
}

/// The status that is logged if the client hung up before a response. It is never sent.
pub const HUNG_UP: u16 = 499;

impl Line {
    pub fn begin(
        app: &Arc<App>,
        connection: RequestGuard,
        door: Door,
        request: (&Method, &Uri),
        origin: &kernel::RequestOrigin,
    ) -> Line {
        Line {
            app: app.clone(),
            request: connection,
            door,
            method: request.0.clone(),
            path: loggable::path(request.1),
            user_agent: origin.user_agent.clone(),
            request_id: origin.request_id.clone(),
            peer: origin.address,
            began: Instant::now(),
            status: None,
            called: None,
            caller: None,
            refused: None,
            sent: 0,
            whole: false,
        }
    }

    /// Attaches the line to a response, so that it is written when the body has been sent or dropped.
    pub fn end_with(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        self.called = response.extensions().get::<Called>().copied();
        if response.extensions().get::<Transfer>().is_some() {
            self.request.transfers();
        }
        self.caller = response.extensions().get::<CalledBy>().map(|caller| caller.0.clone());
        self.refused = response.extensions().get::<RefusedFor>().cloned();
        // hyper stops polling the body after this many bytes, so the end is recognized by the count.
        let length =
            response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        response.map(|body| {
            let length = length.or(body.size_hint().exact());
            Counted { body, length, line: self }.boxed_unsync()
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let status = self.status.map_or(HUNG_UP, |status| status.as_u16());
        self.app.metrics.answered(self.door, status, took);
        tracing::info!(
            target: TARGET,
            door = self.door.0,
            http.method = self.method.as_str(),
            url.path = self.path,
            http.status = status,
            http.bytes = self.sent,
            http.whole = self.whole,
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            service = self.called.map_or("-", |called| called.service),
            operation = self.called.map_or("-", |called| called.operation),
            caller = self.caller.as_deref().unwrap_or("-"),
            refusal.code = self.refused.as_ref().map(|refused| refused.code),
            refusal.reason = self.refused.as_ref().map(|refused| &*refused.reason),
            peer = %self.peer,
            user_agent = self.user_agent,
            request.id = self.request_id,
            "request"
        );
    }
}

/// Returns a request's User-Agent, made safe to log.
pub fn user_agent(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).map_or_else(String::new, |value| loggable::user_agent(value.as_bytes()))
}

/// A body that counts the bytes taken from it.
struct Counted {
    body: Body,
    /// Length of the body, if known.
    length: Option<u64>,
    line: Line,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.line.sent += frame.data_ref().map_or(0, |piece| piece.len() as u64),
            Poll::Ready(None) => self.line.whole = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // The response to a HEAD has no body, so it is always complete.
        self.line.whole |= self.line.method == Method::HEAD || self.length == Some(self.line.sent);
    }
}
