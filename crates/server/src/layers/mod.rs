//! Signed layer URLs: `GET /layers/…`. They ignore Authorization; the URL itself is the right to read one layer until it expires.
use crate::app::App;
use crate::body::{self, Chain, Request, RequestBody, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use oci::ByteRange;
use registry::{Error, layer, layer_url};
use std::sync::Arc;
use tokio::time::Instant;

/// What every path of this door begins with.
pub const PREFIX: &str = "/layers/";

/// Answers any request whose path begins with [`PREFIX`].
pub async fn handle(app: &Arc<App>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let deadline = Instant::now() + app.system.limits.request_time;
    RequestBody::new(body, &head.headers, deadline).discard_strangers();
    answer(app, &head, deadline).await.unwrap_or_else(|(status, text)| refused(status, text))
}

/// Why a layer is not sent.
type Refused = (StatusCode, &'static str);

async fn answer(app: &App, head: &Parts, deadline: Instant) -> Result<Response, Refused> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "A layer URL is read by GET"));
    }
    let id = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let signed = layer_url::verify(&app.system, id, head.uri.query().unwrap_or_default()).map_err(|why| match why {
        layer_url::InvalidLayerUrl::Signature => (StatusCode::FORBIDDEN, "The signature of this URL is not right"),
        layer_url::InvalidLayerUrl::Expired => (StatusCode::FORBIDDEN, "This URL has expired"),
    })?;
    let range = match head.headers.get(header::RANGE).and_then(|value| value.to_str().ok()) {
        Some(value) => {
            ByteRange::parse(value).map_err(|_| (StatusCode::RANGE_NOT_SATISFIABLE, "Only one range is served"))?
        }
        None => None,
    };
    let open = layer::open_by_id(&app.system, signed.layer_id, range).await.map_err(unreadable)?;
    let open = open.ok_or((StatusCode::NOT_FOUND, "The layer is gone"))?;
    body::ranged(open, range.is_some(), head.method == Method::HEAD, deadline).await.map_err(unreadable)
}

/// The store can't give the layer now. Load is no fault, and not logged as one.
fn unreadable(error: Error) -> Refused {
    if !matches!(error, Error::Busy) {
        tracing::error!("A layer could not be read for its URL: {}", Chain(&error));
    }
    (StatusCode::SERVICE_UNAVAILABLE, "The layer can't be read now")
}

fn refused(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(body::full(format!("{text}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"))),
        StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
        _ => {}
    }
    response
}
