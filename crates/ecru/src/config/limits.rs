//! The table `[limits]` of the file: its settings and their bounds.

use kernel::limits::Limits;
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::time::Duration;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
/// DESIGN "Limits": 5 minutes to 7 days.
const TOKEN_LIFE: RangeInclusive<u64> = 5 * MINUTE..=7 * DAY;
/// A signed URL stays valid for up to this long after access is revoked. SigV4's presigned URLs also end after 7 days.
const LAYER_URL_LIFE: RangeInclusive<u64> = 1..=7 * DAY;
/// A minute allows for clocks that are set by hand; the larger the skew, the easier replays are.
const CLOCK_SKEW: RangeInclusive<u64> = 1..=DAY;
/// How long an abandoned upload keeps its bytes.
const UPLOAD_LIFE: RangeInclusive<u64> = MINUTE..=30 * DAY;
/// The push window of `ECR.md` R; 0 disables it.
const PUSH_WINDOW: RangeInclusive<u64> = 0..=DAY;
/// Any size that a file can have.
const LAYER_BYTES: RangeInclusive<u64> = 1..=i64::MAX as u64;
/// Any number that a record can count.
const COUNT: RangeInclusive<u64> = 1..=i64::MAX as u64;
/// An inline layer is collected in one pooled buffer, which must not become full.
const INLINE_LAYER_BYTES: RangeInclusive<u64> = 0..=blob::Buffers::SIZE as u64 - 1;

/// The table as written. An absent setting keeps its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitTable {
    token_life_seconds: Option<u64>,
    upload_life_seconds: Option<u64>,
    push_window_seconds: Option<u64>,
    layer_url_life_seconds: Option<u64>,
    clock_skew_seconds: Option<u64>,
    layer_bytes: Option<u64>,
    repositories_per_registry: Option<u64>,
    images_per_repository: Option<u64>,
    inline_layer_bytes: Option<u64>,
}

/// A limit outside its bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("limits.{key} is {value}, and must be from {} to {}", allowed.start(), allowed.end())]
pub struct OutOfBounds {
    key: &'static str,
    value: u64,
    allowed: RangeInclusive<u64>,
}

impl LimitTable {
    /// Applies the table to the defaults.
    pub fn limits(&self) -> Result<Limits, OutOfBounds> {
        let mut limits = Limits::default();
        for (key, value, allowed, target) in [
            ("token_life_seconds", self.token_life_seconds, TOKEN_LIFE, &mut limits.token_life),
            ("upload_life_seconds", self.upload_life_seconds, UPLOAD_LIFE, &mut limits.upload_life),
            ("push_window_seconds", self.push_window_seconds, PUSH_WINDOW, &mut limits.push_window),
            ("layer_url_life_seconds", self.layer_url_life_seconds, LAYER_URL_LIFE, &mut limits.layer_url_life),
            ("clock_skew_seconds", self.clock_skew_seconds, CLOCK_SKEW, &mut limits.clock_skew),
        ] {
            if let Some(seconds) = within(key, value, allowed)? {
                *target = Duration::from_secs(seconds);
            }
        }
        let (repositories, images) = (self.repositories_per_registry, self.images_per_repository);
        for (key, value, allowed, target) in [
            ("layer_bytes", self.layer_bytes, LAYER_BYTES, &mut limits.layer_bytes),
            ("repositories_per_registry", repositories, COUNT, &mut limits.repositories_per_registry),
            ("images_per_repository", images, COUNT, &mut limits.images_per_repository),
        ] {
            if let Some(number) = within(key, value, allowed)? {
                *target = number;
            }
        }
        if let Some(bytes) = within("inline_layer_bytes", self.inline_layer_bytes, INLINE_LAYER_BYTES)? {
            limits.inline_layer_bytes = usize::try_from(bytes).unwrap_or(limits.inline_layer_bytes);
        }
        Ok(limits)
    }
}

fn within(key: &'static str, value: Option<u64>, allowed: RangeInclusive<u64>) -> Result<Option<u64>, OutOfBounds> {
    match value {
        Some(value) if !allowed.contains(&value) => Err(OutOfBounds { key, value, allowed }),
        value => Ok(value),
    }
}
