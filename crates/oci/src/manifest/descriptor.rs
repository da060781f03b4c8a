//! Parses descriptors, and the members that descriptors and manifests share.

use super::object::Object;
use super::{Descriptor, InvalidManifest, Manifest, Platform, quoted};
use crate::MediaType;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

const DESCRIPTOR: &[&str] = &["mediaType", "digest", "size", "urls", "annotations", "artifactType", "platform"];
const PLATFORM: &[&str] = &["os", "architecture", "variant", "os.version"];

/// Reads a member that is a descriptor. Returns `None` if the member is absent.
pub(super) fn optional(object: &Object<'_>, name: &str) -> Result<Option<Descriptor>, InvalidManifest> {
    object.raw(name).map(|raw| descriptor(raw, object.path_of(name))).transpose()
}

/// Reads a member that is a list of descriptors.
///
/// An absent or `null` member is an empty list, because Go's encoders write `null` for one. The OCI conformance suite does so
/// for an image without layers and for an index without images.
pub(super) fn list(object: &Object<'_>, name: &str) -> Result<Vec<Descriptor>, InvalidManifest> {
    let raw: Option<Vec<&RawValue>> = object.get(name, "an array")?;
    raw.unwrap_or_default()
        .into_iter()
        .enumerate()
        .map(|(i, raw)| descriptor(raw.get(), format!("{}[{i}]", object.path_of(name))))
        .collect()
}

fn descriptor(raw: &str, path: String) -> Result<Descriptor, InvalidManifest> {
    let object = Object::read(raw, path, DESCRIPTOR)?;
    let media_type: String = object.get("mediaType", "a string")?.ok_or_else(|| object.missing("mediaType"))?;
    let digest: String = object.get("digest", "a string")?.ok_or_else(|| object.missing("digest"))?;
    let invalid = |e: crate::InvalidDigest| InvalidManifest::member(object.path_of("digest"), e.to_string());
    Ok(Descriptor {
        media_type: well_formed(&object, "mediaType", media_type)?,
        digest: digest.parse().map_err(invalid)?,
        size: size(&object)?,
        urls: object.get("urls", "an array of strings")?.unwrap_or_default(),
        annotations: annotations(&object)?,
        artifact_type: artifact_type(&object)?,
        platform: platform(&object)?,
    })
}

fn size(object: &Object<'_>) -> Result<u64, InvalidManifest> {
    let size: u64 = object.get("size", "a number of bytes")?.ok_or_else(|| object.missing("size"))?;
    if size > Manifest::MAX_SIZE {
        return Err(InvalidManifest::member(object.path_of("size"), "the number is too large"));
    }
    Ok(size)
}

fn platform(object: &Object<'_>) -> Result<Option<Platform>, InvalidManifest> {
    let Some(raw) = object.raw("platform") else {
        return Ok(None);
    };
    let platform = Object::read(raw, object.path_of("platform"), PLATFORM)?;
    Ok(Some(Platform {
        os: platform.get("os", "a string")?.unwrap_or_default(),
        architecture: platform.get("architecture", "a string")?.unwrap_or_default(),
        variant: platform.get("variant", "a string")?,
        os_version: platform.get("os.version", "a string")?,
    }))
}

/// Reads the annotations of a descriptor or a manifest.
pub(super) fn annotations(object: &Object<'_>) -> Result<BTreeMap<String, String>, InvalidManifest> {
    let annotations = object.get("annotations", "an object of strings")?;
    Ok(annotations.unwrap_or_default())
}

/// Reads the artifact type of a descriptor or a manifest. An empty one counts as absent.
pub(super) fn artifact_type(object: &Object<'_>) -> Result<Option<String>, InvalidManifest> {
    let Some(text) = object.get("artifactType", "a string")?.filter(|t: &String| !t.is_empty()) else {
        return Ok(None);
    };
    well_formed(object, "artifactType", text).map(|t| Some(t.into_string()))
}

fn well_formed(object: &Object<'_>, name: &str, text: String) -> Result<MediaType, InvalidManifest> {
    let media_type = MediaType::new(text);
    if media_type.is_well_formed() {
        return Ok(media_type);
    }
    let reason = format!("'{}' is not a media type", quoted(media_type.as_str()));
    Err(InvalidManifest::member(object.path_of(name), reason))
}
