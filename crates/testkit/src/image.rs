//! Builds images to push: deterministic layers, config and manifest, with OCI's or Docker's media types.

use crate::chance;
use bytes::Bytes;
use oci::MediaType;
use serde_json::{Value, json};

/// Returns the `sha256:HEX` digest of bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A manifest with the blobs that it references; an index has none.
#[derive(Clone, Debug)]
pub struct Image {
    pub manifest: Bytes,
    pub media_type: &'static str,
    /// The config first, then the layers.
    pub blobs: Vec<Bytes>,
    platform: Option<(&'static str, &'static str)>,
}

impl Image {
    /// Creates a small OCI image of one layer, different for each seed.
    pub fn new(seed: u64) -> Image {
        Image::builder(seed).build()
    }
    pub fn builder(seed: u64) -> Builder {
        Builder { seed, layers: vec![600], docker: false, platform: Some(("linux", "amd64")), members: Vec::new() }
    }
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
    /// Returns the manifest as text, as PutImage takes it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.manifest).into_owned()
    }
    pub fn config(&self) -> &Bytes {
        &self.blobs[0]
    }
    pub fn layer(&self) -> &Bytes {
        &self.blobs[1]
    }
    /// Returns the image's descriptor, for an index or a subject.
    pub fn descriptor(&self) -> Value {
        let mut descriptor =
            json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.manifest.len()});
        if let Some((os, architecture)) = self.platform {
            descriptor["platform"] = json!({"os": os, "architecture": architecture});
        }
        descriptor
    }
    /// Creates an OCI index of images.
    pub fn index(children: &[&Image]) -> Image {
        Image::list(children, MediaType::OCI_INDEX)
    }
    /// Creates a Docker manifest list of images.
    pub fn docker_list(children: &[&Image]) -> Image {
        Image::list(children, MediaType::DOCKER_LIST)
    }
    fn list(children: &[&Image], media_type: &'static str) -> Image {
        let children: Vec<Value> = children.iter().map(|child| child.descriptor()).collect();
        Image::of_entries(&children, media_type)
    }
    /// Creates an OCI index with these descriptors, unchanged.
    pub fn listing(entries: &[Value]) -> Image {
        Image::of_entries(entries, MediaType::OCI_INDEX)
    }
    fn of_entries(entries: &[Value], media_type: &'static str) -> Image {
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        Image { manifest: manifest.to_string().into(), media_type, blobs: Vec::new(), platform: None }
    }
}

pub struct Builder {
    seed: u64,
    layers: Vec<usize>,
    docker: bool,
    platform: Option<(&'static str, &'static str)>,
    members: Vec<(&'static str, Value)>,
}

impl Builder {
    /// Sets layers of these sizes in bytes.
    pub fn layers(mut self, sizes: &[usize]) -> Builder {
        self.layers = sizes.to_vec();
        self
    }
    /// Uses Docker's media types instead of OCI's.
    pub fn docker(mut self) -> Builder {
        self.docker = true;
        self
    }
    pub fn platform(mut self, os: &'static str, architecture: &'static str) -> Builder {
        self.platform = Some((os, architecture));
        self
    }
    /// Leaves out the platform in config and descriptor, as in an attestation.
    pub fn no_platform(mut self) -> Builder {
        self.platform = None;
        self
    }
    /// Sets a member of the manifest: `artifactType`, `annotations` and others.
    pub fn member(mut self, name: &'static str, value: Value) -> Builder {
        self.members.push((name, value));
        self
    }
    /// Makes the image a referrer of `subject`.
    pub fn subject(self, subject: &Image) -> Builder {
        let mut descriptor = subject.descriptor();
        descriptor.as_object_mut().expect("an object").remove("platform");
        self.member("subject", descriptor)
    }

    pub fn build(self) -> Image {
        let (media_type, config_type, layer_type) = if self.docker {
            let docker = "application/vnd.docker";
            (
                MediaType::DOCKER_MANIFEST,
                format!("{docker}.container.image.v1+json"),
                format!("{docker}.image.rootfs.diff.tar.gzip"),
            )
        } else {
            let oci = "application/vnd.oci.image";
            (MediaType::OCI_MANIFEST, format!("{oci}.config.v1+json"), format!("{oci}.layer.v1.tar+gzip"))
        };
        let layers: Vec<Bytes> =
            self.layers.iter().zip(1..).map(|(size, n)| chance::bytes(self.seed * 1000 + n, *size).into()).collect();
        let mut config = json!({
            "seed": self.seed,
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>()},
        });
        if let Some((os, architecture)) = self.platform {
            config["os"] = json!(os);
            config["architecture"] = json!(architecture);
        }
        let config = Bytes::from(config.to_string());
        let describe = |media_type: &str, bytes: &Bytes| json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()});
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": describe(&config_type, &config),
            "layers": layers.iter().map(|layer| describe(&layer_type, layer)).collect::<Vec<_>>(),
        });
        for (name, value) in self.members {
            manifest[name] = value;
        }
        let blobs = std::iter::once(config).chain(layers).collect();
        Image { manifest: manifest.to_string().into(), media_type, blobs, platform: self.platform }
    }
}
