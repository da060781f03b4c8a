//! The Docker/OCI door: `/v2/` (`ECR.md` B, OCI distribution-spec).
//!
//! Every call takes the same path: authenticate → parse the path → authorize → handle → encode.

mod basic;
mod blobs;
mod error;
mod manifests;
mod operation;
mod path;
mod query;
mod referrers;
mod repositories;
mod uploads;

pub use operation::{Hints, Mount, NoOperation, Operation};
pub use path::Endpoint;

use basic::NoToken;
use error::{About, Refusal};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use kernel::ErrorChain;
use kernel::{Cx, Fault as _, RegistryId, RequestOrigin, access};
use listen::access_log::{CalledBy, RefusedFor};
use listen::addresses::{HostName, host};
use listen::app::App;
use listen::body::{self, Request, RequestBody, Response, append as add, insert as set};
use listen::conditional::Condition;
use listen::local_only::NotLocal;
use listen::loggable;
use oci::{Reference, RepositoryName};
use query::Query;
use registry::push_log::{self, PushAttempt};
use std::sync::Arc;
use tokio::time::Instant;

static API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Answers a request for version 1 of the API, which no current client uses. Needs no authentication.
pub fn retired() -> Response {
    let message = "Version 1 of the registry API is not spoken here; version 2 is, at /v2/";
    Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", message).into_response()
}

/// Refuses a request that `--dev` does not serve, because it comes from another machine.
pub fn refuse_not_local(not_local: &NotLocal) -> Response {
    let mut response = Refusal::new(StatusCode::FORBIDDEN, "DENIED", not_local.to_string()).into_response();
    response.headers_mut().insert(API_VERSION.clone(), HeaderValue::from_static("registry/2.0"));
    response
}

/// A request with its context, as `answer` passes it to a handler.
struct Call<'a> {
    app: &'a App,
    cx: &'a Cx,
    head: &'a Parts,
    query: Query<'a>,
    body: &'a mut RequestBody,
    /// When the request times out.
    deadline: Instant,
    /// Whether the caller also holds the optional permissions.
    optional: bool,
}

/// Answers any request whose path is `/v2` or below it.
pub async fn handle(app: &Arc<App>, request: Request, origin: RequestOrigin) -> Response {
    let (head, body) = request.into_parts();
    let deadline = Instant::now() + app.system.limits.request_time;
    let mut body = RequestBody::new(body, &head.headers, deadline);
    let tls = origin.tls;
    // The call itself. `known` keeps what it found out, even if it fails.
    let mut known = CallFacts::default();
    let answered = answer(app, &head, (&mut body, deadline), origin, &mut known).await;
    // What the handler left unread is dropped.
    body.discard();
    let mut response = match answered {
        Ok(response) => response,
        Err(Refused::Challenge(why)) => challenge(app, &head, tls, why, &known.about(app, &head, tls)),
        Err(Refused::With(refusal)) => {
            let refusal = refusal.cured(&known.about(app, &head, tls));
            if let (Some(cx), Some(attempt)) = (&known.cx, known.attempt) {
                push_log::refused(cx, attempt, refusal.logged());
            }
            if let Some(fault) = refusal
                .fault
                .as_ref()
                .filter(|fault| !fault.common().is_some_and(|error| app.health.outages.refused(error)))
            {
                tracing::error!(
                    url.path = loggable::path(&head.uri),
                    "A docker call failed: {}",
                    ErrorChain(fault.as_ref())
                );
            }
            refusal.into_response()
        }
    };
    response.headers_mut().insert(API_VERSION.clone(), HeaderValue::from_static("registry/2.0"));
    if let Some(cx) = known.cx {
        response.extensions_mut().insert(CalledBy(cx.caller_arn()));
    }
    response
}

/// What `answer` has found out about a call so far. It outlives a failed call, so that the refusal can use it.
#[derive(Default)]
struct CallFacts {
    /// The call's context; `None` until the caller is authenticated.
    cx: Option<Cx>,
    /// The push that the call is a step of; `None` for other calls.
    attempt: Option<PushAttempt>,
    /// The image that the call names.
    image: Option<(RepositoryName, Reference)>,
}

impl CallFacts {
    /// Returns the facts that a refusal's cure depends on.
    fn about(&self, app: &App, head: &Parts, tls: bool) -> About {
        let host = host(head);
        let default = app.addresses.default_registry();
        let (registry, named) = match app.addresses.host(host.unwrap_or_default()) {
            HostName::Registry(registry) => (registry, true),
            HostName::Api(region) => (RegistryId::private(default.account, region), false),
            HostName::Other => (default.clone(), false),
        };
        let reached_at = app.addresses.reached_at(host, tls);
        let host = reached_at.split_once("://").map_or(reached_at.as_str(), |(_, host)| host).to_owned();
        About {
            host,
            registry: self.cx.as_ref().map_or(registry, |cx| cx.registry.clone()),
            named,
            caller: self.cx.as_ref().map(|cx| cx.caller.identity.clone()),
            pushes: self.attempt.is_some(),
            image: self.image.clone(),
            upload_life: app.system.limits.upload_life,
        }
    }
}

