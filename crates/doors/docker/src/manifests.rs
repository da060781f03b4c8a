//! Serves, stores and deletes manifests by tag or digest (`ECR.md` B.5, B.6, OCI distribution-spec "Pulling manifests", "Pushing
//! manifests").

use super::error::Refusal;
use super::operation::ManifestQuery;
use super::path::InvalidPath;
use super::query::Query;
use super::{CONTENT_DIGEST, Call, add, bare, set};
use http::{HeaderName, Method, StatusCode, header};
use kernel::RequestOrigin;
use listen::body::{self, Response};
use listen::memory::{self, AnswerBytes, NotRead, Owner};
use oci::{Digest, Manifest, Reference, RepositoryName, Tag};
use registry::Error;
use registry::image::{self, ImageFailureCode, ImageHead, ImageRef, NewImage, PulledImage, PushClient};
use std::time::Duration;
use tokio::time::timeout;

static SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
static TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Maximum tags in one PUT by digest (OCI distribution-spec "Pushing Manifests": at least 10, and 414 for too many).
const MAX_TAGS: usize = 100;

/// Maximum bytes of one `OCI-Tag` header's value. By default nginx accepts 4 KiB for all headers of a response.
const MAX_TAG_LINE: usize = 1024;

/// Maximum time to receive a manifest: 4 MiB at 140 kbit/s.
const BODY_TIME: Duration = Duration::from_secs(240);

/// The User-Agent prefix of containerd's clients (`ECR.md` R).
const CONTAINERD_AGENT: &str = "containerd-client/";

/// Returns the manifest's stored bytes and ignores `Accept`: every current client reads all types, and some rely on this
/// (`ECR.md` R).
pub async fn get(
    call: Call<'_>,
    name: &RepositoryName,
    reference: &Reference,
    head: bool,
) -> Result<Response, Refusal> {
    let refuse = |error| call.refuse(error);
    // A HEAD reads no manifest. A GET reserves memory for one before it reads it.
    let (head, body) = if head {
        let head = image::head(call.cx, name, reference).await.map_err(refuse)?;
        (head.ok_or_else(Refusal::manifest_unknown)?, body::empty())
    } else {
        let manifests = &call.app.budgets.manifests;
        let room = match manifests.take_now(Owner::of(call.cx), Manifest::MAX_BYTES) {
            Some(room) => room,
            // The budget is short: look up this manifest's size, so as to reserve no more than that.
            None => {
                let head = image::head(call.cx, name, reference).await.map_err(refuse)?;
                let size = head.ok_or_else(Refusal::manifest_unknown)?.size;
                let size = usize::try_from(size).unwrap_or(Manifest::MAX_BYTES);
                manifests.take(Owner::of(call.cx), size).await.map_err(|error| refuse(error.into()))?
            }
        };
        let pulled = image::pull(call.cx, name, reference).await.map_err(refuse)?;
        let PulledImage { digest, media_type, manifest, .. } = pulled.ok_or_else(Refusal::manifest_unknown)?;
        (
            ImageHead { digest, media_type, size: manifest.len() as u64 },
            AnswerBytes::new(manifest, Some(room)).into_body(),
        )
    };
    let mut response = http::Response::new(body);
    set(&mut response, header::CONTENT_TYPE, &head.media_type);
    response.headers_mut().insert(header::CONTENT_LENGTH, head.size.into());
    set(&mut response, CONTENT_DIGEST.clone(), &head.digest.to_string());
    set(&mut response, header::ETAG, &body::etag(&head.digest));
    Ok(response)
}

pub async fn put(call: Call<'_>, name: &RepositoryName, reference: &Reference) -> Result<Response, Refusal> {
    let refuse = |error| super::error::refuse(error, &call.cx.quirks);
    let (tags, digest) = place(&call, reference)?;
    // Read the body within its time and size limits. The lease is held until the manifest is stored.
    let mut lease = call.app.budgets.manifests.receive(Owner::of(call.cx));
    let declared = call.body.declared();
    let read = memory::read(&mut lease, call.body, declared, Manifest::MAX_BYTES, |_| ());
    let late = |_| Err(Error::BodyTruncated("it did not come in time".to_owned()).into());
    timeout(BODY_TIME, read).await.unwrap_or_else(late).map_err(|why| match why {
        NotRead::TooLarge => Refusal::manifest_too_large(),
        NotRead::Truncated(cause) => refuse(Error::BodyTruncated(cause)),
        NotRead::Failed(error) => refuse(error.into()),
    })?;
    let bytes = lease.finish().map_err(|error| refuse(error.into()))?;
    // Store the manifest and set its tags.
    let media_type =
        call.head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let is_containerd = |request: &RequestOrigin| request.user_agent.contains(CONTAINERD_AGENT);
    let client = PushClient::Docker { containerd: call.cx.origin.request().is_some_and(is_containerd) };
    let pushed =
        image::put(call.cx, name, NewImage { bytes, media_type, tags, digest, client }).await.map_err(refuse)?;
    // Say what was stored, and which immutable tags did not move.
    let mut response = bare(StatusCode::CREATED);
    set(&mut response, header::LOCATION, &format!("/v2/{name}/manifests/{}", pushed.digest));
    set(&mut response, CONTENT_DIGEST.clone(), &pushed.digest.to_string());
    if let Some(subject) = pushed.subject {
        set(&mut response, SUBJECT.clone(), &subject.to_string());
    }
    if let Reference::Digest(_) = reference {
        for line in tag_lines(&pushed.tags) {
            add(&mut response, TAG.clone(), &line);
        }
    }
    for tag in &pushed.unmoved {
        let text = format!("299 - \"the manifest is stored; the immutable tag {tag} was not moved to it\"");
        add(&mut response, header::WARNING, &text);
    }
    Ok(response)
}

