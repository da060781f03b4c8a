//! What answers a request: a door, or the process itself.

use super::Serves;
use crate::app::App;
use crate::body::{Request, RequestBody, Response, plain};
use crate::connection;
use crate::door::{Door, Doors};
use crate::framing::Malformed;
use crate::local_only::{self, Answers};
use http::header::{ALLOW, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use kernel::RequestOrigin;
use std::sync::Arc;
use tokio::time::Instant;

/// What answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<P> {
    Door(P),
    Live,
    Ready,
    Metrics,
    Nowhere,
    /// Plain HTTP at a TLS listener.
    PlainToTls,
    /// The request's head is ambiguous.
    Malformed(Malformed),
    /// All connections are taken, and the request is not for health or metrics.
    NoRoom,
}

impl<P> Route<P> {
    pub(super) fn door<D: Doors<Place = P>>(self, doors: D) -> Door {
        match self {
            Route::Door(place) => doors.door(place),
            Route::Live | Route::Ready | Route::Metrics => Door::PROCESS,
            Route::Nowhere | Route::PlainToTls | Route::Malformed(_) | Route::NoRoom => Door::NOWHERE,
        }
    }

    /// Whether it is also answered on spare connections, when all others are taken.
    pub(super) fn has_spare_places(&self) -> bool {
        matches!(self, Route::Live | Route::Ready | Route::Metrics)
    }
}

pub(super) fn route<D: Doors>(doors: D, serves: Serves, path: &str) -> Route<D::Place> {
    match path {
        "/livez" => Route::Live,
        "/readyz" => Route::Ready,
        "/metrics" if serves != Serves::Doors => Route::Metrics,
        _ if serves == Serves::Metrics => Route::Nowhere,
        _ => doors.find(path).map_or(Route::Nowhere, Route::Door),
    }
}

/// Answers a request by its route.
pub(super) async fn handle<D: Doors>(
    app: Arc<App>,
    doors: D,
    route: Route<D::Place>,
    request: Request,
    origin: RequestOrigin,
) -> Response {
    let (head, body) = request.into_parts();
    let open = matches!(route, Route::Live | Route::Ready | Route::PlainToTls | Route::Malformed(_) | Route::NoRoom);
    // Refuse requests that `--dev` does not serve.
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
    // Tell clients that address another server so.
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

/// Answers what needs no request body.
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

/// Answers a path that no door serves. For `/health` and `/healthz` it points to both checks, because those names don't say which
/// one is meant.
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
