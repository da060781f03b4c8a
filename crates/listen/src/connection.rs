//! Serves one connection from its first byte to its end: detects its protocol and enforces its time limits.

use crate::body::{Response, plain};
use crate::connections::{ConnectionState, LARGE_READ_BYTES};
use crate::http_stream::HttpStream;
use crate::linger::linger;
use crate::metrics::Traffic;
use crate::streams::{Streams, Useless};
use crate::tls::{Ahead, Gathered, Tls, is_challenge, is_http2};
use crate::wire::Wire;
use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::server::TlsStream;

/// Maximum bytes of a request's head (DESIGN "Limits"); a longer one is answered 431.
pub const HEAD_BYTES: u32 = 64 * 1024;
/// Maximum headers of a request; docker sends about ten.
const HEADERS: usize = 100;
/// Maximum time until a connection's first request head arrives, and for a TLS handshake: a client connects because it has a
/// request.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// Maximum time for a later request's head, including the idle time before it. It exceeds the 90 s after which Go's clients close
/// an idle connection, so that the client closes first.
const HEAD_TIME: Duration = Duration::from_secs(100);
/// Maximum concurrent streams of an HTTP/2 connection: the minimum that RFC 9113 6.5.2 recommends.
const STREAMS: u32 = 100;
/// HTTP/2 flow-control windows: bytes that a client may send on one stream, and on a whole connection, before the server reads
/// them.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
/// Maximum bytes of an HTTP/2 frame that the server accepts. Each connection keeps memory for one frame; most clients send no
/// larger ones.
const FRAME_BYTES: u32 = 16 * 1024;
/// Bytes that an HTTP/2 stream buffers for sending before it reads more.
const SEND_BYTES: usize = 512 * 1024;
/// How often an HTTP/2 client is pinged, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);
/// How long an HTTP/2 client may take to close, once it has no open stream.
const GOODBYE_TIME: Duration = Duration::from_secs(5);
/// The first byte of a TLS connection: a record of type "handshake" (RFC 8446 5.1). No HTTP method begins with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// Maximum bytes of a TLS hello that a plain listener reads before it answers.
const HELLO_BYTES: usize = 4 * 1024;
/// The messages to a client that speaks TLS to a plain listener, or plain HTTP to a TLS listener.
const TLS_TO_PLAIN: &str = "Client sent a TLS handshake to a plain HTTP server";
pub const PLAIN_TO_TLS: &str = "Client sent an HTTP request to an HTTPS server";

/// Whether the client speaks the listener's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    AsListened,
    /// Plain HTTP to a TLS listener.
    PlainToTls,
}

/// Signals that connections should end after their current requests.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub fn new(stop: watch::Receiver<bool>) -> Stop {
        Stop(stop)
    }

    /// Returns when the server stops, or when the sender is dropped.
    async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Why a connection ended before its client ended it.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("the stream broke")]
    Io(#[from] io::Error),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the client spoke TLS to a plain listener")]
    TlsToPlain,
    #[error("the client sent no request in time")]
    Silent,
    #[error("the client did not read its answer")]
    Stalled,
    #[error("HTTP broke")]
    Http(#[from] hyper::Error),
}

/// Serves a connection's requests with `answer` until the connection ends or `stop` signals.
pub async fn serve<A, F>(
    stream: TcpStream,
    tls: Option<&Tls>,
    traffic: &Traffic,
    state: &Arc<ConnectionState>,
    mut stop: Stop,
    answer: A,
) -> Result<(), Ended>
where
    A: Fn(http::Request<Incoming>, Spoken) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    stream.set_nodelay(true)?;
    let until = Instant::now() + FIRST_HEAD_TIME;
    let wire = Wire::new(stream, traffic, state.clone());
    // Detect TLS from the first byte, and shake hands if the listener speaks it too.
    let opened = async {
        let mut first = [0];
        wire.stream().peek(&mut first).await?;
        match (tls, first[0] == TLS_HANDSHAKE) {
            (Some(tls), true) => tls
                .accept(Ahead::new(wire, state.clone()))
                .await
                .map(|stream| Opened::Tls(Box::new(stream)))
                .map_err(Ended::Handshake),
            (Some(_), false) => Ok(Opened::Plain(wire, Spoken::PlainToTls)),
            (None, false) => Ok(Opened::Plain(wire, Spoken::AsListened)),
            (None, true) => Ok(Opened::Refused(refuse_hello(wire).await?)),
        }
    };
    let opened = tokio::select! {
        opened = timeout_at(until, opened) => opened.map_err(|_| Ended::Silent)??,
        // No request has arrived yet, so the connection can be dropped.
        () = stop.wait() => return Ok(()),
    };
    // The handshake counts as progress, so the first head gets its own time limit.
    match opened {
        Opened::Plain(wire, spoken) => http1(wire, state, until, stop, |request| answer(request, spoken)).await,
        Opened::Refused(mut wire) => {
            // The hello may arrive in several segments.
            linger(&mut wire).await;
            Err(Ended::TlsToPlain)
        }
        Opened::Tls(mut stream) if is_challenge(&stream) => Ok(stream.shutdown().await?),
        Opened::Tls(stream) => {
            let until = Instant::now() + FIRST_HEAD_TIME;
            let answer = |request| answer(request, Spoken::AsListened);
            let (http2_agreed, stream) = (is_http2(&stream), Gathered(stream));
            if http2_agreed {
                http2(stream, state, until, stop, answer).await
            } else {
                http1(stream, state, until, stop, answer).await
            }
        }
    }
}

/// A connection that is ready for its first request, or was refused.
enum Opened {
    Plain(Wire<TcpStream>, Spoken),
    Tls(Box<TlsStream<Ahead<Wire<TcpStream>>>>),
    /// The client speaks TLS to a plain listener and was answered so.
    Refused(Wire<TcpStream>),
}

