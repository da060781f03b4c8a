//! One connection from its first byte to its end: what it speaks, and how long it may take.
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

/// Bytes of a request's head at most (DESIGN "Limits"); more is 431.
pub const HEAD_BYTES: u32 = 64 * 1024;
/// Headers of a request at most; docker sends about ten.
const HEADERS: usize = 100;
/// The longest that the first request's head of a connection may take to come, or a handshake to end: who connects has
/// something to ask.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest that a later request's head may take to come, and that a connection may be idle between two requests: longer than
/// the 90 s after which Go's clients close an idle connection, so that it is they who close.
const HEAD_TIME: Duration = Duration::from_secs(100);
/// Streams at once of an HTTP/2 connection: the least that RFC 9113 6.5.2 recommends.
const STREAMS: u32 = 100;
/// Bytes that a client may send on one HTTP/2 stream, and on all of a connection, before the server has taken them.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 512 * 1024;
/// Bytes of an HTTP/2 frame at most that the server takes. Each connection keeps memory for one; most clients send no larger ones.
const FRAME_BYTES: u32 = 16 * 1024;
/// Bytes that an HTTP/2 stream holds of what it sends, before it asks for more.
const SEND_BYTES: usize = 512 * 1024;
/// How often an HTTP/2 client is asked whether it is there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIME: Duration = Duration::from_secs(20);
/// How long an HTTP/2 client may take to say goodbye, once nothing of it runs.
const GOODBYE_TIME: Duration = Duration::from_secs(5);
/// What a TLS connection begins with: a record of the type "handshake" (RFC 8446 5.1). No HTTP method does.
const TLS_HANDSHAKE: u8 = 0x16;
/// Bytes of a hello to a plain listener that are read before it is answered.
const HELLO_BYTES: usize = 4 * 1024;
/// What a client reads that speaks TLS to a plain listener, or the other way round.
const TLS_TO_PLAIN: &str = "Client sent a TLS handshake to a plain HTTP server";
pub const PLAIN_TO_TLS: &str = "Client sent an HTTP request to an HTTPS server";

/// What a client spoke, beside what its listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    AsListened,
    /// Plain HTTP to a listener of TLS.
    PlainToTls,
}

/// Hears that connections should end once their requests have.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    pub fn new(stop: watch::Receiver<bool>) -> Stop {
        Stop(stop)
    }

    /// Returns when it is time. Whoever could say so being gone is as good.
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
    #[error("it spoke TLS to a plain listener")]
    TlsToPlain,
    #[error("it asked for nothing in time")]
    Silent,
    #[error("it did not take what it asked for")]
    Stalled,
    #[error("HTTP broke")]
    Http(#[from] hyper::Error),
}

/// Serves a connection's requests, each by `answer`, until it ends or it is time to stop.
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
        // It has asked for nothing yet.
        () = stop.wait() => return Ok(()),
    };
    // A handshake is something, so the head that follows has its own time.
    match opened {
        Opened::Plain(wire, spoken) => http1(wire, state, until, stop, |request| answer(request, spoken)).await,
        Opened::Refused(mut wire) => {
            // A hello can come in several segments.
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

/// What is ready for its first request.
enum Opened {
    Plain(Wire<TcpStream>, Spoken),
    Tls(Box<TlsStream<Ahead<Wire<TcpStream>>>>),
    /// It was answered that it speaks what is not understood here.
    Refused(Wire<TcpStream>),
}

/// A stream over a socket, which is reached when the stream's own protocol has ended.
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

/// Serves HTTP/1.1; the first request's head has until `until`.
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
        // Who has said all that it has to say still reads its answer (RFC 9112 9.6); who is gone fails the next write.
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
                // The memory of a large body is hyper's until its connection ends.
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
            // hyper's memory goes with the last reference to it.
            first = Bytes::copy_from_slice(&parts.read_buf);
            drop(parts.read_buf);
            state.begin_anew();
            continue;
        }
        // hyper has answered what it could not read, and has closed the sending half.
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

/// Serves HTTP/2; the first request has until `until`.
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
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        useless = streams.useless() => if useless == Useless::Stalled {
            return Err(Ended::Stalled);
        },
        () = stop.wait() => {}
    }
    // The client hears which of its requests came too late.
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

/// Returns at `until` if there was no request before, and never when one came.
async fn silent(asked: &Notify, until: Instant) {
    if timeout_at(until, asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Answers a TLS hello in plain HTTP: containerd speaks TLS first, and falls back when the answer begins with `HTTP/`
/// (CLIENTS "On the wire").
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

/// The answer to plain HTTP at a listener of TLS, in the words that Go's server has for it.
pub fn plain_to_tls() -> Response {
    let mut response = plain(StatusCode::BAD_REQUEST, format!("{PLAIN_TO_TLS}\n"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response.extensions_mut().insert(ReasonPhrase::from_static(PLAIN_TO_TLS.as_bytes()));
    response
}
