//! What every door stands on.
use crate::addresses::Addresses;
use crate::forwarded::TrustedProxies;
use crate::health::Health;
use crate::metrics::Metrics;
use registry::System;
use registry::clock::Time;
use registry::credential::ProcessKeys;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Bytes that bodies of AWS calls and manifests may hold in memory at once (DESIGN "Promises").
pub const CALL_BODY_BYTES: usize = 256 * 1024 * 1024;

/// Shared by all listeners and doors of the process.
pub struct App {
    pub system: Arc<System>,
    /// When the process began to serve, by the system's clock.
    pub started: Time,
    pub addresses: Addresses,
    pub process_keys: ProcessKeys,
    /// Whether `/v2/` blob GETs are answered with 307 to a signed layer URL.
    pub redirect_layers: bool,
    pub trusted_proxies: TrustedProxies,
    /// Bytes that bodies of AWS calls and manifests may still take of [`CALL_BODY_BYTES`].
    pub call_bodies: Arc<Semaphore>,
    pub metrics: Metrics,
    pub health: Health,
}

impl App {
    pub fn new(
        system: Arc<System>,
        addresses: Addresses,
        process_keys: ProcessKeys,
        redirect_layers: bool,
        trusted_proxies: TrustedProxies,
    ) -> Arc<App> {
        let call_bodies = Arc::new(Semaphore::new(CALL_BODY_BYTES));
        let metrics = Metrics::new(system.clone(), call_bodies.clone());
        Arc::new(App {
            started: system.now(),
            system,
            addresses,
            process_keys,
            redirect_layers,
            trusted_proxies,
            call_bodies,
            metrics,
            health: Health::default(),
        })
    }
}
