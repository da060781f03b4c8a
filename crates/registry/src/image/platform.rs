//! Reads the platform of an image from its config.

use crate::{Cx, Error, layer};
use oci::{Manifest, RepositoryName};

/// The most bytes of a config. The platform of a larger config is unknown.
const MAX_CONFIG: u64 = 4 * 1024 * 1024;
/// The most bytes of a platform. A longer one counts as unknown. The names of Go's platforms need a tenth of this.
const MAX_PLATFORM: usize = 256;

/// Returns `os/architecture/variant/os.version` from an image's config. Returns `None` for an index, and for a config without a platform.
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
    // No image references the config yet, so open it also if it is unreferenced.
    let opened = match layer::open_as(cx, name, &config.digest, None, false).await {
        Ok(layer::LayerOpening::Opened(opened)) if opened.layer.size <= MAX_CONFIG => opened,
        // The transaction of the push refuses a missing or damaged config.
        Ok(_) | Err(Error::LayersNotFound { .. } | Error::LayerDamaged { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = opened.bytes;
    let mut text = Vec::new();
    loop {
        match bytes.next().await {
            Ok(Some(piece)) => text.extend_from_slice(&piece),
            Ok(None) => break,
            // The config was just marked as damaged, so it counts as missing.
            Err(Error::LayerDamaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let config: Option<Config> = serde_json::from_slice(&text).ok();
    let platform = config.and_then(|config| {
        let parts = [Some(config.os?), Some(config.architecture?), config.variant, config.os_version];
        Some(parts.map(Option::unwrap_or_default).join("/"))
    });
    // The text comes from a client and is stored in a row, so drop texts that can't be a platform.
    Ok(platform.filter(|text| text.len() <= MAX_PLATFORM && !text.chars().any(char::is_control)))
}
