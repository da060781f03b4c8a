//! BatchCheckLayerAvailability (`ECR.md` A.3).

use super::failure::Ecr;
use super::types::{self, Bounded};
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::{Digest, MediaType, RepositoryName};
use registry::{Error, layer};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Maximum digests of one call (`ECR.md` M.1 "batch sizes").
const MAX_DIGESTS: usize = 100;
/// Maximum characters of a digest. A malformed digest within it is a failure of the batch; a longer text is an error of the call.
const MAX_DIGEST_CHARACTERS: u64 = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchCheckLayerAvailability {
    registry_id: Option<String>,
    repository_name: Option<String>,
    layer_digests: Option<Bounded<String, MAX_DIGESTS>>,
}

#[derive(Debug, Serialize)]
pub struct Output {
    layers: Vec<Layer>,
    failures: Vec<LayerFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    layer_digest: String,
    layer_availability: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerFailure {
    layer_digest: String,
    failure_code: &'static str,
    failure_reason: String,
}

impl LayerFailure {
    /// Returns the failure for a text that is not a digest; `None` for a digest.
    fn of(text: &str) -> Option<LayerFailure> {
        let (failure_code, failure_reason) = match text {
            "" => ("MissingLayerDigest", "Invalid request parameters: layer digest cannot be empty".to_owned()),
            text if Digest::is_loosely(text) => return None,
            _ => (
                "InvalidLayerDigest",
                format!(
                    "Invalid request parameters: layer digest should satisfy the regex '{}'",
                    check::DIGEST_PATTERN
                ),
            ),
        };
        Some(LayerFailure { layer_digest: text.to_owned(), failure_code, failure_reason })
    }
}

impl Operation for BatchCheckLayerAvailability {
    const NAME: &'static str = "BatchCheckLayerAvailability";
    type Api = Ecr;
    type Checked = (RepositoryName, Vec<String>);
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:BatchCheckLayerAvailability", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let digests = check::required("layerDigests", self.layer_digests)?.check("layerDigests", 1)?;
        for (index, digest) in digests.iter().enumerate() {
            check::length(check::element("layerDigests", index, ""), digest, 0, MAX_DIGEST_CHARACTERS)?;
        }
        Ok((name, digests))
    }

    /// Answers in the order of the call, each digest once and in lower case. A well-formed digest of an algorithm that can't be
    /// stored is unavailable.
    async fn handle((name, mut digests): Self::Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        for digest in digests.iter_mut().filter(|digest| Digest::is_loosely(digest)) {
            digest.make_ascii_lowercase();
        }
        let mut seen = HashSet::new();
        digests.retain(|digest| seen.insert(digest.clone()));
        let storable: Vec<Digest> = digests.iter().filter_map(|text| text.parse().ok()).collect();
        let found = layer::check(cx, &name, storable).await?;
        let found: HashMap<String, layer::Layer> =
            found.into_iter().map(|layer| (layer.digest.to_string(), layer)).collect();
        let mut output = Output { layers: Vec::new(), failures: Vec::new() };
        for digest in digests {
            match LayerFailure::of(&digest) {
                Some(failure) => output.failures.push(failure),
                None => output.layers.push(availability(found.get(&digest), digest)),
            }
        }
        Ok(output)
    }
}

/// Describes a layer, or reports it as unavailable. A layer that no manifest has described yet has no known media type.
fn availability(found: Option<&layer::Layer>, layer_digest: String) -> Layer {
    match found {
        Some(layer) => Layer {
            layer_digest,
            layer_availability: "AVAILABLE",
            layer_size: Some(layer.size),
            media_type: Some(layer.media_type.clone().unwrap_or_else(|| MediaType::OCTET_STREAM.to_owned())),
        },
        None => Layer { layer_digest, layer_availability: "UNAVAILABLE", layer_size: None, media_type: None },
    }
}

#[cfg(test)]
mod tests {
    use super::LayerFailure;

    #[test]
    fn a_malformed_digest_fails_alone() {
        for (text, code) in [
            ("", Some("MissingLayerDigest")),
            ("sha256", Some("InvalidLayerDigest")),
            ("sha256:zz", Some("InvalidLayerDigest")),
            ("md5:ab", None),
        ] {
            assert_eq!(LayerFailure::of(text).map(|failure| failure.failure_code), code, "{text}");
        }
    }
}
