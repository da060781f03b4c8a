//! Sockets, connections, and which door a request goes to.
use crate::access_log::{Door, Line, user_agent};
use crate::addresses::Scheme;
use crate::app::App;
use crate::body::{Chain, Request, RequestBody, Response, plain};
use crate::connection::{self, Spoken, Stop};
use crate::local_only::{self, Answers, NotLocal};
use crate::tls::Tls;
use crate::{call, docker, front_page, handler, layers};
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::body::Body as _;
use registry::Origin;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

/// Connections at once, over all listeners of the doors; more wait to be accepted.
pub const CONNECTIONS: usize = 4096;
/// Connections at once to a listener of its own for metrics and health. Clients of the doors can't take them.
const METRICS_CONNECTIONS: usize = 64;
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// How long running requests may go on after the server was told to stop; Kubernetes kills after 30 s.
pub const DRAIN_TIME: Duration = Duration::from_secs(25);
/// How much longer the handlers may go on whose connections were cut off: their transactions end before their store closes.
const HANDLERS_DRAIN_TIME: Duration = Duration::from_secs(1);
/// Bytes of a body at most that its connection's own task takes: it came with the request's head, or comes in a few reads.
const SMALL_BODY_BYTES: u64 = 64 * 1024;
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
/// [`DRAIN_TIME`] to end, and what still runs is cut off; their handlers have [`HANDLERS_DRAIN_TIME`] more.
pub async fn serve(app: Arc<App>, listeners: Vec<Listener>, mut stop: watch::Receiver<bool>) {
    let (cut, cut_off) = watch::channel(false);
    // Every connection holds a sender, so the receiver hears when the last of them is gone.
    let (open, mut closed) = mpsc::channel(1);
    // The same for everything that runs.
    let (running, mut ended) = mpsc::channel(1);
    let doors = Arc::new(Semaphore::new(CONNECTIONS));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let permits = match listener.serves {
            Serves::Everything | Serves::Doors => doors.clone(),
            Serves::Metrics => Arc::new(Semaphore::new(METRICS_CONNECTIONS)),
        };
        let ends = Ends { stop: Stop::new(stop.clone()), cut_off: cut_off.clone(), open: open.clone() };
        accepting.spawn(accept(app.clone(), listener, permits, ends, running.clone()));
    }
    drop(running);
    // An error means that whoever could say stop is gone.
    let _ = stop.wait_for(|stop| *stop).await;
    app.health.drain();
    accepting.shutdown().await;
    let count = open.strong_count() - 1;
    drop(open);
    let until = Instant::now() + DRAIN_TIME;
    if timeout_at(until, closed.recv()).await.is_err() {
        tracing::warn!(connections = count, "Requests that did not end in {} s are cut off", DRAIN_TIME.as_secs());
        cut.send_replace(true);
    }
    // Also those whose clients hung up.
    if timeout_at(until + HANDLERS_DRAIN_TIME, ended.recv()).await.is_err() {
        tracing::warn!("Handlers of requests that were cut off still run");
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
async fn accept(app: Arc<App>, listener: Listener, permits: Arc<Semaphore>, ends: Ends, running: Running) {
    let address: Arc<str> = listener.address.to_string().into();
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
        let connection = Connection {
            app: app.clone(),
            peer,
            local: address.clone(),
            serves: listener.serves,
            tls: listener.tls.is_some(),
            running: running.clone(),
        };
        let (tls, Ends { stop, mut cut_off, open }) = (listener.tls.clone(), ends.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection.serve(stream, tls, stop) => {}
                _ = cut_off.wait_for(|cut| *cut) => {}
            }
            drop((open, permit));
        });
    }
}

/// One connection's facts.
#[derive(Clone)]
struct Connection {
    app: Arc<App>,
    peer: SocketAddr,
    /// Its listener's address.
    local: Arc<str>,
    serves: Serves,
    /// Whether its listener speaks TLS.
    tls: bool,
    running: Running,
}

