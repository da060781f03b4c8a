//! Pulls an image into an OCI layout.

use std::path::Path;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::types::{Image, ImageIdentifier};
use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::{Value, json};

use crate::{Result, TLS, blob_path, parse};

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// Writes an image as a layout. For an index, writes the image for an architecture.
pub async fn pull(ecr: &Client, reference: &str, directory: &Path, architecture: Option<&str>) -> Result<()> {
    let (repository, id) = parse(reference)?;
    let mut image = image(ecr, repository, id).await?;
    if INDEXES.contains(&media_type(&image)?) {
        let index = manifest(&image)?;
        let mut children = index["manifests"].as_array().into_iter().flatten();
        let child = children.find(|child| child["platform"]["architecture"].as_str() == architecture);
        let digest = child.and_then(|child| child["digest"].as_str()).ok_or("no image is for that architecture")?;
        image = self::image(ecr, repository, ImageIdentifier::builder().image_digest(digest).build()).await?;
    }
    std::fs::create_dir_all(directory.join("blobs/sha256"))?;
    let held = manifest(&image)?;
    for part in std::iter::once(&held["config"]).chain(held["layers"].as_array().into_iter().flatten()) {
        let digest = part["digest"].as_str().ok_or("a layer without a digest")?;
        std::fs::write(blob_path(directory, digest), layer(ecr, repository, digest).await?)?;
    }
    let bytes = image.image_manifest().unwrap_or_default();
    let digest = image.image_id().and_then(ImageIdentifier::image_digest).ok_or("an image without a digest")?;
    std::fs::write(blob_path(directory, digest), bytes)?;
    let entry = json!({"mediaType": media_type(&image)?, "digest": digest, "size": bytes.len()});
    std::fs::write(directory.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())?;
    std::fs::write(directory.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    Ok(())
}

/// An image or an index, with its manifest.
pub async fn image(ecr: &Client, repository: &str, id: ImageIdentifier) -> Result<Image> {
    let accepted = INDEXES.iter().chain(&MANIFESTS).map(|kind| (*kind).to_owned()).collect();
    let ask = ecr.batch_get_image().repository_name(repository).image_ids(id);
    let answer = ask.set_accepted_media_types(Some(accepted)).send().await?;
    match answer.images() {
        [image, ..] => Ok(image.clone()),
        [] => Err(format!("{:?}", answer.failures()).into()),
    }
}

async fn layer(ecr: &Client, repository: &str, digest: &str) -> Result<Vec<u8>> {
    let answer = ecr.get_download_url_for_layer().repository_name(repository).layer_digest(digest).send().await?;
    let url = answer.download_url().ok_or("there is no download URL")?;
    let response = Connector::builder().tls_provider(TLS).build().call(HttpRequest::get(url)?).await?;
    if !response.status().is_success() {
        return Err(format!("{digest}: {}", response.status()).into());
    }
    Ok(ByteStream::new(response.into_body()).collect().await?.to_vec())
}

fn media_type(image: &Image) -> Result<&str> {
    Ok(image.image_manifest_media_type().ok_or("an image without a media type")?)
}

fn manifest(image: &Image) -> Result<Value> {
    Ok(serde_json::from_str(image.image_manifest().unwrap_or_default())?)
}
