//! Every limit, by name, with AWS's value as default (`ECR.md` M). Settings change them; DESIGN "Limits" lists them.
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a layer.
    pub layer_bytes: u64,
    /// Bytes of one part of UploadLayerPart.
    pub layer_part_bytes: u64,
    /// Bytes that every part but the last must have.
    pub layer_part_min_bytes: u64,
    /// Parts of one upload.
    pub layer_parts: u32,
    /// Layers up to this size live in a record.
    pub inline_layer_bytes: usize,
    pub repositories_per_registry: u64,
    pub images_per_repository: u64,
    pub tags_per_image: u64,
    /// Layers of an image, and images of an index: as many as a layer may have parts. AWS documents none.
    pub manifest_descriptors: usize,
    pub resource_tags: usize,
    pub token_life: Duration,
    pub layer_url_life: Duration,
    pub clock_skew: Duration,
    pub upload_life: Duration,
    /// The longest that one request may take.
    pub request_time: Duration,
    /// The longest time between a client's HEAD of a layer and its manifest.
    pub push_life: Duration,
    /// How long an unreferenced layer stays.
    pub grace: Duration,
    /// The push window of `ECR.md` R.
    pub push_window: Duration,
}

impl Limits {
    /// Bytes of one part of UploadLayerPart at most, as the service model bounds `layerPartBlob`.
    pub const LAYER_PART_BYTES: u64 = 20 * 1024 * 1024;
}

impl Default for Limits {
    fn default() -> Limits {
        const MIB: u64 = 1024 * 1024;
        const HOUR: u64 = 3600;
        Limits {
            layer_bytes: 52_000 * MIB,
            layer_part_bytes: Limits::LAYER_PART_BYTES,
            layer_part_min_bytes: 5 * MIB,
            layer_parts: 4_200,
            inline_layer_bytes: 16 * 1024,
            repositories_per_registry: 100_000,
            images_per_repository: 100_000,
            tags_per_image: 1_000,
            manifest_descriptors: 4_200,
            resource_tags: 50,
            token_life: Duration::from_secs(12 * HOUR),
            layer_url_life: Duration::from_secs(HOUR),
            clock_skew: Duration::from_secs(15 * 60),
            upload_life: Duration::from_secs(24 * HOUR),
            request_time: Duration::from_secs(24 * HOUR),
            push_life: Duration::from_secs(24 * HOUR),
            grace: Duration::from_secs(72 * HOUR),
            push_window: Duration::from_secs(5),
        }
    }
}
