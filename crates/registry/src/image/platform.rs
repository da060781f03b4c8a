//! What an image runs on, as its config says.
use crate::{Cx, Error, layer};
use oci::{Manifest, RepositoryName};

/// Bytes of a config at most that are read for its platform; a larger one counts as unknown.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;
/// Bytes of a platform at most; one that is longer counts as unknown. The names of Go's platforms have a tenth of it.
const MAX_PLATFORM: usize = 256;

/// `os/architecture/variant/os.version` of an image's config; `None` for an index and for a config that says none.
pub(super) async fn read_platform(
    cx: &Cx,
    name: &RepositoryName,
    manifest: &Manifest,
) -> Result<Option<String>, Error> {
    #[derive(serde::Deserialize)]
    struct Config {
        os: Option<String>,
        architecture: Option<String>,
        variant: Option<String>,
        #[serde(rename = "os.version")]
        os_version: Option<String>,
    }
    let Some(config) = manifest.config.as_ref().filter(|config| config.size <= MAX_CONFIG) else { return Ok(None) };
    // No image stands on the config yet.
    let opened = match layer::open_as(cx, name, &config.digest, None, false).await {
        Ok(layer::LayerOpening::Opened(opened)) if opened.layer.size <= MAX_CONFIG => opened,
        // A missing or damaged config is refused in the transaction, by its own rule.
        Ok(_) | Err(Error::LayersNotFound { .. } | Error::LayerDamaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = opened.bytes;
    let mut text = Vec::new();
    loop {
        match bytes.next().await {
            Ok(Some(piece)) => text.extend_from_slice(&piece),
            Ok(None) => break,
            // Marked as damaged by now, and so missing.
            Err(Error::LayerDamaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let config: Option<Config> = serde_json::from_slice(&text).ok();
    let platform = config.and_then(|config| {
        let parts = [Some(config.os?), Some(config.architecture?), config.variant, config.os_version];
        Some(parts.map(Option::unwrap_or_default).join("/"))
    });
    // A client writes what it likes here, and it goes into a row: what no platform holds is none.
    Ok(platform.filter(|text| text.len() <= MAX_PLATFORM && !text.chars().any(char::is_control)))
}
