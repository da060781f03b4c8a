//! How a layer gets to a registry, step by step.
use crate::Result;
use crate::content::{Big, Layer, MANIFEST_TYPE, SmallImage};
use crate::http::{Connection, Target};
use oci::Digest;

/// The request that opens an upload.
pub fn opening(target: &Target, repository: &str) -> Vec<u8> {
    target.request("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"")
}

/// Opens an upload; returns where its bytes go.
pub fn begin(connection: &mut Connection, target: &Target, repository: &str) -> Result<String> {
    location(connection.ask(&opening(target, repository), &[202])?.location)
}

pub fn location(location: Option<String>) -> Result<String> {
    location.ok_or_else(|| "an upload's answer has no Location".into())
}

/// Where an upload ends with this digest.
pub fn closing(location: &str, digest: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// How the bytes of a big layer are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// One PATCH, then an empty PUT.
    Patch,
    /// One PUT with the body.
    Put,
}

const BYTES: &str = "content-type: application/octet-stream\r\n";

/// Pushes a big layer.
pub fn push_big(connection: &mut Connection, target: &Target, repository: &str, big: &mut Big, by: By) -> Result<()> {
    let upload = begin(connection, target, repository)?;
    match by {
        By::Put => send_big(connection, target, "PUT", &closing(&upload, &big.digest), big, 201).map(|_| ()),
        By::Patch => {
            let upload = location(send_big(connection, target, "PATCH", &upload, big, 202)?)?;
            let put = target.request("PUT", &closing(&upload, &big.digest), "", b"");
            connection.ask(&put, &[201]).map(|_| ())
        }
    }
}

/// Sends a big layer as the body of one request; returns the answer's Location.
pub fn send_big(
    connection: &mut Connection,
    target: &Target,
    method: &str,
    path: &str,
    big: &mut Big,
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

/// The request that asks whether a layer is there.
pub fn asking(target: &Target, repository: &str, layer: &Layer) -> Vec<u8> {
    target.head("HEAD", &format!("/v2/{repository}/blobs/{}", layer.digest), "", None).into_bytes()
}

/// The request that sends a layer whole to its upload.
pub fn whole(target: &Target, upload: &str, layer: &Layer) -> Vec<u8> {
    target.request("PUT", &closing(upload, &layer.digest), BYTES, &layer.bytes)
}

/// The request that puts a manifest to a tag or digest.
pub fn naming(target: &Target, repository: &str, reference: &str, manifest: &[u8]) -> Vec<u8> {
    let more = format!("content-type: {MANIFEST_TYPE}\r\n");
    target.request("PUT", &format!("/v2/{repository}/manifests/{reference}"), &more, manifest)
}

/// Pushes a layer as clients do: they ask for it first, and send it in one PUT.
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

/// Pushes a whole image of two layers.
pub fn push_image(connection: &mut Connection, target: &Target, repository: &str, image: &SmallImage) -> Result<()> {
    push_layer(connection, target, repository, &image.layer)?;
    push_layer(connection, target, repository, &image.config)?;
    push_manifest(connection, target, repository, &image.tag, &image.manifest)
}
