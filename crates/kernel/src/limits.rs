//! All limits by name. The defaults are AWS's (`ECR.md` M). Settings change them; DESIGN "Limits" lists the settings.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest layer, in bytes.
    pub layer_bytes: u64,
    /// The largest part of UploadLayerPart, in bytes.
    pub layer_part_bytes: u64,
    /// The smallest part except the last, in bytes.
    pub layer_part_min_bytes: u64,
    /// The largest number of parts in an upload.
    pub layer_parts: u32,
    /// The largest layer that is stored in a database row, in bytes.
    pub inline_layer_bytes: usize,
    pub repositories_per_registry: u64,
    pub images_per_repository: u64,
    pub tags_per_image: u64,
    /// The largest number of layers in an image, and of images in an index. AWS documents no limit; this is its limit of parts.
    pub manifest_descriptors: usize,
    pub resource_tags: usize,
    pub token_life: Duration,
    pub layer_url_life: Duration,
    pub clock_skew: Duration,
    pub upload_life: Duration,
    /// The longest time of one request.
    pub request_time: Duration,
    /// The longest time between a client's HEAD of a layer and its PUT of the manifest.
    pub push_life: Duration,
    /// The time for which an unreferenced layer is kept.
    pub grace: Duration,
    /// The time for which deleted images and repositories can be restored.
    pub undelete_window: Duration,
    /// The age at which bytes that no record names are removed. It exceeds the longest request and the longest upload.
    pub sweep_age: Duration,
    /// The time for which events are kept.
    pub event_age: Duration,
    /// The push window of `ECR.md` R.
    pub push_window: Duration,
}

impl Limits {
    /// The largest part of UploadLayerPart, in bytes. The service model limits `layerPartBlob` to this size.
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
            undelete_window: Duration::from_secs(7 * 24 * HOUR),
            sweep_age: Duration::from_secs(48 * HOUR),
            event_age: Duration::from_secs(400 * 24 * HOUR),
            push_window: Duration::from_secs(5),
        }
    }
}
