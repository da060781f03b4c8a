//! The state that all doors share.

use crate::addresses::Addresses;
use crate::forwarded::TrustedProxies;
use crate::health::Health;
use crate::local_only::Answers;
use crate::memory::{BudgetSizes, Budgets};
use crate::metrics::Metrics;
use identity::credential::{self, ProcessKeys};
pub use identity::credential::{Credential, InvalidSessionToken};
use identity::credential_use;
use kernel::access::Caller;
use kernel::clock::Time;
use kernel::{CommonError, System};
use std::sync::Arc;

/// The state shared by all listeners and doors of the process. It is made once, at start.
pub struct App {
    pub system: Arc<System>,
    /// When the process started serving, by the system's clock.
    pub started: Time,
    pub addresses: Addresses,
    pub process_keys: ProcessKeys,
    /// Whether `/v2/` blob GETs are answered with 307 to a signed layer URL.
    pub redirect_layers: bool,
    pub trusted_proxies: TrustedProxies,
    /// Which clients the server answers: with `--dev`, only those on this machine.
    pub answers: Answers,
    /// Memory budgets for bodies and answers that are held whole.
    pub budgets: Arc<Budgets>,
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
        answers: Answers,
        memory: BudgetSizes,
    ) -> Arc<App> {
        let budgets = Arc::new(Budgets::new(memory));
        let mut metrics = Metrics::new(system.clone(), budgets.clone());
        let health = Health::default();
        metrics.count_outages(&health.outages);
        Arc::new(App {
            started: system.now(),
            system,
            addresses,
            process_keys,
            redirect_layers,
            trusted_proxies,
            answers,
            budgets,
            metrics,
            health,
        })
    }

    /// Looks an access key up; `None` for one that is unknown or inactive.
    pub async fn credential(&self, access_key_id: &str) -> Result<Option<Credential>, CommonError> {
        credential::find(&self.system, &self.process_keys, access_key_id).await
    }

    /// Records the use of a caller's access key or role by an authenticated call of a service. No call waits for it.
    pub fn record_use(&self, caller: &Caller, service: &str, region: &str) {
        credential_use::record(&self.system, caller, service, region);
    }
}