/// What a connection and a handler hold while they run.
type Running = mpsc::Sender<Infallible>;

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<Tls>, stop: Stop) {
        let traffic = self.app.metrics.traffic().clone();
        let peer = self.peer;
        let answer = move |request, spoken| self.clone().answer(request, spoken);
        if let Err(error) = connection::serve(stream, tls.as_ref(), &traffic, stop, answer).await {
            // A client that went away, or spoke something else: what could be answered was.
            tracing::debug!(%peer, "A connection ended early: {}", Chain(&error));
        }
    }

    /// Answers one request.
    async fn answer(self, mut request: Request, spoken: Spoken) -> Response {
        let mut origin = self.origin(request.headers());
        self.app.trusted_proxies.apply(&mut origin, &mut request);
        let route = match spoken {
            Spoken::AsListened => route(self.serves, request.uri().path()),
            Spoken::PlainToTls => Route::PlainToTls,
        };
        let line = Line::begin(&self.app, route.door(), (request.method(), request.uri()), &origin);
        let request_id = origin.request_id.clone();
        let is_small = request.body().size_hint().upper().is_some_and(|bytes| bytes <= SMALL_BODY_BYTES);
        let span = tracing::info_span!("request", request.id = request_id);
        let (app, running) = (self.app, self.running);
        // In its box from the start: it is the largest part of a request's future, which hyper moves several times.
        let handler = Box::pin(async move {
            let response = handle(app, route, request, origin).await;
            drop(running);
            response
        });
        let handler = handler.instrument(span);
        let handled = if is_small { handler::inline(handler).await } else { handler::beside(handler).await };
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
            listener: self.local.clone(),
            tls: self.tls,
            user_agent: user_agent(headers),
            request_id: uuid::Uuid::from_bytes(self.app.system.id()).hyphenated().to_string(),
        }
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
    /// `/v1/`, the registry API of another age.
    Retired,
    Nowhere,
    /// Plain HTTP came to a listener of TLS.
    PlainToTls,
}

impl Route {
    fn door(self) -> Door {
        match self {
            Route::Aws => Door::Aws,
            Route::Docker | Route::Retired => Door::Docker,
            Route::Layers => Door::Layers,
            Route::Live | Route::Ready | Route::Metrics => Door::Process,
            Route::Nowhere | Route::PlainToTls => Door::Nowhere,
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
        _ if path.starts_with("/v1/") => Route::Retired,
        _ if path.starts_with(layers::PREFIX) => Route::Layers,
        _ => Route::Nowhere,
    }
}

/// Tells a client that `--dev` does not answer it, in the form of its door.
fn refuse(route: Route, head: &Parts, not_local: &NotLocal, origin: &Origin) -> Response {
    match route {
        Route::Aws => call::refuse_not_local(head, not_local, &origin.request_id),
        Route::Docker | Route::Retired => docker::refuse_not_local(not_local),
        Route::Layers | Route::Live | Route::Ready | Route::Metrics | Route::Nowhere | Route::PlainToTls => {
            plain(StatusCode::FORBIDDEN, format!("{not_local}\n"))
        }
    }
}

async fn handle(app: Arc<App>, route: Route, request: Request, origin: Origin) -> Response {
    let (head, body) = request.into_parts();
    let open = matches!(route, Route::Live | Route::Ready | Route::PlainToTls);
    if app.answers == Answers::LocalOnly
        && !open
        && let Some(not_local) = local_only::find(&app.addresses, &head)
    {
        RequestBody::new(body, &head.headers, Instant::now()).discard_strangers();
        return refuse(route, &head, &not_local, &origin);
    }
    if let Some(foreign) = of_another_service(route, &head) {
        RequestBody::new(body, &head.headers, Instant::now()).discard_strangers();
        return foreign.answer(&origin.request_id);
    }
    let request = Request::from_parts(head, body);
    match route {
        Route::Aws => root(&app, request, origin).await,
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
        Route::Retired => docker::retired(),
        Route::Nowhere => nowhere(request.uri().path()),
        Route::PlainToTls => connection::plain_to_tls(),
    }
}

/// The call of an AWS service that is not here, by the paths of its REST API. The AWS door tells those at `/` itself.
fn of_another_service(route: Route, head: &http::request::Parts) -> Option<call::Foreign> {
    match route {
        Route::Nowhere => call::Foreign::read(head),
        Route::Docker | Route::Retired | Route::Layers => call::Foreign::read_header(head),
        Route::Aws | Route::Live | Route::Ready | Route::Metrics | Route::PlainToTls => None,
    }
}

/// The AWS API, or the page that a browser is shown in its place.
async fn root(app: &Arc<App>, request: Request, origin: Origin) -> Response {
    let (head, body) = request.into_parts();
    if front_page::is_asked(&head) {
        return front_page::respond(app, &head, origin.tls);
    }
    call::handle(app, Request::from_parts(head, body), origin).await
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

    #[test]
    fn a_path_leads_to_one_door_and_only_where_the_listener_has_it() {
        for (path, everything, doors, metrics) in [
            ("/", Route::Aws, Route::Aws, Route::Nowhere),
            ("/v2", Route::Docker, Route::Docker, Route::Nowhere),
            ("/v2/", Route::Docker, Route::Docker, Route::Nowhere),
            ("/v2/livez", Route::Docker, Route::Docker, Route::Nowhere),
            ("/v1/_ping", Route::Retired, Route::Retired, Route::Nowhere),
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
