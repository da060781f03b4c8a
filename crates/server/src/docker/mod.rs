//! The Docker/OCI door: `/v2/` (`ECR.md` B, OCI distribution-spec).
//!
//! Every call goes one way: authenticate → parse the path → authorize → handle → encode.

mod blobs;
mod error;
mod manifests;
mod operation;
mod path;
mod query;
mod referrers;
mod repositories;
mod uploads;

pub use operation::{Hints, Operation};
pub use path::Endpoint;

use crate::access_log::CalledBy;
use crate::app::App;
use crate::authenticate::basic;
use crate::body::{self, Chain, Request, RequestBody, Response, insert as set};
use error::Refusal;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use query::Query;
use registry::{Cx, Origin, access};
use std::sync::Arc;
use tokio::time::Instant;

static API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What a handler works with.
struct Call<'a> {
    app: &'a App,
    cx: &'a Cx,
    head: &'a Parts,
    query: Query<'a>,
    body: &'a mut RequestBody,
    /// When the longest request ends.
    deadline: Instant,
}

/// Answers any request whose path is `/v2` or below it.
pub async fn handle(app: &Arc<App>, request: Request, origin: Origin) -> Response {
    let (head, body) = request.into_parts();
    let deadline = Instant::now() + app.system.limits.request_time;
    let mut body = RequestBody::new(body, &head.headers, deadline);
    let tls = origin.tls;
    let mut called_by = None;
    let answered = answer(app, &head, (&mut body, deadline), origin, &mut called_by).await;
    match called_by {
        Some(_) => body.discard(),
        None => body.discard_strangers(),
    }
    let mut response = match answered {
        Ok(response) => response,
        Err(Refused::Challenge) => challenge(app, &head, tls),
        Err(Refused::With(refusal)) => {
            if let Some(fault) = &refusal.fault {
                tracing::error!(http.path = head.uri.path(), "A docker call failed: {}", Chain(fault.as_ref()));
            }
            refusal.into_response()
        }
    };
    response.headers_mut().insert(API_VERSION.clone(), HeaderValue::from_static("registry/2.0"));
    if let Some(arn) = called_by {
        response.extensions_mut().insert(CalledBy(arn));
    }
    response
}

enum Refused {
    /// 401 with how to authenticate.
    Challenge,
    With(Box<Refusal>),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        Refused::With(Box::new(refusal))
    }
}

async fn answer(
    app: &Arc<App>,
    head: &Parts,
    (body, deadline): (&mut RequestBody, Instant),
    origin: Origin,
    called_by: &mut Option<String>,
) -> Result<Response, Refused> {
    let quirks = &app.system.quirks;
    let (caller, registry) = match basic::authenticate(app, head).await {
        Ok(found) => found,
        Err(error) => return Err(error::unauthenticated(error, quirks).map_or(Refused::Challenge, Refused::from)),
    };
    *called_by = Some(caller.arn());
    let endpoint = Endpoint::parse(head.uri.path()).map_err(|path| Refusal::path(path, quirks))?;
    let query = Query(head.uri.query().unwrap_or_default());
    let hints = Hints { digest_without_mount: query.has("digest") && !query.has("mount"), has_body: !body.is_empty() };
    let operation = Operation::find(&head.method, endpoint, hints).map_err(Refusal::method_not_allowed)?;
    let cx = Cx { system: app.system.clone(), caller, registry, origin };
    access::authorize(&cx, &operation.needs()).await.map_err(|error| error::refuse(error, quirks))?;
    let call = Call { app, cx: &cx, head, query, body, deadline };
    let pushes = operation.pushes();
    let response = run(call, operation).await.map_err(|refusal| if pushes { refusal.with_cure() } else { refusal })?;
    Ok(unless_known(head, response))
}

async fn run(call: Call<'_>, operation: Operation) -> Result<Response, Refusal> {
    match operation {
        Operation::Ping => Ok(ping()),
        Operation::Catalog => repositories::catalog(call).await,
        Operation::ListTags { name } => repositories::tags(call, &name).await,
        Operation::GetManifest { name, reference, head } => manifests::get(call, &name, &reference, head).await,
        Operation::PutManifest { name, reference } => manifests::put(call, &name, &reference).await,
        Operation::DeleteManifest { name, reference } => manifests::delete(call, &name, &reference).await,
        Operation::ListReferrers { name, digest } => referrers::list(call, &name, &digest).await,
        Operation::HeadBlob { name, digest } => blobs::head(call, &name, &digest).await,
        Operation::GetBlob { name, digest } => blobs::get(call, &name, &digest).await,
        Operation::DeleteBlob { name, digest } => blobs::delete(call, &name, &digest).await,
        Operation::StartUpload { name, whole } => uploads::start(call, &name, whole).await,
        Operation::AppendUpload { name, id } => uploads::append(call, &name, &id).await,
        Operation::CompleteUpload { name, id, .. } => uploads::complete(call, &name, &id).await,
        Operation::UploadStatus { name, id } => uploads::status(call, &name, &id).await,
        Operation::CancelUpload { name, id } => uploads::cancel(call, &name, &id).await,
    }
}

impl Call<'_> {
    fn refuse(&self, error: registry::Error) -> Refusal {
        error::refuse(error, &self.cx.quirks)
    }
}

/// The same answer, or 304 where the client has this content already (RFC 9110 13.1.2).
fn unless_known(head: &Parts, mut response: Response) -> Response {
    let Some(etag) = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok()) else { return response };
    if response.status() != StatusCode::OK || !knows(&head.headers, etag) {
        return response;
    }
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.map(|_| body::empty())
}

/// Whether the client says that it has the content of that entity tag.
fn knows(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').map(|tag| tag.trim()).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// `docker login` asks for this.
fn ping() -> Response {
    let mut response = http::Response::new(body::full("{}"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The challenge of `ECR.md` B.1, with the address that the client used.
fn challenge(app: &App, head: &Parts, tls: bool) -> Response {
    let realm = app.addresses.reached_at(basic::host(head), tls);
    let mut response = http::Response::new(body::full("Not Authorized\n"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let challenge = format!("Basic realm=\"{realm}/\",service=\"ecr.amazonaws.com\"");
    set(&mut response, header::WWW_AUTHENTICATE, &challenge);
    error::give_reason(&mut response, "Not Authorized");
    response
}

/// An answer without a body.
fn bare(status: StatusCode) -> Response {
    let mut response = http::Response::new(body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// An answer in JSON.
fn json(value: &serde_json::Value, content_type: &'static str) -> Response {
    let mut response = http::Response::new(body::full(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
