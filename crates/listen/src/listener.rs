//! Sockets, connections, and which door a request goes to.
use crate::access_log::{CalledBy, Line, user_agent};
use crate::addresses::Scheme;
use crate::app::App;
use crate::body::{Chain, Inbound, Request, RequestBody, Response, SMALL_BODY_BYTES, plain};
use crate::connection::{self, Spoken, Stop};
use crate::connections::{self, ConnectionLimits, ConnectionState, Connections, STALL_TIME};
use crate::door::{Door, Doors};
use crate::framing::{self, Malformed};
use crate::local_only::{self, Answers};
use crate::tls::Tls;
use crate::{handler, outage};
use http::header::{ALLOW, CONNECTION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;
use kernel::RequestOrigin;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

/// Connections at once to a listener of its own for metrics and health. Clients of the doors can't take them.
const METRICS_CONNECTIONS: usize = 64;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How long running requests may go on after the server was told to stop; Kubernetes kills after 30 s.
pub const DRAIN_TIME: Duration = Duration::from_secs(25);
/// How long a client may take and send nothing, while the server stops, until its connection is cut off.
const DRAIN_STALL_TIME: Duration = Duration::from_secs(3);
/// How often the server looks for such clients.
const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often stalled transfers are looked for while others wait for buffers, or to open files.
const STALL_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How much longer the handlers may go on whose connections were cut off: their transactions end before their store closes.
const HANDLERS_DRAIN_TIME: Duration = Duration::from_secs(1);
/// How long to wait when no connection can be accepted, as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens and is not served yet.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    serves: Serves,
    /// `None`: plain HTTP.
    tls: Option<Tls>,
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
        Ok(Listener { socket, address, serves, tls: None })
    }

    /// The same listener, speaking TLS.
    pub fn over(self, tls: Tls) -> Listener {
        Listener { tls: Some(tls), ..self }
    }

    /// Scheme, address and port, such as `https://127.0.0.1:5050`.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme().name(), self.address)
    }

    /// What it speaks.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// The address with the port that was really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves until `stop` turns true or its sender is dropped. Then no more connections are accepted, running requests have
/// [`DRAIN_TIME`] to end, and what still runs is cut off; their handlers have [`HANDLERS_DRAIN_TIME`] more. A client that takes and
/// sends nothing while we wait for it is cut off after [`DRAIN_STALL_TIME`].
pub async fn serve<D: Doors>(
    app: Arc<App>,
    doors: D,
    listeners: Vec<Listener>,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<bool>,
) {
    let (cut, cut_off) = watch::channel(false);
    // Every connection holds a sender, so the receiver hears when the last of them is gone.
    let (open, mut closed) = mpsc::channel(1);
    // The same for everything that runs.
    let (running, mut ended) = mpsc::channel(1);
    let traffic = app.metrics.traffic();
    let clients = Connections::new(limits, traffic);
    let mut accepting = JoinSet::new();
    accepting.spawn(end_stalled(app.clone(), clients.clone()));
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
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stop| *stop).await;
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
    // Also those whose clients hung up.
    if timeout_at(until + HANDLERS_DRAIN_TIME, ended.recv()).await.is_err() {
        tracing::warn!("Handlers of requests that were cut off still run");
    }
}

/// Ends connections whose clients hold buffers and do not take or send anything, when transfers wait for buffers or to
/// open files. Runs until it is aborted.
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

/// Cuts clients off that keep a stopping server waiting, until it is dropped.
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

/// How a connection hears that it should end, and says that it has.
#[derive(Clone)]
struct Ends {
    stop: Stop,
    cut_off: watch::Receiver<bool>,
    open: Running,
}

