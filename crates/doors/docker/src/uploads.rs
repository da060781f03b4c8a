//! The upload protocol (`POST`, `PATCH`, `PUT`) of the docker door (`ECR.md` B.4, OCI distribution-spec "Pushing blobs").

use super::error::Refusal;
use super::path::UploadPath;
use super::query::Query;
use super::{CONTENT_DIGEST, Call, Mount, bare, set};
use http::{HeaderName, StatusCode, header};
use kernel::Cx;
use kernel::quirks::Behaviour;
use listen::body::Response;
use oci::{Algorithm, ChunkRange, Digest, RepositoryName};
use registry::upload::{self, BodyPlace, CompletionRules, UploadId, UploadProgress};
use registry::{Error, layer};

/// Maximum characters of a malformed upload id that a refusal repeats.
const MAX_SHOWN_ID: usize = 64;

static UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// POST with `digest`: a layer in one request.
pub async fn put_whole(call: Call<'_>, name: &RepositoryName) -> Result<Response, Refusal> {
    algorithm(&call)?;
    let digest = digest(&call)?;
    let put = upload::put_whole(call.cx, name, &digest, call.body).await;
    put.map_err(|error| refuse(call.cx, error))?;
    Ok(created(name, &digest))
}

/// POST: mounts a layer if possible. If it can't be mounted, for any reason, opens a session (`ECR.md` B.8).
pub async fn start(call: Call<'_>, name: &RepositoryName, mount: Option<Mount>) -> Result<Response, Refusal> {
    let algorithm = algorithm(&call)?;
    if let Some(Mount { digest, from }) = mount.filter(|_| call.optional) {
        let mounted = layer::mount(call.cx, &from, name, &digest).await.map_err(|error| call.refuse(error))?;
        if mounted {
            return Ok(created(name, &digest));
        }
    }
    let id = upload::start(call.cx, name, algorithm).await.map_err(|error| call.refuse(error))?;
    Ok(progress(StatusCode::ACCEPTED, name, UploadProgress { id, received: 0 }))
}

/// Returns the mount that a query asks for, if it names both a digest and a source.
pub fn mount_asked(query: Query<'_>) -> Option<Mount> {
    Some(Mount { digest: query.get("mount")?.parse().ok()?, from: query.get("from")?.parse().ok()? })
}

/// Returns the hash algorithm that the client announces, so that it can be computed while bytes arrive.
fn algorithm(call: &Call<'_>) -> Result<Algorithm, Refusal> {
    match call.query.get("digest-algorithm").as_deref() {
        None | Some("sha256") => Ok(Algorithm::Sha256),
        Some("sha512") => Ok(Algorithm::Sha512),
        Some(_) => {
            let message = "The parameter 'digest-algorithm' is sha256 or sha512";
            Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message))
        }
    }
}

/// PATCH: appends a streamed body, or a chunk with a Content-Range.
pub async fn append(call: Call<'_>, name: &RepositoryName, path: &UploadPath) -> Result<Response, Refusal> {
    let id = upload_id(&call, name, &path.id).await?;
    let appended = async {
        let at = place(&call, name, id, path.offset).await?;
        upload::append(call.cx, name, id, at, call.body).await.map_err(|error| refuse(call.cx, error))
    };
    match appended.await {
        Ok(appended) => {
            let status = match call.cx.quirks.patch_status {
                Behaviour::Fixed => StatusCode::ACCEPTED,
                Behaviour::Faithful => StatusCode::CREATED,
            };
            Ok(progress(status, name, appended))
        }
        Err(refusal) => Err(standing(call.cx, name, id, refusal).await),
    }
}

/// PUT: completes a session. The request may carry the last or the only bytes.
pub async fn complete(call: Call<'_>, name: &RepositoryName, path: &UploadPath) -> Result<Response, Refusal> {
    let id = upload_id(&call, name, &path.id).await?;
    let completed = async {
        let (digest, at) = (digest(&call)?, place(&call, name, id, path.offset).await?);
        let completed = upload::complete(call.cx, name, id, &digest, at, call.body, CompletionRules::Docker).await;
        completed.map(|()| digest).map_err(|error| refuse(call.cx, error))
    };
    match completed.await {
        Ok(digest) => Ok(created(name, &digest)),
        Err(refusal) => Err(standing(call.cx, name, id, refusal).await),
    }
}

pub async fn status(call: Call<'_>, name: &RepositoryName, id: &str) -> Result<Response, Refusal> {
    let id = upload_id(&call, name, id).await?;
    let found = upload::status(call.cx, name, id).await.map_err(|error| call.refuse(error))?;
    Ok(progress(StatusCode::NO_CONTENT, name, found))
}

