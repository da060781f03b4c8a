//! Accepts connections and routes each request to its door.

mod route;

use crate::access_log::{CalledBy, Line, user_agent};
use crate::addresses::Scheme;
use crate::app::App;
use crate::body::{Inbound, Response, SMALL_BODY_BYTES, plain};
use crate::connection::{self, Spoken, Stop};
use crate::connections::{self, ConnectionLimits, ConnectionState, Connections, STALL_TIME};
use crate::door::Doors;
use crate::framing::{self};
use crate::tls::Tls;
use crate::{handler, outage};
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::body::Incoming;
use kernel::{ErrorChain, RequestOrigin};
use route::{Route, handle, route};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

/// Maximum connections of a separate listener for metrics and health. Clients of the doors can't use them up.
const METRICS_CONNECTIONS: usize = 64;
/// Connections that the system queues until they are accepted.
const BACKLOG: u32 = 1024;
/// How long running requests may continue after the server was told to stop; Kubernetes kills after 30 s.
pub const DRAIN_TIME: Duration = Duration::from_secs(25);
/// How long a client may be stalled while the server stops, before its connection is cut off.
const DRAIN_STALL_TIME: Duration = Duration::from_secs(3);
/// How often a stopping server checks for stalled clients.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often to check for stalled transfers while others wait for buffers or to open files.
const STALL_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How much longer handlers of cut-off connections may run, so that their transactions end before the store closes.
const HANDLERS_DRAIN_TIME: Duration = Duration::from_secs(1);
/// Pause after a failed accept, such as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that is not served yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    serves: Serves,
    /// `None`: plain HTTP.
    tls: Option<Tls>,
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// The doors, health and metrics.
    Everything,
    /// The doors and health: metrics have a separate listener.
    Doors,
    /// Metrics and health.
    Metrics,
}

impl Listener {
    /// Binds an address; port 0 selects a free one. An IPv6 address accepts no IPv4 connections, whatever the system's default
    /// is, so that `[::]` and `0.0.0.0` can be used together.
    pub fn bind(address: SocketAddr, serves: Serves) -> std::io::Result<Listener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => {
                let socket = TcpSocket::new_v6()?;
                rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
                socket
            }
        };
        // Lets a restarted server bind its port while connections of the last process linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Listener { socket, address, serves, tls: None })
    }

    /// Returns the listener with TLS.
    pub fn over(self, tls: Tls) -> Listener {
        Listener { tls: Some(tls), ..self }
    }

    /// Scheme, address and port, such as `https://127.0.0.1:5050`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme().name(), self.address)
    }

    /// The listener's scheme.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// The bound address, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until `stop` turns true or its sender is dropped. Then it accepts no more connections, gives running requests
/// [`DRAIN_TIME`] to end, and cuts off the rest, whose handlers get [`HANDLERS_DRAIN_TIME`] more. Clients that stall meanwhile
/// are cut off after [`DRAIN_STALL_TIME`].
pub async fn serve<D: Doors>(
    app: Arc<App>,
    doors: D,
    listeners: Vec<Listener>,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let (cut, cut_off) = watch::channel(false);
    // Every connection holds a sender, so the receiver ends with the last connection.
    let (open, mut closed) = mpsc::channel(1);
    // The same for connections and handlers together.
    let (running, mut ended) = mpsc::channel(1);
    let traffic = app.metrics.traffic();
    let clients = Connections::new(limits, traffic);
    let mut accepting = JoinSet::new();
    accepting.spawn(end_stalled(app.clone(), clients.clone()));
    // Accept on every listener. A separate metrics listener has its own limit.
    for listener in listeners {
        let connections = match listener.serves {
            Serves::Everything | Serves::Doors => clients.clone(),
            Serves::Metrics => {
                let limits = ConnectionLimits { connections: METRICS_CONNECTIONS, ..limits };
                Connections::new(limits, traffic)
            }
        };
        let ends = Ends { stop: Stop::new(stop.clone()), cut_off: cut_off.clone(), open: open.clone() };
        accepting.spawn(accept((app.clone(), doors), listener, connections, ends, running.clone()));
    }
    drop(running);
    let watched = app.clone();
    accepting.spawn(async move { outage::watch(&watched.health, &watched.system).await });
    // Serve until told to stop; an error means that the sender is gone, which also means stop.
    let _ = stop.wait_for(|stop| *stop).await;
    // Stop accepting, and let running requests end.
    app.health.drain();
    accepting.shutdown().await;
    let count = open.strong_count() - 1;
    drop(open);
    let until = Instant::now() + DRAIN_TIME;
    let drained = async {
        tokio::select! {
            _ = closed.recv() => {}
            () = cut_stalled(&clients) => {}
        }
    };
    if timeout_at(until, drained).await.is_err() {
        tracing::warn!(connections = count, "Requests that did not end in {} s are cut off", DRAIN_TIME.as_secs());
        cut.send_replace(true);
    }
    // Wait for the handlers too, including those whose clients hung up.
    if timeout_at(until + HANDLERS_DRAIN_TIME, ended.recv()).await.is_err() {
        tracing::warn!("Handlers of requests that were cut off still run");
    }
}

/// Ends stalled connections that hold buffers while other transfers wait for buffers or to open files. Runs until aborted.
async fn end_stalled(app: Arc<App>, connections: Arc<Connections>) {
    loop {
        app.system.buffers.starved().await;
        loop {
            let waiting = app.system.buffers.waiting();
            if waiting == 0 {
                break;
            }
            let count = connections.end_stalled(STALL_TIME, true, waiting);
            if count > 0 {
                tracing::warn!(
                    connections = count,
                    "Stalled transfers are cut off: others wait for their buffers or files"
                );
            }
            sleep(STALL_LOOK_EVERY).await;
        }
    }
}

