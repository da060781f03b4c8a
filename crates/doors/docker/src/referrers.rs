//! Lists the referrers of a subject (`ECR.md` B.9, OCI distribution-spec "Listing Referrers").

use super::error::Refusal;
use super::query::link;
use super::{Call, set};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, StatusCode, header};
use listen::body::Response;
use listen::memory::{AnswerBytes, Owner};
use oci::{Digest, Manifest, MediaType, RepositoryName};
use registry::Error;
use registry::referrers::{self, Referrer};
use registry::repository::Page;
use serde_json::{Value, json};

static FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const FILTER: &str = "artifactType";
/// Maximum artifact types of one filter. The specification has one; ListImageReferrers allows 5.
const MAX_TYPES: usize = 10;

pub async fn list(call: Call<'_>, name: &RepositoryName, subject: &Digest) -> Result<Response, Refusal> {
    // Read the page and the filter.
    let n = call.query.page(&call.cx.quirks)?;
    let wanted: Vec<String> = call.query.all(FILTER).into_iter().filter(|wanted| !wanted.is_empty()).collect();
    if wanted.len() > MAX_TYPES {
        let message = format!("A list is filtered by {MAX_TYPES} artifact types at most, not {}", wanted.len());
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", message));
    }
    let invalid = |_| Refusal::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "'last' is not one of this listing's");
    let after = call.query.given("last").map(|last| URL_SAFE_NO_PAD.decode(last)).transpose().map_err(invalid)?;
    // Reserve memory for the answer, then find the page.
    let manifests = &call.app.budgets.manifests;
    let room =
        manifests.take(Owner::of(call.cx), Manifest::MAX_BYTES).await.map_err(|error| call.refuse(error.into()))?;
    // Query decoding turns an unescaped plus into a space. Media types rarely contain a space, so both readings are searched.
    let types = wanted.iter().flat_map(|wanted| [wanted.clone(), wanted.replace(' ', "+")]).collect();
    let page = match referrers::list(call.cx, name, subject, types, after, n).await {
        Ok(page) => page,
        // A 404 would mean that this registry lacks the referrers API, and the client would fall back to tags.
        Err(Error::RepositoryNotFound { .. }) => Page { items: Vec::new(), next: None },
        Err(error) => return Err(call.refuse(error)),
    };
    // Answer with an index of the referrers, and a link to the next page.
    let manifests: Vec<Value> = page.items.iter().map(descriptor).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests });
    let mut response = http::Response::new(AnswerBytes::new(index.to_string().into_bytes(), Some(room)).into_body());
    set(&mut response, header::CONTENT_TYPE, MediaType::OCI_INDEX);
    if !wanted.is_empty() {
        set(&mut response, FILTERS_APPLIED.clone(), FILTER);
    }
    if let Some(next) = page.next {
        let more: Vec<(&str, &str)> = wanted.iter().map(|wanted| (FILTER, wanted.as_str())).collect();
        link(&mut response, &format!("/v2/{name}/referrers/{subject}"), &URL_SAFE_NO_PAD.encode(next), n, &more);
    }
    Ok(response)
}

fn descriptor(referrer: &Referrer) -> Value {
    let mut descriptor = json!({
        "mediaType": referrer.media_type,
        "digest": referrer.digest.to_string(),
        "size": referrer.size,
    });
    if let Some(artifact_type) = &referrer.artifact_type {
        descriptor["artifactType"] = json!(artifact_type);
    }
    if !referrer.annotations.is_empty() {
        descriptor["annotations"] = json!(referrer.annotations);
    }
    descriptor
}