pub async fn cancel(call: Call<'_>, name: &RepositoryName, id: &str) -> Result<Response, Refusal> {
    let id = upload_id(&call, name, id).await?;
    upload::cancel(call.cx, name, id).await.map_err(|error| call.refuse(error))?;
    let mut response = http::Response::new(listen::body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Parses the upload id in a path. A malformed id is an unknown upload if the repository exists.
async fn upload_id(call: &Call<'_>, name: &RepositoryName, text: &str) -> Result<UploadId, Refusal> {
    let Ok(id) = text.parse() else {
        registry::repository::get(call.cx, name).await.map_err(|error| call.refuse(error))?;
        let account = call.cx.registry.account.to_string();
        let id = text.chars().take(MAX_SHOWN_ID).collect();
        return Err(call.refuse(Error::UploadNotFound { id, name: name.to_string(), account }));
    };
    Ok(id)
}

fn digest(call: &Call<'_>) -> Result<Digest, Refusal> {
    let text = call.query.get("digest").unwrap_or_default();
    text.parse().map_err(|_| Refusal::digest_invalid(&text, &call.cx.quirks))
}

/// Returns the body's position in the layer: its Content-Range, or else the offset in the Location that it was sent to; `None` if
/// the client gives neither. The position keeps a body that is resent after a lost response from being appended twice.
async fn place(
    call: &Call<'_>,
    name: &RepositoryName,
    id: UploadId,
    offset: Option<u64>,
) -> Result<Option<BodyPlace>, Refusal> {
    let Some(value) = call.head.headers.get(header::CONTENT_RANGE) else { return Ok(offset.map(BodyPlace::Offset)) };
    let range = ChunkRange::parse(value.to_str().unwrap_or_default()).map_err(|error| {
        Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", format!("Content-Range: {error}"))
    })?;
    // A chunk whose length contradicts its range is refused before its bytes arrive. A chunk out of order is left to the domain,
    // which refuses it for its position.
    if let Some(declared) = call.body.declared().filter(|declared| *declared != range.len()) {
        let stands = upload::status(call.cx, name, id).await.map_err(|error| refuse(call.cx, error))?;
        if range.first == stands.received {
            let message = format!("Content-Range is of {} bytes, Content-Length says {declared}", range.len());
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message));
        }
    }
    Ok(Some(range.into()))
}

fn refuse(cx: &Cx, error: Error) -> Refusal {
    super::error::refuse(error, &cx.quirks)
}

/// Adds the session's progress to a refusal, so that the client can continue from there. If the session is gone, returns that
/// refusal instead.
async fn standing(cx: &Cx, name: &RepositoryName, id: UploadId, refusal: Refusal) -> Refusal {
    match upload::status(cx, name, id).await {
        Ok(stands) => refusal
            .header(header::LOCATION, &location(name, stands))
            .header(header::RANGE, &range(stands))
            .header(UPLOAD_UUID.clone(), &stands.id.to_string()),
        Err(gone @ (Error::UploadNotFound { .. } | Error::RepositoryNotFound { .. })) => refuse(cx, gone),
        // The store can't give the progress now. The refusal is still right without it.
        Err(_) => refusal,
    }
}

/// Returns the Location for the session's next bytes. Its path carries the offset (see [`UploadPath`]); it has no query, as on
/// ECR.
fn location(name: &RepositoryName, UploadProgress { id, received }: UploadProgress) -> String {
    format!("/v2/{name}/blobs/uploads/{id}.{received}")
}

/// Returns a response with a session's progress.
fn progress(status: StatusCode, name: &RepositoryName, progress: UploadProgress) -> Response {
    let mut response = if status == StatusCode::NO_CONTENT {
        let mut response = http::Response::new(listen::body::empty());
        *response.status_mut() = status;
        response
    } else {
        bare(status)
    };
    set(&mut response, header::LOCATION, &location(name, progress));
    set(&mut response, header::RANGE, &range(progress));
    set(&mut response, UPLOAD_UUID.clone(), &progress.id.to_string());
    response
}

/// Returns the `Range` of the bytes received; `0-0` if there are none, as in the specification's examples.
fn range(progress: UploadProgress) -> String {
    format!("0-{}", progress.received.saturating_sub(1))
}

/// Returns 201 with the new layer's location.
fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let mut response = bare(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, CONTENT_DIGEST.clone(), &digest.to_string());
    response
}
