//! Signed layer URLs: `GET /layers/…`. They ignore Authorization: the URL itself grants read access to one layer until it
//! expires.

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use kernel::ErrorChain;
use kernel::{CommonError, Fault as _};
use listen::access_log::RefusedFor;
use listen::app::App;
use listen::body::{self, Request, RequestBody, Response};
use listen::conditional::{self, Condition};
use listen::local_only::NotLocal;
use registry::{Error, layer, layer_url};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// The prefix of every path of this door.
pub use listen::loggable::LAYER_PATH as PREFIX;

/// Answers any request whose path begins with [`PREFIX`].
pub async fn handle(app: &Arc<App>, request: Request, peer: IpAddr) -> Response {
    let (head, body) = request.into_parts();
    let deadline = Instant::now() + app.system.limits.request_time;
    RequestBody::new(body, &head.headers, deadline).discard();
    answer(app, &head, peer, deadline).await.unwrap_or_else(|(status, text)| refused(status, text))
}

/// Refuses a request that `--dev` does not serve, because it comes from another machine.
pub fn refuse_not_local(not_local: &NotLocal) -> Response {
    body::plain(StatusCode::FORBIDDEN, format!("{not_local}\n"))
}

/// The status and text of a refusal.
type Refused = (StatusCode, &'static str);

const GONE: Refused = (StatusCode::NOT_FOUND, "The layer is gone");

async fn answer(app: &App, head: &Parts, peer: IpAddr, deadline: Instant) -> Result<Response, Refused> {
    // Verify the URL and find its layer.
    if head.method != Method::GET && head.method != Method::HEAD {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "A layer URL is read by GET"));
    }
    let id = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let signed = layer_url::verify(&app.system, id, head.uri.query().unwrap_or_default()).map_err(|why| match why {
        layer_url::InvalidLayerUrl::Signature => (StatusCode::FORBIDDEN, "The signature of this URL is not right"),
        layer_url::InvalidLayerUrl::Expired => (StatusCode::FORBIDDEN, "This URL has expired"),
    })?;
    let layer = layer::by_id(&app.system, signed.layer_id).await.map_err(|error| unreadable(app, &error))?;
    let layer = layer.ok_or(GONE)?;
    let etag = body::etag(&layer.digest);
    // Answer preconditions without opening the layer.
    match Condition::of(&head.headers, &etag) {
        Condition::Holds => {}
        Condition::Known => {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            body::insert(&mut response, header::ETAG, &etag);
            return Ok(response);
        }
        Condition::Fails => return Err((StatusCode::PRECONDITION_FAILED, "If-Match names other content")),
    }
    // Open the layer at the range that the client asks for, and send it.
    let (range, open) = match conditional::range(&head.method, &head.headers, &etag) {
        Ok(range) => {
            (range, layer::open_by_id(&app.system, layer.id, range).await.map_err(|error| unreadable(app, &error))?)
        }
        Err(_) => return Err((conditional::SEVERAL_RANGES, "Only one range is served")),
    };
    let open = open.ok_or(GONE)?;
    // A signed URL has no caller, so its buffers are shared out by the client's address.
    let share = app.system.buffers.share(&("layer URL", peer));
    let sent = body::ranged(open, range.is_some(), head.method == Method::HEAD, share, deadline).await;
    sent.map_err(|error| unreadable(app, &error))
}

/// Maps a failure to read the layer. Overload is not a fault and is not logged as an error. A damaged layer was logged when it
/// was marked; from then on it is answered as gone.
fn unreadable(app: &App, error: &Error) -> Refused {
    if let Error::LayerDamaged { .. } = error {
        return GONE;
    }
    let is_load = |error: &CommonError| app.health.outages.refused(error) || matches!(error, CommonError::Busy);
    if !error.common().is_some_and(is_load) {
        tracing::error!("A layer could not be read for its URL: {}", ErrorChain(error));
    }
    let text = match error {
        Error::Common(CommonError::Unavailable { message, .. }) => message,
        _ => "The layer can't be read now",
    };
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

fn refused(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(body::full(format!("{text}\n")));
    *response.status_mut() = status;
    response.extensions_mut().insert(RefusedFor::new("LAYER_URL_REFUSED", text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match status {
        StatusCode::METHOD_NOT_ALLOWED => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"))),
        StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
        _ => {}
    }
    response
}
