//! The requests of a push, step by step.

use crate::Result;
use crate::content::{BigLayer, Layer, MANIFEST_TYPE, SmallImage};
use crate::http::{Connection, Target};
use oci::Digest;

/// Returns the request that opens an upload.
pub fn opening(target: &Target, repository: &str) -> Vec<u8> {
    target.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"")
}

/// Opens an upload, and returns its location.
pub fn begin(connection: &mut Connection, target: &Target, repository: &str) -> Result<String> {
    location(connection.ask(&opening(target, repository), &[202])?.location)
}

pub fn location(location: Option<String>) -> Result<String> {
    location.ok_or_else(|| "an upload's answer has no Location".into())
}

/// Returns the URL that closes an upload with this digest.
pub fn closing(location: &str, digest: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// How the bytes of a big layer are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushMethod {
    /// One PATCH, then an empty PUT.
    Patch,
    /// One PUT with the body.
    Put,
}

const BYTES: &str = "content-type: application/octet-stream\r\n";

/// Pushes a big layer.
pub fn push_big(
    connection: &mut Connection,
    target: &Target,
    repository: &str,
    big: &mut BigLayer,
    by: PushMethod,
) -> Result<()> {
    let upload = begin(connection, target, repository)?;
    match by {
        PushMethod::Put => send_big(connection, target, "PUT", &closing(&upload, &big.digest), big, 201).map(|_| ()),
        PushMethod::Patch => {
            let upload = location(send_big(connection, target, "PATCH", &upload, big, 202)?)?;
            let put = target.request("PUT", &closing(&upload, &big.digest), "", b"");
            connection.ask(&put, &[201]).map(|_| ())
        }
    }
}

/// Sends a big layer as the body of one request, and returns the answer's Location.
pub fn send_big(
    connection: &mut Connection,
    target: &Target,
    method: &str,
    path: &str,
    big: &mut BigLayer,
    wanted: u16,
) -> Result<Option<String>> {
    let head = target.head(method, path, BYTES, Some(big.len()));
    connection.send(head.as_bytes())?;
    big.each(|piece| connection.send(piece))?;
    let answer = connection.answer(false)?;
    let body = connection.whole(answer.body)?;
    answer.must_be(&[wanted], head.as_bytes(), &body)?;
    Ok(answer.location)
}

/// Returns the request that checks for a layer.
pub fn asking(target: &Target, repository: &str, layer: &Layer) -> Vec<u8> {
    target.head("HEAD", &format!("/v2/{repository}/blobs/{}", layer.digest), "", None).into_bytes()
}

/// Returns the request that sends a whole layer to its upload.
pub fn whole(target: &Target, upload: &str, layer: &Layer) -> Vec<u8> {
    target.request("PUT", &closing(upload, &layer.digest), BYTES, &layer.bytes)
}

/// Returns the request that puts a manifest by tag or digest.
pub fn naming(target: &Target, repository: &str, reference: &str, manifest: &[u8]) -> Vec<u8> {
    let more = format!("content-type: {MANIFEST_TYPE}\r\n");
    target.request("PUT", &format!("/v2/{repository}/manifests/{reference}"), &more, manifest)
}

/// Pushes a layer as clients do: checks for it first, and sends it in one PUT.
pub fn push_layer(connection: &mut Connection, target: &Target, repository: &str, layer: &Layer) -> Result<()> {
    if connection.ask(&asking(target, repository, layer), &[200, 404])?.status == 200 {
        return Ok(());
    }
    let upload = begin(connection, target, repository)?;
    connection.ask(&whole(target, &upload, layer), &[201]).map(|_| ())
}

/// Pushes a manifest to a tag.
pub fn push_manifest(
    connection: &mut Connection,
    target: &Target,
    repository: &str,
    reference: &str,
    manifest: &[u8],
) -> Result<()> {
    connection.ask(&naming(target, repository, reference, manifest), &[201]).map(|_| ())
}

/// Pushes an image: its layer, its config and its manifest.
pub fn push_image(connection: &mut Connection, target: &Target, repository: &str, image: &SmallImage) -> Result<()> {
    push_layer(connection, target, repository, &image.layer)?;
    push_layer(connection, target, repository, &image.config)?;
    push_manifest(connection, target, repository, &image.tag, &image.manifest)
}