enum Refused {
    /// 401 with the authentication challenge.
    Challenge(NoToken),
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
    origin: RequestOrigin,
    CallFacts { cx, attempt, image }: &mut CallFacts,
) -> Result<Response, Refused> {
    // Authenticate: only then does the call have a context.
    let quirks = &app.system.quirks;
    let (caller, registry) = match basic::authenticate(app, head).await {
        Ok(found) => found,
        Err(error) => return Err(error::unauthenticated(error, quirks).map_or_else(Refused::Challenge, Refused::from)),
    };
    let cx: &Cx = cx.insert(Cx { system: app.system.clone(), caller, registry, origin: origin.into() });
    // Find the operation from the path, the method and the query.
    let endpoint = Endpoint::parse(head.uri.path()).map_err(|path| Refusal::path(path, quirks))?;
    let query = Query(head.uri.query().unwrap_or_default());
    let hints = Hints {
        digest_without_mount: query.has("digest") && !query.has("mount"),
        mount: uploads::mount_asked(query),
        manifest: manifests::named_in_query(&head.method, query),
        has_body: !body.is_empty(),
    };
    let operation = Operation::find(&head.method, endpoint, hints).map_err(|none| match none {
        NoOperation::Method(allow) => Refusal::method_not_allowed(allow),
        NoOperation::Path(path) => Refusal::path(path, quirks),
    })?;
    // Note what the call is about before it can be refused, then authorize it.
    (*attempt, *image) = (operation.attempt(), operation.image());
    let optional = access::authorize(cx, &operation.needs(&cx.registry))
        .await
        .map_err(|error| error::refuse(error.into(), quirks))?;
    // Run the operation. Only an authorized call may read its body.
    body.authorize();
    let response = run(Call { app, cx, head, query, body, deadline, optional }, operation).await?;
    Ok(conditionally(head, response)?)
}

/// Runs an operation. Handlers that read a body have large futures; they are boxed, so that other calls stay small.
async fn run(call: Call<'_>, operation: Operation) -> Result<Response, Refusal> {
    match operation {
        Operation::Ping => Ok(ping()),
        Operation::Catalog => repositories::catalog(call).await,
        Operation::ListTags { name } => repositories::tags(call, &name).await,
        Operation::GetManifest { name, reference, head } => manifests::get(call, &name, &reference, head).await,
        Operation::MissingManifest { name, reference, .. } => manifests::missing(call, &name, &reference.0).await,
        Operation::PutManifest { name, reference, .. } => Box::pin(manifests::put(call, &name, &reference)).await,
        Operation::DeleteManifest { name, reference } => manifests::delete(call, &name, &reference).await,
        Operation::ListReferrers { name, digest } => referrers::list(call, &name, &digest).await,
        Operation::HeadBlob { name, digest } => blobs::head(call, &name, &digest).await,
        Operation::GetBlob { name, digest } => blobs::get(call, &name, &digest).await,
        Operation::DeleteBlob { name, digest } => blobs::delete(call, &name, &digest).await,
        Operation::StartUpload { name, whole: true, .. } => Box::pin(uploads::put_whole(call, &name)).await,
        Operation::StartUpload { name, whole: false, mount } => uploads::start(call, &name, mount).await,
        Operation::AppendUpload { name, upload } => Box::pin(uploads::append(call, &name, &upload)).await,
        Operation::CompleteUpload { name, upload, .. } => Box::pin(uploads::complete(call, &name, &upload)).await,
        Operation::UploadStatus { name, id } => uploads::status(call, &name, &id).await,
        Operation::CancelUpload { name, id } => uploads::cancel(call, &name, &id).await,
    }
}

impl Call<'_> {
    fn refuse(&self, error: registry::Error) -> Refusal {
        error::refuse(error, &self.cx.quirks)
    }
}

/// Applies the request's preconditions to a 200 with an ETag; returns every other response unchanged.
fn conditionally(head: &Parts, mut response: Response) -> Result<Response, Refusal> {
    let Some(etag) = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok()) else {
        return Ok(response);
    };
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    match Condition::of(&head.headers, etag) {
        Condition::Holds => Ok(response),
        Condition::Known => {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            Ok(response.map(|_| body::empty()))
        }
        Condition::Fails => Err(precondition_failed(etag)),
    }
}

/// 412: `If-Match` names content other than what is stored (RFC 9110 13.1.1).
fn precondition_failed(etag: &str) -> Refusal {
    let message = format!("If-Match names other content than {etag}");
    Refusal::new(StatusCode::PRECONDITION_FAILED, "UNSUPPORTED", message)
}

/// Answers `GET /v2/`, which `docker login` sends to check its credentials.
fn ping() -> Response {
    let mut response = http::Response::new(body::full("{}"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The challenge of `ECR.md` B.1, with the address that the client used. Its body is AWS's to the byte, so the cause and the cure
/// are in the reason phrase only.
fn challenge(app: &App, head: &Parts, tls: bool, why: NoToken, about: &About) -> Response {
    let realm = app.addresses.reached_at(host(head), tls);
    let mut response = http::Response::new(body::full("Not Authorized\n"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let challenge = format!("Basic realm=\"{realm}/\",service=\"ecr.amazonaws.com\"");
    set(&mut response, header::WWW_AUTHENTICATE, &challenge);
    response.extensions_mut().insert(RefusedFor::new("UNAUTHORIZED", &why.to_string()));
    let phrase = error::reason(response.status(), &why.to_string(), &[&about.login()]);
    error::give_reason(&mut response, phrase);
    response
}

/// Returns a response without a body.
fn bare(status: StatusCode) -> Response {
    let mut response = http::Response::new(body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// Returns a JSON response.
fn json(text: String, content_type: &'static str) -> Response {
    let mut response = http::Response::new(body::full(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
