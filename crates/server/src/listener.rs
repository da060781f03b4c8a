//! Sockets, connections, and which door a request goes to.
use crate::access_log::{Door, Line, user_agent};
use crate::app::App;
use crate::body::{Request, Response, full};
use crate::wire::Wire;
use crate::{call, docker, layers};
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use registry::Origin;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Instrument as _;

/// Connections at once, over all listeners of the doors; more wait to be accepted.
pub const CONNECTIONS: usize = 4096;
/// Connections at once to a listener of its own for metrics and health. Clients of the doors can't take them.
const METRICS_CONNECTIONS: usize = 64;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// Bytes of a request's head at most (DESIGN "Limits"); more is 431.
pub const HEAD_BYTES: usize = 64 * 1024;
/// Headers of a request at most; docker sends about ten.
const HEADERS: usize = 100;
/// The longest that the first request's head of a connection may take to come: who connects has something to ask.
const FIRST_HEAD_TIME: Duration = Duration::from_secs(10);
/// The longest that a later request's head may take to come, and that a connection may be idle between two requests: longer than
/// the 90 s after which Go's clients close an idle connection, so that it is they who close.
const HEAD_TIME: Duration = Duration::from_secs(100);
/// Bytes that a connection buffers of what it reads, and of small writes.
const BUFFER_BYTES: usize = 256 * 1024;
/// How long running requests may go on after the server was told to stop; Kubernetes kills after 30 s.
pub const DRAIN_TIME: Duration = Duration::from_secs(25);
/// How much longer the handlers may go on whose connections were cut off: their transactions end before their store closes.
const HANDLERS_DRAIN_TIME: Duration = Duration::from_secs(1);
/// How long to wait when no connection can be accepted, as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens and is not served yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    serves: Serves,
}

/// What a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The doors, health and metrics.
    Everything,
    /// The doors and health: metrics have a listener of their own.
    Doors,
    /// Metrics and health.
    Metrics,
}

impl Listener {
    /// Binds an address; port 0 takes a free one. An IPv6 address takes no IPv4 connections, whatever the system's default is,
    /// so that `[::]` and `0.0.0.0` go together.
    pub fn bind(address: SocketAddr, serves: Serves) -> std::io::Result<Listener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => {
                let socket = TcpSocket::new_v6()?;
                rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
                socket
            }
        };
        // A restart finds its port free though connections of the last process linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address, serves })
    }

    /// The address with the port that was really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until `stop` turns true or its sender is dropped. Then no more connections are accepted, running requests have
/// [`DRAIN_TIME`] to end, and what still runs is cut off; their handlers have [`HANDLERS_DRAIN_TIME`] more.
pub async fn serve(app: Arc<App>, listeners: Vec<Listener>, mut stop: watch::Receiver<bool>) {
    let graceful = Arc::new(GracefulShutdown::new());
    let (cut, cut_off) = watch::channel(false);
    // Everything that runs holds a sender, so the receiver hears when nothing runs any more.
    let (running, mut ended) = mpsc::channel(1);
    let doors = Arc::new(Semaphore::new(CONNECTIONS));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let permits = match listener.serves {
            Serves::Everything | Serves::Doors => doors.clone(),
            Serves::Metrics => Arc::new(Semaphore::new(METRICS_CONNECTIONS)),
        };
        let (app, graceful, cut_off, running) = (app.clone(), graceful.clone(), cut_off.clone(), running.clone());
        accepting.spawn(async move { accept(app, listener, &graceful, permits, cut_off, running).await });
    }
    drop(running);
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stop| *stop).await;
    app.health.drain();
    accepting.shutdown().await;
    let Ok(graceful) = Arc::try_unwrap(graceful) else { return };
    let open = graceful.count();
    let until = Instant::now() + DRAIN_TIME;
    if timeout_at(until, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = open, "Requests that did not end in {} s are cut off", DRAIN_TIME.as_secs());
        cut.send_replace(true);
    }
    // Also those whose clients hung up.
    if timeout_at(until + HANDLERS_DRAIN_TIME, ended.recv()).await.is_err() {
        tracing::warn!("Handlers of requests that were cut off still run");
    }
}

/// Accepts connections until it is aborted.
async fn accept(
    app: Arc<App>,
    listener: Listener,
    graceful: &GracefulShutdown,
    permits: Arc<Semaphore>,
    cut_off: watch::Receiver<bool>,
    running: Running,
) {
    loop {
        // Nothing closes the semaphore.
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %listener.address, %error, "A connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (local, serves, running) = (listener.address, listener.serves, running.clone());
        let connection = Connection { app: app.clone(), peer, local, serves, running };
        let (watcher, mut cut_off) = (graceful.watcher(), cut_off.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection.serve(stream, watcher) => {}
                _ = cut_off.wait_for(|cut| *cut) => {}
            }
            drop(permit);
        });
    }
}

/// One connection's facts.
#[derive(Clone)]
struct Connection {
    app: Arc<App>,
    peer: SocketAddr,
    local: SocketAddr,
    serves: Serves,
    running: Running,
}

/// What a connection and a handler hold while they run.
type Running = mpsc::Sender<Infallible>;

