//! Content for a repository, of any shape and with either hash, with what its answers must say.

use oci::{Algorithm, Digest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const MANIFEST: &str = oci::MediaType::OCI_MANIFEST;
pub const INDEX: &str = oci::MediaType::OCI_INDEX;
pub const EMPTY: &str = oci::MediaType::OCI_EMPTY;
pub const EXAMPLE: &str = "application/vnd.example.conformance";

pub struct Blob {
    pub bytes: Vec<u8>,
    pub digest: String,
}

pub struct Manifest {
    pub bytes: Vec<u8>,
    pub digest: String,
    pub media_type: &'static str,
    pub tags: Vec<String>,
    pub subject: Option<String>,
}

/// Blobs and manifests in the order in which they are to be pushed.
pub struct Content {
    algorithm: Algorithm,
    pub blobs: Vec<Blob>,
    pub manifests: Vec<Manifest>,
    /// By subject, the descriptors of its referrers.
    pub referrers: BTreeMap<String, Vec<Value>>,
}

impl Content {
    pub fn new(algorithm: Algorithm) -> Content {
        Content { algorithm, blobs: Vec::new(), manifests: Vec::new(), referrers: BTreeMap::new() }
    }

    /// Adds a blob and returns its descriptor.
    pub fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(self.algorithm, bytes).to_string();
        if self.blobs.iter().all(|blob| blob.digest != digest) {
            self.blobs.push(Blob { bytes: bytes.to_vec(), digest: digest.clone() });
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Adds an image, whose config and layer are new ones unless `members` says others, and returns its descriptor.
    pub fn image(&mut self, tags: &[&str], members: Value) -> Value {
        let number = self.manifests.len();
        let mut manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST});
        manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        if manifest.get("config").is_none() {
            let config = json!({"architecture": "amd64", "os": "linux", "number": number}).to_string();
            manifest["config"] = self.blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
        }
        if manifest.get("layers").is_none() {
            let layer = format!("layer of image {number}");
            manifest["layers"] = json!([self.blob("application/vnd.oci.image.layer.v1.tar+gzip", layer.as_bytes())]);
        }
        let fallback = manifest["config"]["mediaType"].as_str().map(str::to_owned);
        self.add(MANIFEST, tags, &manifest, fallback)
    }

    /// Adds an index and returns its descriptor.
    pub fn index(&mut self, tags: &[&str], children: &[Value], members: Value) -> Value {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        manifest.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self.add(INDEX, tags, &manifest, None)
    }

    /// `artifact_type`: what a list of referrers says where the manifest says nothing.
    fn add(
        &mut self,
        media_type: &'static str,
        tags: &[&str],
        manifest: &Value,
        artifact_type: Option<String>,
    ) -> Value {
        // With white space, since the bytes are to come back as they are.
        let bytes = serde_json::to_vec_pretty(manifest).unwrap();
        let digest = Digest::of(self.algorithm, &bytes).to_string();
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        let subject = manifest["subject"]["digest"].as_str().map(str::to_owned);
        if let Some(subject) = &subject {
            let mut referrer = descriptor.clone();
            if let Some(kind) = manifest["artifactType"].as_str().map(str::to_owned).or(artifact_type) {
                referrer["artifactType"] = json!(kind);
            }
            if let Some(annotations) = manifest.get("annotations") {
                referrer["annotations"] = annotations.clone();
            }
            self.referrers.entry(subject.clone()).or_default().push(referrer);
        }
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.manifests.push(Manifest { bytes, digest, media_type, tags, subject });
        descriptor
    }
}