/// Packs the tags into few `OCI-Tag` values. Clients limit the number of a response's headers (Python's `http.client`: 100) and
/// the length of each.
fn tag_lines(tags: &[Tag]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for tag in tags {
        match lines.last_mut().filter(|line| line.len() + ", ".len() + tag.as_str().len() <= MAX_TAG_LINE) {
            Some(line) => {
                line.push_str(", ");
                line.push_str(tag.as_str());
            }
            None => lines.push(tag.to_string()),
        }
    }
    lines
}

/// Answers 404: MANIFEST_UNKNOWN if the repository exists (OCI distribution-spec "Pulling manifests").
pub async fn missing(call: Call<'_>, name: &RepositoryName, reference: &str) -> Result<Response, Refusal> {
    registry::repository::get(call.cx, name).await.map_err(|error| call.refuse(error))?;
    Err(Refusal::manifest_unnamable(reference))
}

/// Returns the tags and the digest in the query of a push. More tags than [`MAX_TAGS`] are refused later.
pub fn named_in_query(method: &Method, query: Query<'_>) -> ManifestQuery {
    if *method != Method::PUT {
        return ManifestQuery::default();
    }
    let tags = query.all("tag").into_iter().take(MAX_TAGS).filter_map(|tag| tag.parse().ok());
    ManifestQuery { tags: tags.collect(), digest: query.get("digest").and_then(|digest| digest.parse().ok()) }
}

/// Returns the tags to set and the digest to verify. The path names a tag, with an optional `?digest=`, or a digest, with any
/// number of `?tag=`.
fn place(call: &Call<'_>, reference: &Reference) -> Result<(Vec<Tag>, Option<Digest>), Refusal> {
    let quirks = &call.cx.quirks;
    let tags = call.query.all("tag");
    match reference {
        Reference::Tag(_) if !tags.is_empty() => {
            let message = "The parameter 'tag' goes with a manifest that is pushed by its digest";
            Err(Refusal::new(StatusCode::BAD_REQUEST, "TAG_INVALID", message))
        }
        Reference::Tag(tag) => {
            let digest = call.query.get("digest");
            let parsed = digest.map(|text| text.parse().map_err(|_| Refusal::digest_invalid(&text, quirks)));
            Ok((vec![tag.clone()], parsed.transpose()?))
        }
        Reference::Digest(_) if tags.len() > MAX_TAGS => {
            let message = format!("One push takes at most {MAX_TAGS} tags, not {}", tags.len());
            Err(Refusal::new(StatusCode::URI_TOO_LONG, "UNSUPPORTED", message))
        }
        Reference::Digest(digest) => {
            let parse = |tag: String| tag.parse().map_err(|_| Refusal::path(InvalidPath::Tag(tag), quirks));
            Ok((tags.into_iter().map(parse).collect::<Result<_, _>>()?, Some(*digest)))
        }
    }
}

pub async fn delete(call: Call<'_>, name: &RepositoryName, reference: &Reference) -> Result<Response, Refusal> {
    let id = match reference {
        Reference::Tag(tag) => ImageRef { tag: Some(tag.to_string()), digest: None },
        Reference::Digest(digest) => ImageRef { tag: None, digest: Some(digest.to_string()) },
    };
    let (gone, failures) = image::delete_batch(call.cx, name, vec![id]).await.map_err(|error| call.refuse(error))?;
    match failures.into_iter().next() {
        None => {
            let mut response = bare(StatusCode::ACCEPTED);
            if let Some(digest) = gone.into_iter().find_map(|id| id.digest) {
                set(&mut response, CONTENT_DIGEST.clone(), &digest);
            }
            Ok(response)
        }
        Some(failure) if failure.code == ImageFailureCode::ImageNotFound => Err(Refusal::manifest_unknown()),
        // An index references the image (ECR.md B.5).
        Some(failure) => {
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", failure.reason)
                .say("delete the index first"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_listed_in_order_in_few_lines_of_bounded_length() {
        let tag = |text: &str| -> Tag { text.parse().unwrap() };
        let tags =
            |count: usize, length: usize| (0..count).map(|i| tag(&format!("{i:0length$}"))).collect::<Vec<Tag>>();
        for (count, length, lines) in [(0, 1, 0), (1, 128, 1), (3, 5, 1), (MAX_TAGS, 8, 1), (MAX_TAGS, 128, 15)] {
            let tags = tags(count, length);
            let listed = tag_lines(&tags);
            assert_eq!(listed.len(), lines, "{count} of {length}");
            assert!(listed.iter().all(|line| line.len() <= MAX_TAG_LINE));
            let read: Vec<&str> = listed.iter().flat_map(|line| line.split(", ")).collect();
            assert_eq!(read, tags.iter().map(Tag::as_str).collect::<Vec<_>>());
        }
        assert_eq!(tag_lines(&[tag("a"), tag("b"), tag("c")]), ["a, b, c"]);
    }
}