impl Connection {
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "A connection was gone before it was served");
            return;
        }
        let io = TokioIo::new(Wire::new(stream, self.app.metrics.traffic()));
        let peer = self.peer;
        let asked = Arc::new(Notify::new());
        let first = asked.clone();
        let service = service_fn(move |request| {
            first.notify_one();
            let connection = self.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_header_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(io, service);
        tokio::select! {
            ended = watcher.watch(connection) => if let Err(error) = ended {
                // A client that went away, or spoke something else: hyper has answered what could be answered.
                tracing::debug!(%peer, %error, "A connection ended early");
            },
            () = silent(&asked) => tracing::debug!(%peer, "A connection asked for nothing in time"),
        }
    }

    /// Answers one request. Its handler runs in a task of its own, so that a client who hangs up does not stop it between two
    /// writes, and a panic costs that one answer.
    async fn answer(self, request: Request) -> Response {
        let origin = self.origin(request.headers());
        let route = route(self.serves, request.uri().path());
        let line = Line::begin(&self.app, route.door(), (request.method(), request.uri()), &origin);
        let request_id = origin.request_id.clone();
        let span = tracing::info_span!("request", request.id = request_id);
        let (app, running) = (self.app, self.running);
        let handler = async move {
            let response = handle(app, route, request, origin).await;
            drop(running);
            response
        };
        let handled = tokio::spawn(handler.instrument(span)).await;
        let mut response = handled.unwrap_or_else(|error| {
            tracing::error!(request.id = request_id, %error, "A request's handler broke off");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "An internal error occurred\n")
        });
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            let headers = response.headers_mut();
            headers.insert(HeaderName::from_static("x-amzn-requestid"), id.clone());
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        line.end_with(response)
    }

    fn origin(&self, headers: &HeaderMap) -> Origin {
        Origin {
            address: self.peer.ip().to_canonical(),
            listener: self.local.to_string(),
            tls: false,
            user_agent: user_agent(headers),
            request_id: uuid::Uuid::from_bytes(self.app.system.id()).hyphenated().to_string(),
        }
    }
}

/// Returns once [`FIRST_HEAD_TIME`] has passed without a first request, and never when one came.
async fn silent(asked: &Notify) {
    if timeout(FIRST_HEAD_TIME, asked.notified()).await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Aws,
    Docker,
    Layers,
    Live,
    Ready,
    Metrics,
    Nowhere,
}

impl Route {
    fn door(self) -> Door {
        match self {
            Route::Aws => Door::Aws,
            Route::Docker => Door::Docker,
            Route::Layers => Door::Layers,
            Route::Live | Route::Ready | Route::Metrics => Door::Process,
            Route::Nowhere => Door::Nowhere,
        }
    }
}

fn route(serves: Serves, path: &str) -> Route {
    match path {
        "/livez" => Route::Live,
        "/readyz" => Route::Ready,
        "/metrics" if serves != Serves::Doors => Route::Metrics,
        _ if serves == Serves::Metrics => Route::Nowhere,
        "/" => Route::Aws,
        "/v2" => Route::Docker,
        _ if path.starts_with("/v2/") => Route::Docker,
        _ if path.starts_with(layers::PREFIX) => Route::Layers,
        _ => Route::Nowhere,
    }
}

async fn handle(app: Arc<App>, route: Route, request: Request, origin: Origin) -> Response {
    match route {
        Route::Aws => call::handle(&app, request, origin).await,
        Route::Docker => docker::handle(&app, request, origin).await,
        Route::Layers => layers::handle(&app, request).await,
        Route::Live | Route::Ready | Route::Metrics if !matches!(*request.method(), Method::GET | Method::HEAD) => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        Route::Live => plain(StatusCode::OK, "ok\n"),
        Route::Ready => match app.health.ready(&app.system).await {
            Ok(()) => plain(StatusCode::OK, "ready\n"),
            Err(problems) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}\n", problems.join("\n"))),
        },
        Route::Metrics => app.metrics.respond(),
        Route::Nowhere => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_door_and_only_where_the_listener_has_it() {
        for (path, everything, doors, metrics) in [
            ("/", Route::Aws, Route::Aws, Route::Nowhere),
            ("/v2", Route::Docker, Route::Docker, Route::Nowhere),
            ("/v2/", Route::Docker, Route::Docker, Route::Nowhere),
            ("/v2/livez", Route::Docker, Route::Docker, Route::Nowhere),
            ("/v2x", Route::Nowhere, Route::Nowhere, Route::Nowhere),
            ("/layers/1", Route::Layers, Route::Layers, Route::Nowhere),
            ("/layers", Route::Nowhere, Route::Nowhere, Route::Nowhere),
            ("/livez", Route::Live, Route::Live, Route::Live),
            ("/readyz", Route::Ready, Route::Ready, Route::Ready),
            ("/metrics", Route::Metrics, Route::Nowhere, Route::Metrics),
            ("//", Route::Nowhere, Route::Nowhere, Route::Nowhere),
            ("", Route::Nowhere, Route::Nowhere, Route::Nowhere),
        ] {
            for (serves, expected) in
                [(Serves::Everything, everything), (Serves::Doors, doors), (Serves::Metrics, metrics)]
            {
                assert_eq!(route(serves, path), expected, "{path} at {serves:?}");
            }
        }
    }
}
