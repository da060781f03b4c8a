//! Tag lists and the catalog (`ECR.md` B.7, OCI distribution-spec "Listing Tags").

use super::error::Refusal;
use super::query::link;
use super::{Call, json};
use listen::body::Response;
use oci::RepositoryName;
use registry::{image, repository};
use serde_json::json;

const JSON: &str = "application/json";

/// OCI distribution-spec "Listing Tags".
#[derive(serde::Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: &'a [String],
}

pub async fn tags(call: Call<'_>, name: &RepositoryName) -> Result<Response, Refusal> {
    let n = call.query.page(&call.cx.quirks)?;
    let (tags, more) = image::tags(call.cx, name, call.query.last(), n).await.map_err(|error| call.refuse(error))?;
    // Serialized directly: building a tree of values for a thousand names costs more than reading them.
    let page = serde_json::to_string(&TagList { name: name.as_str(), tags: &tags });
    let page = page.map_err(|error| call.refuse(registry::Error::server(error)))?;
    let mut response = json(page, JSON);
    if let Some(last) = tags.last().filter(|_| more) {
        link(&mut response, &format!("/v2/{name}/tags/list"), last, n, &[]);
    }
    Ok(response)
}

pub async fn catalog(call: Call<'_>) -> Result<Response, Refusal> {
    let n = call.query.page(&call.cx.quirks)?;
    let after = call.query.last().map(String::into_bytes);
    let page = repository::list(call.cx, after, n).await.map_err(|error| call.refuse(error))?;
    let names: Vec<&str> = page.items.iter().map(|repository| repository.name.as_str()).collect();
    let mut response = json(json!({ "repositories": names }).to_string(), JSON);
    if let Some(last) = names.last().filter(|_| page.next.is_some()) {
        link(&mut response, "/v2/_catalog", last, n, &[]);
    }
    Ok(response)
}
