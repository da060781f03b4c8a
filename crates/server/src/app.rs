//! What every door stands on.
use crate::addresses::Addresses;
use registry::System;
use registry::credential::ProcessKeys;
use std::sync::Arc;

/// Shared by all listeners and doors of the process.
pub struct App {
    pub system: Arc<System>,
    pub addresses: Addresses,
    pub process_keys: ProcessKeys,
    /// Whether `/v2/` blob GETs are answered with 307 to a signed layer URL.
    pub redirect_layers: bool,
    /// Bytes that bodies of AWS calls may hold in memory at once (DESIGN "Promises": 256 MiB).
    pub call_bodies: Arc<tokio::sync::Semaphore>,
}
