//! Manifests by tag and digest (`ECR.md` B.5, B.6, OCI distribution-spec "Pulling manifests", "Pushing manifests").
use super::error::Refusal;
use super::{CONTENT_DIGEST, Call, bare, set};
use crate::body::{self, Response};
use crate::room::Room;
use http::{HeaderName, StatusCode, header};
use oci::{Manifest, Reference, RepositoryName};
use registry::Error;
use registry::image::{self, Change, FailureCode, ImageId, NewImage, PutBy};
use std::time::Duration;
use tokio::time::timeout;

static SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// The longest that a manifest may take to come: 4 MiB at 140 kbit/s.
const BODY_TIME: Duration = Duration::from_secs(240);

/// What containerd's clients call themselves (`ECR.md` R).
const CONTAINERD_AGENT: &str = "containerd-client/";

/// The stored bytes, whatever the client accepts: every current client reads them, and some count on it (`ECR.md` R).
pub async fn get(
    call: Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
    head: bool,
) -> Result<Response, Refusal> {
    let wanted = if head { 0 } else { Manifest::MAX_BYTES };
    let room = Room::take(&call.app.call_bodies, wanted).await.map_err(|error| call.refuse(error))?;
    let pulled = image::pull(call.cx, name, reference, head).await.map_err(|error| call.refuse(error))?;
    let pulled = pulled.ok_or_else(Refusal::manifest_unknown)?;
    let length = pulled.manifest.len().to_string();
    let mut response = http::Response::new(if head { body::empty() } else { body::full(room.hold(pulled.manifest)) });
    set(&mut response, header::CONTENT_TYPE, &pulled.media_type);
    set(&mut response, header::CONTENT_LENGTH, &length);
    set(&mut response, CONTENT_DIGEST.clone(), &pulled.digest.to_string());
    set(&mut response, header::ETAG, &body::etag(&pulled.digest));
    Ok(response)
}

/// The manifest's room in the budget of all bodies that are held in memory, until it is dropped.
async fn room(call: &Call<'_>) -> Result<Room, Error> {
    let declared = call.body.declared().and_then(|declared| usize::try_from(declared).ok());
    Room::take(&call.app.call_bodies, declared.unwrap_or(Manifest::MAX_BYTES).min(Manifest::MAX_BYTES)).await
}

pub async fn put(call: Call<'_>, name: &RepositoryName, reference: &Reference) -> Result<Response, Refusal> {
    let refuse = |error| super::error::refuse(error, &call.cx.quirks);
    let _room = room(&call).await.map_err(refuse)?;
    let bytes = timeout(BODY_TIME, call.body.whole(Manifest::MAX_BYTES)).await;
    let bytes =
        bytes.unwrap_or_else(|_| Err(Error::BodyTruncated("it did not come in time".to_owned()))).map_err(refuse)?;
    let bytes = bytes.ok_or_else(Refusal::manifest_too_large)?;
    let (tag, digest) = match reference {
        Reference::Tag(tag) => (Some(tag.to_string()), None),
        Reference::Digest(digest) => (None, Some(*digest)),
    };
    let media_type =
        call.head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let by = PutBy::Docker { containerd: call.cx.origin.user_agent.contains(CONTAINERD_AGENT) };
    let pushed = image::put(call.cx, name, NewImage { bytes, media_type, tag, digest, by }).await.map_err(refuse)?;
    let mut response = bare(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/manifests/{}", pushed.digest));
    set(&mut response, CONTENT_DIGEST.clone(), &pushed.digest.to_string());
    if let Some(subject) = pushed.subject {
        set(&mut response, SUBJECT.clone(), &subject.to_string());
    }
    if pushed.change == Change::TagKept {
        let text = format!("299 - \"the manifest is stored; the immutable tag {reference} was not moved to it\"");
        set(&mut response, header::WARNING, &text);
    }
    Ok(response)
}

pub async fn delete(call: Call<'_>, name: &RepositoryName, reference: &Reference) -> Result<Response, Refusal> {
    let id = match reference {
        Reference::Tag(tag) => ImageId { tag: Some(tag.to_string()), digest: None },
        Reference::Digest(digest) => ImageId { tag: None, digest: Some(digest.to_string()) },
    };
    let (_, failures) = image::delete_batch(call.cx, name, vec![id]).await.map_err(|error| call.refuse(error))?;
    match failures.into_iter().next() {
        None => Ok(bare(StatusCode::ACCEPTED)),
        Some(failure) if failure.code == FailureCode::ImageNotFound => Err(Refusal::manifest_unknown()),
        // Referenced by an index: ECR.md B.5.
        Some(failure) => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", failure.reason)),
    }
}
