//! Pushes an OCI layout: children before their index, and layers before their image.

use std::collections::BTreeSet;
use std::path::Path;

use aws_sdk_ecr::Client;
use aws_sdk_ecr::primitives::Blob;
use aws_sdk_ecr::types::LayerAvailability;
use serde_json::Value;

use crate::{Result, blob_path, parse};

/// Pushes the image or index of a layout under a tag.
pub async fn push(ecr: &Client, layout: &Path, reference: &str) -> Result<()> {
    let (repository, image) = parse(reference)?;
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json"))?)?;
    push_manifest(ecr, layout, repository, &index["manifests"][0], image.image_tag()).await
}

async fn push_manifest(
    ecr: &Client,
    layout: &Path,
    repository: &str,
    descriptor: &Value,
    tag: Option<&str>,
) -> Result<()> {
    let digest = text(descriptor, "digest")?;
    let bytes = std::fs::read(blob_path(layout, digest))?;
    let manifest: Value = serde_json::from_slice(&bytes)?;
    for child in manifest["manifests"].as_array().into_iter().flatten() {
        Box::pin(push_manifest(ecr, layout, repository, child, None)).await?;
    }
    if let Some(layers) = manifest["layers"].as_array() {
        let mut digests = BTreeSet::from([text(&manifest["config"], "digest")?]);
        for layer in layers {
            digests.insert(text(layer, "digest")?);
        }
        push_layers(ecr, layout, repository, digests).await?;
    }
    let put = ecr.put_image().repository_name(repository).set_image_tag(tag.map(str::to_owned));
    let put = put.image_manifest(String::from_utf8(bytes)?).image_digest(digest);
    match put.image_manifest_media_type(text(descriptor, "mediaType")?).send().await {
        Err(error) if error.as_service_error().is_some_and(|error| error.is_image_already_exists_exception()) => Ok(()),
        result => Ok(result.map(drop)?),
    }
}

async fn push_layers(ecr: &Client, layout: &Path, repository: &str, digests: BTreeSet<&str>) -> Result<()> {
    let ask = ecr.batch_check_layer_availability().repository_name(repository);
    let answer =
        ask.set_layer_digests(Some(digests.iter().map(|digest| (*digest).to_owned()).collect())).send().await?;
    for layer in answer.layers() {
        let digest = layer.layer_digest().ok_or("a layer without a digest")?;
        if layer.layer_availability() != Some(&LayerAvailability::Available) {
            push_layer(ecr, repository, digest, &std::fs::read(blob_path(layout, digest))?).await?;
        }
    }
    for failure in answer.failures() {
        // A missing layer is reported as a failure in the answer, not as an error.
        let digest = failure.layer_digest().ok_or("a failure without a digest")?;
        push_layer(ecr, repository, digest, &std::fs::read(blob_path(layout, digest))?).await?;
    }
    Ok(())
}

async fn push_layer(ecr: &Client, repository: &str, digest: &str, bytes: &[u8]) -> Result<()> {
    let upload = ecr.initiate_layer_upload().repository_name(repository).send().await?;
    let id = upload.upload_id().ok_or("an upload without an id")?;
    let part_size = usize::try_from(upload.part_size().ok_or("an upload without a size of parts")?)?;
    let mut first = 0;
    for part in bytes.chunks(part_size) {
        let last = first + i64::try_from(part.len())? - 1;
        let request = ecr.upload_layer_part().repository_name(repository).upload_id(id);
        request.part_first_byte(first).part_last_byte(last).layer_part_blob(Blob::new(part)).send().await?;
        first = last + 1;
    }
    ecr.complete_layer_upload().repository_name(repository).upload_id(id).layer_digests(digest).send().await?;
    Ok(())
}

fn text<'a>(value: &'a Value, member: &str) -> Result<&'a str> {
    Ok(value[member].as_str().ok_or_else(|| format!("there is no {member} in {value}"))?)
}
