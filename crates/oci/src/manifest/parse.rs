//! Parses bytes into a [`Manifest`].

use super::object::Object;
use super::{InvalidManifest, Manifest, ManifestKind, check, descriptor, quoted};
use crate::MediaType;

const MANIFEST: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "annotations",
    "fsLayers",
];

pub(super) fn manifest(bytes: &[u8], given: Option<&str>) -> Result<Manifest, InvalidManifest> {
    // Refuse input that serde_json would accept, or that costs too much to parse.
    if bytes.len() > Manifest::MAX_BYTES {
        return Err(InvalidManifest::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| InvalidManifest::Json(format!("the text is not UTF-8: {e}")))?;
    check::check(text)?;

    // The type decides which members the object may and must have.
    let object = Object::read(text, String::new(), MANIFEST)?;
    let media_type = media_type(&object, given)?;
    let kind = match media_type {
        MediaType::OCI_MANIFEST | MediaType::DOCKER_MANIFEST => ManifestKind::Image,
        _ => ManifestKind::Index,
    };
    schema_version(&object)?;
    members_of_another_kind(&object, kind)?;

    let (config, layers, manifests) = match kind {
        ManifestKind::Image => {
            let config = descriptor::optional(&object, "config")?;
            let config = config.ok_or_else(|| object.missing("config"))?;
            (Some(config), descriptor::list(&object, "layers")?, Vec::new())
        }
        ManifestKind::Index => (None, Vec::new(), descriptor::list(&object, "manifests")?),
    };
    Ok(Manifest {
        kind,
        media_type: MediaType::new(media_type),
        config,
        layers,
        manifests,
        subject: descriptor::optional(&object, "subject")?,
        artifact_type: descriptor::artifact_type(&object)?,
        annotations: descriptor::annotations(&object)?,
    })
}

/// Returns the manifest's type, from its `mediaType` or from the request. If both state a type, the two must be equal.
fn media_type(object: &Object<'_>, given: Option<&str>) -> Result<&'static str, InvalidManifest> {
    let own: Option<String> = object.get("mediaType", "a string")?;
    let essence = |text: &str| Some(MediaType::new(text).essence()).filter(|e| !e.is_empty());
    let own = own.as_deref().and_then(essence);
    let given = given.and_then(essence);
    if let (Some(own), Some(given)) = (&own, &given)
        && own != given
    {
        return Err(InvalidManifest::MediaTypeMismatch { own: quoted(own), given: quoted(given) });
    }
    match own.or(given) {
        Some(named) => supported(&named).ok_or_else(|| InvalidManifest::UnsupportedMediaType(quoted(&named))),
        // A signed schema 1 manifest has no mediaType, so it is recognized by its members.
        None if object.raw("fsLayers").is_some() => {
            Err(InvalidManifest::UnsupportedMediaType(MediaType::DOCKER_SCHEMA_1.into()))
        }
        None => Err(InvalidManifest::NoMediaType),
    }
}

fn supported(essence: &str) -> Option<&'static str> {
    MediaType::MANIFESTS.into_iter().find(|known| *known == essence)
}

fn schema_version(object: &Object<'_>) -> Result<(), InvalidManifest> {
    let name = "schemaVersion";
    match object.get::<u64>(name, "2")? {
        Some(2) => Ok(()),
        Some(_) => Err(InvalidManifest::member(name, "the value is not 2")),
        None => Err(object.missing(name)),
    }
}

/// Refuses a manifest that a client could read as one of another kind (GHSA-mc8v-mgrf-8f4m).
fn members_of_another_kind(object: &Object<'_>, kind: ManifestKind) -> Result<(), InvalidManifest> {
    let (foreign, name): (&[&str], _) = match kind {
        ManifestKind::Image => (&["manifests", "fsLayers"], "an image manifest"),
        ManifestKind::Index => (&["config", "layers", "fsLayers"], "an index"),
    };
    match foreign.iter().find(|member| object.raw(member).is_some()) {
        Some(member) => Err(InvalidManifest::member(*member, format!("{name} must not have this member"))),
        None => Ok(()),
    }
}
