//! Content to push. It is new in each run, and costs almost nothing to make.

use oci::{Algorithm, Digest, Hasher};

pub const MIB: usize = 1024 * 1024;

/// A generator of pseudorandom bytes (xorshift64*), which can't be compressed and do not repeat.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Noise {
        // The state must not be 0.
        Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// A big layer, of which only one MiB is in memory. Each MiB is the same noise, with its number and the seed written into it.
pub struct BigLayer {
    block: Vec<u8>,
    mib: u64,
    pub digest: Digest,
}

impl BigLayer {
    /// Creates a layer of `mib` MiB. Each seed makes a different one.
    pub fn new(mib: u64, seed: u64) -> BigLayer {
        let mut block = Noise::new(1).bytes(MIB);
        block[8..16].copy_from_slice(&seed.to_le_bytes());
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for number in 0..mib {
            stamp(&mut block, number);
            hasher.update(&block);
        }
        BigLayer { block, mib, digest: hasher.finish() }
    }

    pub fn len(&self) -> u64 {
        self.mib * MIB as u64
    }

    /// Passes each MiB to `send`, in order.
    pub fn each<E>(&mut self, mut send: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        for number in 0..self.mib {
            stamp(&mut self.block, number);
            send(&self.block)?;
        }
        Ok(())
    }
}

fn stamp(block: &mut [u8], number: u64) {
    block[..8].copy_from_slice(&number.to_le_bytes());
}

/// Returns a seed that no earlier run has used, so that no server has the bytes already.
#[expect(clippy::disallowed_methods, reason = "a program of its own: no test moves its clock")]
pub fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

/// An image of a config and a layer, ready to push.
pub struct SmallImage {
    pub config: Layer,
    pub layer: Layer,
    pub manifest: Vec<u8>,
    pub tag: String,
}

pub struct Layer {
    pub bytes: Vec<u8>,
    pub digest: Digest,
}

impl Layer {
    pub fn new(bytes: Vec<u8>) -> Layer {
        Layer { digest: Digest::of(Algorithm::Sha256, &bytes), bytes }
    }
}

pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

impl SmallImage {
    /// Creates an image with a config of 1 KiB and a layer of 10 KiB, both unique.
    pub fn new(noise: &mut Noise, tag: String) -> SmallImage {
        const CONFIG: usize = 1024;
        const LAYER: usize = 10 * 1024;
        let head =
            r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]},"author":""#;
        let mut config = head.as_bytes().to_vec();
        while config.len() < CONFIG - 2 {
            config.push(b'a' + (noise.next() % 26) as u8);
        }
        config.extend_from_slice(b"\"}");
        let (config, layer) = (Layer::new(config), Layer::new(noise.bytes(LAYER)));
        SmallImage { manifest: manifest(&config, &layer, &tag), config, layer, tag }
    }
}

/// Writes an image manifest as clients do. The version distinguishes images of the same config and layer.
pub fn manifest(config: &Layer, layer: &Layer, version: &str) -> Vec<u8> {
    let descriptor = |media_type: &str, layer: &Layer| serde_json::json!({"mediaType": media_type, "digest": layer.digest.to_string(), "size": layer.bytes.len()});
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, config),
        "layers": [descriptor(LAYER_TYPE, layer)],
        "annotations": {"org.opencontainers.image.version": version},
    });
    manifest.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_big_layer_has_its_digest_and_depends_on_the_seed() {
        let mut big = BigLayer::new(3, 7);
        let mut sent = Vec::new();
        big.each(|piece| sent.write_all(piece)).unwrap();
        assert_eq!((sent.len() as u64, Digest::of(Algorithm::Sha256, &sent)), (big.len(), big.digest));
        assert!(sent[..MIB] != sent[MIB..2 * MIB]);
        assert_ne!(BigLayer::new(3, 8).digest, big.digest);
    }

    #[test]
    fn a_small_image_has_the_documented_sizes() {
        let image = SmallImage::new(&mut Noise::new(5), "v1".to_owned());
        assert_eq!((image.config.bytes.len(), image.layer.bytes.len()), (1024, 10 * 1024));
        oci::Manifest::parse(&image.manifest, Some(MANIFEST_TYPE)).unwrap();
        serde_json::from_slice::<serde_json::Value>(&image.config.bytes).unwrap();
    }
}