/// A stream over a socket that can be unwrapped once the stream's protocol has ended.
trait OverSocket {
    fn into_wire(self) -> Wire<TcpStream>;
}

impl OverSocket for Wire<TcpStream> {
    fn into_wire(self) -> Wire<TcpStream> {
        self
    }
}

impl OverSocket for Gathered<Box<TlsStream<Ahead<Wire<TcpStream>>>>> {
    fn into_wire(self) -> Wire<TcpStream> {
        self.0.into_inner().0.into_inner()
    }
}

/// Serves HTTP/1.1. The first request's head must arrive before `until`.
async fn http1<S, A, F>(
    mut stream: S,
    state: &Arc<ConnectionState>,
    until: Instant,
    mut stop: Stop,
    answer: A,
) -> Result<(), Ended>
where
    S: OverSocket + AsyncRead + AsyncWrite + Unpin,
    A: Fn(http::Request<Incoming>) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    let asked = Notify::new();
    let mut silent = pin!(silent(&asked, until));
    let service = |request| {
        asked.notify_one();
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_header_size(HEAD_BYTES as usize)
        .max_headers(HEADERS)
        .max_buf_size(LARGE_READ_BYTES)
        // A client that closed its sending half may still read its answer (RFC 9112 9.6); if it is gone, the next write fails.
        .half_close(true);
    let (mut first, mut stopping) = (Bytes::new(), false);
    loop {
        let http_stream = HttpStream::new(stream, first, state.clone());
        let mut connection = builder.serve_connection(TokioIo::new(http_stream), service_fn(&service));
        let mut renewed = false;
        let ended = loop {
            tokio::select! {
                ended = &mut connection => break ended,
                () = silent.as_mut() => return Err(Ended::Silent),
                () = stop.wait(), if !stopping => stopping = true,
                // hyper keeps the memory of a large body until its connection ends, so end it and continue with a new one.
                () = state.small_again(), if !stopping => {
                    renewed = true;
                    state.keep_open();
                }
            }
            Pin::new(&mut connection).graceful_shutdown();
        };
        let parts = connection.into_parts();
        stream = parts.io.into_inner().into_inner();
        if renewed && ended.is_ok() && !stopping && !state.left_body() {
            // Copied, because the last reference to hyper's buffer keeps all of its memory.
            first = Bytes::copy_from_slice(&parts.read_buf);
            drop(parts.read_buf);
            state.begin_anew();
            continue;
        }
        // hyper has answered an unreadable request and closed the sending half. Drain what the client still sends.
        let is_unread = state.left_body() || ended.as_ref().is_err_and(hyper::Error::is_parse);
        if is_unread && !state.is_kept_open() {
            let mut wire = stream.into_wire();
            tokio::select! {
                () = linger(&mut wire) => {}
                () = stop.wait(), if !stopping => {}
            }
        }
        return Ok(ended?);
    }
}

/// Serves HTTP/2. The first request must arrive before `until`.
async fn http2<S, A, F>(
    stream: S,
    state: &Arc<ConnectionState>,
    until: Instant,
    mut stop: Stop,
    answer: A,
) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(http::Request<Incoming>) -> F,
    F: Future<Output = Response> + Send + 'static,
{
    // Count the streams, so that a connection without a useful one is ended.
    let streams = Streams::new(until, HEAD_TIME);
    state.over_http2(&streams);
    let stream = HttpStream::new(stream, Bytes::new(), state.clone());
    let service = service_fn(|request| {
        let stream = streams.begin();
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await.map(|body| stream.paced(body))) }
    });
    let mut connection = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .max_header_list_size(HEAD_BYTES)
            .max_send_buf_size(SEND_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIME)
            .serve_connection(TokioIo::new(stream), service)
    );
    // Serve until the client ends the connection, it has no use, or the server stops.
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        useless = streams.useless() => if useless == Useless::Stalled {
            return Err(Ended::Stalled);
        },
        () = stop.wait() => {}
    }
    // Tell the client (GOAWAY) which of its requests came too late, and wait for the others.
    connection.as_mut().graceful_shutdown();
    streams.end_within(GOODBYE_TIME);
    tokio::select! {
        ended = connection.as_mut() => Ok(ended?),
        useless = streams.useless() => match useless {
            Useless::Idle => Ok(()),
            Useless::Stalled => Err(Ended::Stalled),
        },
    }
}

/// Returns at `until` if no request has arrived by then; never returns if one has.
async fn silent(asked: &Notify, until: Instant) {
    if timeout_at(until, asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Answers a TLS hello in plain HTTP: containerd tries TLS first, and falls back if the answer begins with `HTTP/` (CLIENTS "On
/// the wire").
async fn refuse_hello(mut wire: Wire<TcpStream>) -> io::Result<Wire<TcpStream>> {
    let mut hello = vec![0; HELLO_BYTES];
    let _ = wire.read(&mut hello).await?;
    let head = "connection: close\r\ncontent-type: text/plain; charset=utf-8";
    let length = TLS_TO_PLAIN.len() + 1;
    let answer = format!("HTTP/1.1 400 {TLS_TO_PLAIN}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{TLS_TO_PLAIN}\n");
    wire.write_all(answer.as_bytes()).await?;
    wire.shutdown().await?;
    Ok(wire)
}

/// Returns the response to plain HTTP at a TLS listener, in the words of Go's server.
pub fn plain_to_tls() -> Response {
    let mut response = plain(StatusCode::BAD_REQUEST, format!("{PLAIN_TO_TLS}\n"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.extensions_mut().insert(ReasonPhrase::from_static(PLAIN_TO_TLS.as_bytes()));
    response
}
