//! Layers as docker reads them: `/v2/NAME/blobs/DIGEST` (OCI distribution-spec "Pulling blobs").
use super::error::Refusal;
use super::{CONTENT_DIGEST, Call, bare, knows, set};
use crate::body::{self, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use oci::{ByteRange, Digest, RepositoryName};
use registry::layer::{self, Open};
use registry::quirks::Behaviour;
use registry::{Error, LayersNotFoundBy, layer_url};

pub async fn head(call: Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<Response, Refusal> {
    let found = layer::check(call.cx, name, vec![*digest]).await.map_err(|error| call.refuse(error))?;
    let layer = found.into_iter().next().ok_or_else(|| call.refuse(unknown(&call, name, digest)))?;
    let mut response = bare(StatusCode::OK);
    describe(&mut response, digest);
    set(&mut response, header::CONTENT_LENGTH, &layer.size.to_string());
    Ok(response)
}

pub async fn get(call: Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<Response, Refusal> {
    let referenced = call.cx.quirks.unreferenced_layer_get == Behaviour::Faithful;
    if call.app.redirect_layers {
        let layer = layer::find(call.cx, name, digest, referenced).await.map_err(|error| call.refuse(error))?;
        let mut response = bare(StatusCode::TEMPORARY_REDIRECT);
        describe(&mut response, digest);
        let url = format!("{}{}", call.app.addresses.base_url(), layer_url::sign(&call.cx.system, &layer));
        set(&mut response, header::LOCATION, &url);
        return Ok(response);
    }
    let range = match requested_range(&call.head.headers, digest) {
        Ok(range) => range,
        Err(refusal) => {
            let layer = layer::find(call.cx, name, digest, referenced).await.map_err(|error| call.refuse(error))?;
            return Err(refusal.header(header::CONTENT_RANGE, &format!("bytes */{}", layer.size)));
        }
    };
    let open = layer::open(call.cx, name, digest, range).await.map_err(|error| call.refuse(error))?;
    if let Open::Unsatisfiable { size } = open {
        let message = format!("The range is not within the {size} bytes of the layer");
        let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message);
        return Err(refusal.header(header::CONTENT_RANGE, &format!("bytes */{size}")));
    }
    let response = body::ranged(open, range.is_some(), false, call.deadline).await;
    let mut response = response.map_err(|error| call.refuse(error))?;
    describe(&mut response, digest);
    Ok(response)
}

pub async fn delete(call: Call<'_>, name: &RepositoryName, digest: &Digest) -> Result<Response, Refusal> {
    layer::delete(call.cx, name, digest).await.map_err(|error| call.refuse(error))?;
    let mut response = bare(StatusCode::ACCEPTED);
    set(&mut response, CONTENT_DIGEST.clone(), &digest.to_string());
    Ok(response)
}

fn unknown(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Error {
    Error::LayersNotFound {
        by: LayersNotFoundBy::Read,
        digests: digest.to_string(),
        name: name.to_string(),
        account: call.cx.registry.account.to_string(),
    }
}

fn describe(response: &mut Response, digest: &Digest) {
    set(response, CONTENT_DIGEST.clone(), &digest.to_string());
    set(response, header::CONTENT_TYPE, oci::MediaType::OCTET_STREAM);
    set(response, header::ACCEPT_RANGES, "bytes");
    set(response, header::ETAG, &body::etag(digest));
}

/// The one range of a request; several are refused, since nobody who pulls layers asks for them. A range of other content
/// (`If-Range`) is none, and one of content that the client has is not looked at (RFC 9110 13.2.2).
fn requested_range(headers: &HeaderMap, digest: &Digest) -> Result<Option<ByteRange>, Refusal> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let etag = body::etag(digest);
    let same = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let wanted = same && !knows(headers, &etag);
    let Some(value) = text(header::RANGE).filter(|_| wanted) else { return Ok(None) };
    ByteRange::parse(value)
        .map_err(|error| Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", error.to_string()))
}