/// Cuts off stalled clients of a stopping server. Never returns.
async fn cut_stalled(connections: &Connections) {
    loop {
        let count = connections.end_stalled(DRAIN_STALL_TIME, false, usize::MAX);
        if count > 0 {
            let seconds = DRAIN_STALL_TIME.as_secs();
            tracing::info!(connections = count, "Clients that took and sent nothing for {seconds} s are cut off");
        }
        sleep(DRAIN_LOOK_EVERY).await;
    }
}

/// The signals that tell a connection to end, and the sender whose drop says that it has.
#[derive(Clone)]
struct Ends {
    stop: Stop,
    cut_off: watch::Receiver<bool>,
    open: Running,
}

/// Accepts connections until aborted.
async fn accept<D: Doors>(
    (app, doors): (Arc<App>, D),
    listener: Listener,
    connections: Arc<Connections>,
    ends: Ends,
    running: Running,
) {
    let address: Arc<str> = listener.address.to_string().into();
    loop {
        // A failure to accept, such as too many open files, passes: pause, and go on.
        let (stream, peer) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %listener.address, %error, "A connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // If all places are taken, another connection is ended. Behind a trusted proxy all clients have one address, which says nothing.
        let proxied = app.trusted_proxies.trusts(peer.ip().to_canonical());
        let place = connections.admit(peer.ip(), proxied).await;
        let connection = Connection {
            app: app.clone(),
            doors,
            peer,
            local: address.clone(),
            serves: listener.serves,
            tls: listener.tls.is_some(),
            state: place.state.clone(),
            running: running.clone(),
        };
        // Serve the connection in a task of its own, until it ends or is ended.
        let (tls, Ends { stop, mut cut_off, open }) = (listener.tls.clone(), ends.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection.serve(stream, tls, stop) => {}
                _ = cut_off.wait_for(|cut| *cut) => {}
                () = place.state.ended() => tracing::debug!(%peer, "A connection was ended, as others need its room"),
            }
            drop::<(Running, connections::Place)>((open, place));
        });
    }
}

/// One connection, as its requests need it.
#[derive(Clone)]
struct Connection<D> {
    app: Arc<App>,
    doors: D,
    peer: SocketAddr,
    /// The listener's address.
    local: Arc<str>,
    serves: Serves,
    /// Whether the listener speaks TLS.
    tls: bool,
    state: Arc<ConnectionState>,
    running: Running,
}

/// Held by connections and handlers while they run; never sends anything.
type Running = mpsc::Sender<Infallible>;

impl<D: Doors> Connection<D> {
    async fn serve(self, stream: TcpStream, tls: Option<Tls>, stop: Stop) {
        let traffic = self.app.metrics.traffic().clone();
        let (peer, state) = (self.peer, self.state.clone());
        let answer = move |request, spoken| self.clone().answer(request, spoken);
        if let Err(error) = connection::serve(stream, tls.as_ref(), &traffic, &state, stop, answer).await {
            // The client went away or spoke another protocol. Whatever could be answered already was.
            tracing::debug!(%peer, "A connection ended early: {}", ErrorChain(&error));
        }
    }

    /// Answers one request.
    async fn answer(self, mut request: http::Request<Incoming>, spoken: Spoken) -> Response {
        let begun = self.state.begin();
        // Check the head, apply a trusted proxy's headers, and find the route.
        let checked = framing::check(&mut request);
        let mut request = request.map(|body| Inbound::new(body, self.state.clone()));
        let mut origin = self.origin(request.headers());
        self.app.trusted_proxies.apply(&mut origin, &mut request);
        let route = match (checked, spoken) {
            (Err(malformed), _) => Route::Malformed(malformed),
            (Ok(()), Spoken::PlainToTls) => Route::PlainToTls,
            (Ok(()), Spoken::AsListened) => match route(self.doors, self.serves, request.uri().path()) {
                route if route.has_spare_places() || !self.state.is_spare() => route,
                _ => Route::NoRoom,
            },
        };
        // Run the handler within the request's log line and span.
        let line = Line::begin(&self.app, begun, route.door(self.doors), (request.method(), request.uri()), &origin);
        let request_id = origin.request_id.clone();
        let is_small = request.body().most().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let span = tracing::info_span!("request", request.id = request_id);
        let (app, doors, state, running) = (self.app, self.doors, self.state, self.running);
        // Boxed from the start: the handler is the largest part of a request's future, which hyper moves several times.
        let handler = Box::pin(async move {
            let response = handle(app, doors, route, request, origin).await;
            drop(running);
            response
        });
        let handler = handler.instrument(span);
        let handled = if is_small { handler::inline(handler).await } else { handler::beside(handler).await };
        let mut response = handled.unwrap_or_else(|error| {
            tracing::error!(request.id = request_id, %error, "A request's handler broke off");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "An internal error occurred\n")
        });
        let headers = response.headers_mut();
        // Add the request id, and say whether the connection ends.
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(HeaderName::from_static("x-amzn-requestid"), id.clone());
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        if state.is_http2() {
            // HTTP/2 forbids connection-specific headers (RFC 9113 8.2.2).
            headers.remove(CONNECTION);
        } else if state.left_body() || state.is_spare() {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.extensions().get::<CalledBy>().is_some() {
            state.become_known();
        }
        line.end_with(response)
    }

    fn origin(&self, headers: &HeaderMap) -> RequestOrigin {
        RequestOrigin {
            address: self.peer.ip().to_canonical(),
            listener: self.local.clone(),
            tls: self.tls,
            user_agent: user_agent(headers),
            request_id: uuid::Uuid::from_bytes(self.app.system.id()).hyphenated().to_string(),
        }
    }
}