/// Accepts connections until it is aborted.
async fn accept<D: Doors>(
    (app, doors): (Arc<App>, D),
    listener: Listener,
    connections: Arc<Connections>,
    ends: Ends,
    running: Running,
) {
    let address: Arc<str> = listener.address.to_string().into();
    loop {
        let (stream, peer) = match listener.socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = %listener.address, %error, "A connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
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

/// One connection's facts.
#[derive(Clone)]
struct Connection<D> {
    app: Arc<App>,
    doors: D,
    peer: SocketAddr,
    /// Its listener's address.
    local: Arc<str>,
    serves: Serves,
    /// Whether its listener speaks TLS.
    tls: bool,
    state: Arc<ConnectionState>,
    running: Running,
}

/// What a connection and a handler hold while they run.
type Running = mpsc::Sender<Infallible>;

impl<D: Doors> Connection<D> {
    async fn serve(self, stream: TcpStream, tls: Option<Tls>, stop: Stop) {
        let traffic = self.app.metrics.traffic().clone();
        let (peer, state) = (self.peer, self.state.clone());
        let answer = move |request, spoken| self.clone().answer(request, spoken);
        if let Err(error) = connection::serve(stream, tls.as_ref(), &traffic, &state, stop, answer).await {
            // A client that went away, or spoke something else: what could be answered was.
            tracing::debug!(%peer, "A connection ended early: {}", Chain(&error));
        }
    }

    /// Answers one request.
    async fn answer(self, mut request: http::Request<Incoming>, spoken: Spoken) -> Response {
        let begun = self.state.begin();
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
        let line = Line::begin(&self.app, begun, route.door(self.doors), (request.method(), request.uri()), &origin);
        let request_id = origin.request_id.clone();
        let is_small = request.body().most().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let span = tracing::info_span!("request", request.id = request_id);
        let (app, doors, state, running) = (self.app, self.doors, self.state, self.running);
        // In its box from the start: it is the largest part of a request's future, which hyper moves several times.
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
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            headers.insert(HeaderName::from_static("x-amzn-requestid"), id.clone());
            headers.insert(HeaderName::from_static("x-request-id"), id);
        }
        if state.is_http2() {
            // What a header of HTTP/1.1 says of its connection has no meaning there (RFC 9113 8.2.2).
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

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<P> {
    Door(P),
    Live,
    Ready,
    Metrics,
    Nowhere,
    /// Plain HTTP came to a listener of TLS.
    PlainToTls,
    /// The request's head can be read in two ways.
    Malformed(Malformed),
    /// All connections are taken, and the request is not for health or metrics.
    NoRoom,
}

impl<P> Route<P> {
    fn door<D: Doors<Place = P>>(self, doors: D) -> Door {
        match self {
            Route::Door(place) => doors.door(place),
            Route::Live | Route::Ready | Route::Metrics => Door::PROCESS,
            Route::Nowhere | Route::PlainToTls | Route::Malformed(_) | Route::NoRoom => Door::NOWHERE,
        }
    }

    /// Whether it is answered when all connections are taken, too.
    fn has_spare_places(&self) -> bool {
        matches!(self, Route::Live | Route::Ready | Route::Metrics)
    }
}

fn route<D: Doors>(doors: D, serves: Serves, path: &str) -> Route<D::Place> {
    match path {
        "/livez" => Route::Live,
        "/readyz" => Route::Ready,
        "/metrics" if serves != Serves::Doors => Route::Metrics,
        _ if serves == Serves::Metrics => Route::Nowhere,
        _ => doors.find(path).map_or(Route::Nowhere, Route::Door),
    }
}

async fn handle<D: Doors>(
    app: Arc<App>,
    doors: D,
    route: Route<D::Place>,
    request: Request,
    origin: RequestOrigin,
) -> Response {
    let (head, body) = request.into_parts();
    let open = matches!(route, Route::Live | Route::Ready | Route::PlainToTls | Route::Malformed(_) | Route::NoRoom);
    if app.answers == Answers::LocalOnly
        && !open
        && let Some(not_local) = local_only::find(&app.addresses, &head)
    {
        RequestBody::new(body, &head.headers, Instant::now()).discard();
        return match route {
            Route::Door(place) => doors.refuse_not_local(place, &head, &not_local, &origin.request_id),
            _ => plain(StatusCode::FORBIDDEN, format!("{not_local}\n")),
        };
    }
    let misdirected = match route {
        Route::Door(place) => doors.misdirected(Some(place), &head, &origin.request_id),
        Route::Nowhere => doors.misdirected(None, &head, &origin.request_id),
        _ => None,
    };
    if let Some(answer) = misdirected {
        RequestBody::new(body, &head.headers, Instant::now()).discard();
        return answer;
    }
    if let Route::Door(place) = route {
        return doors.handle(place, &app, Request::from_parts(head, body), origin).await;
    }
    RequestBody::new(body, &head.headers, Instant::now()).discard();
    bodiless(&app, route, &head).await
}

/// What is answered without a look at the request's body.
async fn bodiless<P>(app: &App, route: Route<P>, head: &Parts) -> Response {
    match route {
        Route::Live | Route::Ready | Route::Metrics if !matches!(head.method, Method::GET | Method::HEAD) => {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        Route::Live => plain(StatusCode::OK, "ok\n"),
        Route::Ready => match app.health.ready(&app.system).await {
            Ok(()) => plain(StatusCode::OK, "ready\n"),
            Err(problems) => {
                let text = format!("not ready\n{}\n", problems.join("\n"));
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, text);
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                response
            }
        },
        Route::Metrics => app.metrics.respond(),
        Route::PlainToTls => connection::plain_to_tls(),
        Route::Malformed(malformed) => malformed.answer(),
        Route::NoRoom => {
            let mut response =
                plain(StatusCode::SERVICE_UNAVAILABLE, "All connections are taken; try again in a moment\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Route::Nowhere | Route::Door(_) => nowhere(head.uri.path()),
    }
}

/// A path that nothing answers. What other servers call health is two things here, and no name says which is meant.
fn nowhere(path: &str) -> Response {
    let text = match path {
        "/health" | "/healthz" => {
            "404 page not found: /livez says whether the process runs, /readyz whether it can serve\n"
        }
        _ => "404 page not found\n",
    };
    plain(StatusCode::NOT_FOUND, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_only::NotLocal;

    /// A door at `/`.
    #[derive(Clone, Copy)]
    struct Toy;

    impl Doors for Toy {
        type Place = ();
        fn find(self, path: &str) -> Option<()> {
            (path == "/").then_some(())
        }
        fn door(self, _: ()) -> Door {
            Door("toy")
        }
        fn misdirected(self, _: Option<()>, _: &Parts, _: &str) -> Option<Response> {
            None
        }
        fn refuse_not_local(self, _: (), _: &Parts, not_local: &NotLocal, _: &str) -> Response {
            plain(StatusCode::FORBIDDEN, not_local.to_string())
        }
        async fn handle(self, _: (), _: &Arc<App>, _: Request, _: RequestOrigin) -> Response {
            plain(StatusCode::OK, "")
        }
    }

    #[test]
    fn a_path_leads_to_a_door_only_where_the_listener_has_it() {
        for (path, everything, doors, metrics) in [
            ("/", Route::Door(()), Route::Door(()), Route::Nowhere),
            ("/livez", Route::Live, Route::Live, Route::Live),
            ("/readyz", Route::Ready, Route::Ready, Route::Ready),
            ("/metrics", Route::Metrics, Route::Nowhere, Route::Metrics),
            ("//", Route::Nowhere, Route::Nowhere, Route::Nowhere),
            ("", Route::Nowhere, Route::Nowhere, Route::Nowhere),
        ] {
            for (serves, expected) in
                [(Serves::Everything, everything), (Serves::Doors, doors), (Serves::Metrics, metrics)]
            {
                assert_eq!(route(Toy, serves, path), expected, "{path} at {serves:?}");
            }
        }
    }
}
