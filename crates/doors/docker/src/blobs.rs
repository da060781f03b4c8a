//! Serves and deletes layers: `/v2/NAME/blobs/DIGEST` (OCI distribution-spec "Pulling blobs").

use super::error::{self, Refusal};
use super::{CONTENT_DIGEST, Call, bare, set};
use http::{StatusCode, header};
use kernel::quirks::Behaviour;
use listen::body::{self, Response};
use listen::conditional::{self, Condition};
use oci::{Digest, RepositoryName};
use registry::layer::{self, LayerOpening};
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
    let find = async || {
        layer::find(call.cx, name, digest, referenced).await.map_err(|error| error::refuse(error, &call.cx.quirks))
    };
    let etag = body::etag(digest);
    // Preconditions come first: a 304 or 412 sends no bytes, so the layer is looked up but not opened.
    match Condition::of(&call.head.headers, &etag) {
        Condition::Holds => {}
        Condition::Known => {
            find().await?;
            let mut response = http::Response::new(body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            describe(&mut response, digest);
            return Ok(response);
        }
        Condition::Fails => {
            find().await?;
            return Err(super::precondition_failed(&etag));
        }
    }
    // Send the client to a signed URL if layers are redirected.
    if call.app.redirect_layers {
        let layer = find().await?;
        let mut response = bare(StatusCode::TEMPORARY_REDIRECT);
        describe(&mut response, digest);
        let url = format!("{}{}", call.app.addresses.base_url(), layer_url::sign(&call.cx.system, &layer));
        set(&mut response, header::LOCATION, &url);
        return Ok(response);
    }
    // Otherwise send the bytes, or the range of them that the client asks for.
    let range = match conditional::range(&call.head.method, &call.head.headers, &etag) {
        Ok(range) => range,
        Err(error) => {
            find().await?;
            return Err(Refusal::new(conditional::SEVERAL_RANGES, "UNSUPPORTED", error.to_string()));
        }
    };
    let open = layer::open(call.cx, name, digest, range).await.map_err(|error| call.refuse(error))?;
    if let LayerOpening::Unsatisfiable { size } = open {
        return Err(unsatisfiable(size, format!("The range is not within the {size} bytes of the layer")));
    }
    let response = body::ranged(open, range.is_some(), false, call.cx.share(), call.deadline).await;
    let mut response = response.map_err(|error| call.refuse(error))?;
    describe(&mut response, digest);
    Ok(response)
}

fn unsatisfiable(size: u64, message: String) -> Refusal {
    Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message)
        .header(header::CONTENT_RANGE, &format!("bytes */{size}"))
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
