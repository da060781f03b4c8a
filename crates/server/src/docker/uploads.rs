//! Uploads as docker drives them (`ECR.md` B.4, OCI distribution-spec "Pushing blobs").
use super::error::Refusal;
use super::{CONTENT_DIGEST, Call, bare, set};
use crate::body::Response;
use http::{HeaderName, StatusCode, header};
use oci::{Algorithm, ChunkRange, Digest, RepositoryName};
use registry::quirks::Behaviour;
use registry::upload::{self, Completion, Progress, UploadId};
use registry::{Error, layer};

/// Characters of an invented upload id at most that a refusal repeats.
const MAX_SHOWN_ID: usize = 64;

static UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// POST: mounts a layer, takes a whole one, or opens a session.
pub async fn start(call: Call<'_>, name: &RepositoryName, whole: bool) -> Result<Response, Refusal> {
    if whole {
        let digest = digest(&call)?;
        let put = upload::put_whole(call.cx, name, &digest, call.body).await;
        put.map_err(|error| super::error::refuse(error, &call.cx.quirks))?;
        return Ok(created(name, &digest));
    }
    if let Some(digest) = mount(&call, name).await? {
        return Ok(created(name, &digest));
    }
    let algorithm = match call.query.get("digest-algorithm").as_deref() {
        None | Some("sha256") => Algorithm::Sha256,
        Some("sha512") => Algorithm::Sha512,
        Some(other) => return Err(Refusal::digest_invalid(other, &call.cx.quirks)),
    };
    let id = upload::start(call.cx, name, algorithm).await.map_err(|error| call.refuse(error))?;
    Ok(progress(StatusCode::ACCEPTED, name, Progress { id, received: 0 }))
}

/// The layer that was mounted, if the request asks for it and it can be; else an upload opens (`ECR.md` B.8).
async fn mount(call: &Call<'_>, name: &RepositoryName) -> Result<Option<Digest>, Refusal> {
    let (Some(digest), Some(from)) = (call.query.get("mount"), call.query.get("from")) else { return Ok(None) };
    let (Ok(digest), Ok(from)) = (digest.parse::<Digest>(), from.parse::<RepositoryName>()) else { return Ok(None) };
    let mounted = layer::mount(call.cx, &from, name, &digest).await.map_err(|error| call.refuse(error))?;
    Ok(mounted.then_some(digest))
}

/// PATCH: a streamed body, or a chunk with its place.
pub async fn append(call: Call<'_>, name: &RepositoryName, id: &str) -> Result<Response, Refusal> {
    let (id, at) = (upload_id(&call, name, id).await?, chunk(&call)?);
    let appended = upload::append(call.cx, name, id, at, call.body).await;
    let appended = appended.map_err(|error| refuse_part(call.cx, error, name, id))?;
    let status = match call.cx.quirks.patch_status {
        Behaviour::Fixed => StatusCode::ACCEPTED,
        Behaviour::Faithful => StatusCode::CREATED,
    };
    Ok(progress(status, name, appended))
}

/// PUT: the end of a session, perhaps with its last or only bytes.
pub async fn complete(call: Call<'_>, name: &RepositoryName, id: &str) -> Result<Response, Refusal> {
    let (id, digest, at) = (upload_id(&call, name, id).await?, digest(&call)?, chunk(&call)?);
    let completed = upload::complete(call.cx, name, id, &digest, at, call.body, Completion::Docker).await;
    completed.map_err(|error| refuse_part(call.cx, error, name, id))?;
    Ok(created(name, &digest))
}

pub async fn status(call: Call<'_>, name: &RepositoryName, id: &str) -> Result<Response, Refusal> {
    let id = upload_id(&call, name, id).await?;
    let found = upload::status(call.cx, name, id).await.map_err(|error| call.refuse(error))?;
    Ok(progress(StatusCode::NO_CONTENT, name, found))
}

pub async fn cancel(call: Call<'_>, name: &RepositoryName, id: &str) -> Result<Response, Refusal> {
    let id = upload_id(&call, name, id).await?;
    upload::cancel(call.cx, name, id).await.map_err(|error| call.refuse(error))?;
    let mut response = http::Response::new(crate::body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// The id that a path names. A text that is none is an unknown upload, of a repository that exists.
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

/// The place of a chunk, where its client says it.
fn chunk(call: &Call<'_>) -> Result<Option<ChunkRange>, Refusal> {
    let Some(value) = call.head.headers.get(header::CONTENT_RANGE) else { return Ok(None) };
    let range = ChunkRange::parse(value.to_str().unwrap_or_default()).map_err(|error| {
        Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", format!("Content-Range: {error}"))
    })?;
    // What can't fit is refused before its bytes come.
    if let Some(declared) = call.body.declared().filter(|declared| *declared != range.len()) {
        let message = format!("Content-Range is of {} bytes, Content-Length says {declared}", range.len());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message));
    }
    Ok(Some(range))
}

/// A refusal that says where the session stands, where that is known, so that the client can go on from there.
fn refuse_part(cx: &registry::Cx, error: Error, name: &RepositoryName, id: UploadId) -> Refusal {
    let last = match &error {
        Error::InvalidLayerPart { last_valid_byte, .. } => *last_valid_byte,
        _ => return super::error::refuse(error, &cx.quirks),
    };
    let refusal = super::error::refuse(error, &cx.quirks)
        .header(header::LOCATION, &location(name, id))
        .header(UPLOAD_UUID.clone(), &id.to_string());
    match last {
        Some(last) => refusal.header(header::RANGE, &format!("0-{last}")),
        None => refusal,
    }
}

fn location(name: &RepositoryName, id: UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// Where a session stands: `Range` ends with the last byte received, and is `0-0` before there is one.
fn progress(status: StatusCode, name: &RepositoryName, progress: Progress) -> Response {
    let mut response = if status == StatusCode::NO_CONTENT {
        let mut response = http::Response::new(crate::body::empty());
        *response.status_mut() = status;
        response
    } else {
        bare(status)
    };
    set(&mut response, header::LOCATION, &location(name, progress.id));
    set(&mut response, header::RANGE, &format!("0-{}", progress.received.saturating_sub(1)));
    set(&mut response, UPLOAD_UUID.clone(), &progress.id.to_string());
    response
}

/// A layer that exists now.
fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let mut response = bare(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut response, CONTENT_DIGEST.clone(), &digest.to_string());
    response
}
