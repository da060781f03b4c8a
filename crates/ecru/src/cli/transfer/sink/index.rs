//! The `index.json` that is written into a layout.

use super::Role;
use crate::cli::transfer::layout::{CONTAINERD_NAME, REF_NAME};
use crate::cli::transfer::registry::Stored;
use oci::{Digest, Manifest, MediaType};
use serde_json::{Map, Value, json};

/// What a layout names. Entries that were there stay as they are, unless their tag gets another image.
#[derive(Debug)]
pub struct LayoutIndex(Map<String, Value>);

impl Default for LayoutIndex {
    fn default() -> LayoutIndex {
        let mut index = Map::new();
        index.insert("schemaVersion".to_owned(), json!(2));
        index.insert("mediaType".to_owned(), json!(MediaType::OCI_INDEX));
        index.insert("manifests".to_owned(), json!([]));
        LayoutIndex(index)
    }
}

impl LayoutIndex {
    /// The content of `oci-layout`.
    pub const LAYOUT: &'static [u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

    pub fn read(bytes: &[u8]) -> Result<LayoutIndex, String> {
        Manifest::parse(bytes, Some(MediaType::OCI_INDEX)).map_err(|error| error.to_string())?;
        serde_json::from_slice(bytes).map(LayoutIndex).map_err(|error| error.to_string())
    }

    fn entries(&self) -> &[Value] {
        self.0.get("manifests").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// True if the manifest has the name that its role needs. A child of an index needs none.
    pub fn holds(&self, digest: &Digest, role: Role<'_>) -> bool {
        let digest = digest.to_string();
        let named = |entry: &&Value| entry["digest"].as_str() == Some(&digest);
        match role {
            Role::Child => true,
            Role::Untagged => self.entries().iter().any(|entry| named(&entry)),
            Role::Tagged(tag) => self
                .entries()
                .iter()
                .filter(named)
                .any(|entry| entry["annotations"][REF_NAME].as_str() == Some(tag.as_str())),
        }
    }

    /// Names a manifest; `full_name` is what docker calls it.
    pub fn add(&mut self, stored: &Stored, parsed: &Manifest, role: Role<'_>, full_name: Option<&str>) {
        if role == Role::Child || self.holds(&stored.digest, role) {
            return;
        }
        let mut entry = json!({
            "mediaType": parsed.media_type.as_str(),
            "digest": stored.digest.to_string(),
            "size": stored.bytes.len(),
        });
        if let (Some(artifact_type), true) = (parsed.referrer_artifact_type(), parsed.subject.is_some()) {
            entry["artifactType"] = json!(artifact_type);
        }
        if let Role::Tagged(tag) = role {
            entry["annotations"] = json!({ REF_NAME: tag.as_str() });
            if let Some(full_name) = full_name {
                entry["annotations"][CONTAINERD_NAME] = json!(full_name);
            }
        }
        let Some(Value::Array(entries)) = self.0.get_mut("manifests") else { return };
        if let Role::Tagged(tag) = role {
            entries.retain(|entry| entry["annotations"][REF_NAME].as_str() != Some(tag.as_str()));
        }
        entries.push(entry);
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }
}
