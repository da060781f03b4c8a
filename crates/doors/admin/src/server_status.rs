//! ServerStatus: version, readiness and engine of the answering node.

use crate::{Admin, Error};
use aws::Timestamp;
use call::Operation;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::permission;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub struct ServerStatus {}

/// The state of the answering node.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub version: String,
    /// When the process started serving.
    pub started_at: Timestamp,
    /// Seconds since then, by the server's clock.
    pub uptime_seconds: u64,
    /// Whether the node can accept pushes now, as `/readyz` reports.
    pub ready: bool,
    /// Why the node is not ready; empty if it is.
    pub problems: Vec<String>,
    /// `sqlite` or `postgres`.
    pub metadata_engine: String,
    /// Free bytes in the memory budget for the bodies of AWS calls, manifests and their answers.
    pub call_body_bytes_free: u64,
}

impl Operation for ServerStatus {
    const NAME: &'static str = "ServerStatus";
    type Api = Admin;
    type Checked = ();
    type Output = Output;

    /// Authorized in the default account, like every call about the whole server.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:ServerStatus", permission::registry(registry))]
    }

    fn check(self) -> Result<(), Error> {
        Ok(())
    }

    async fn handle((): (), cx: &Cx, app: &App) -> Result<Output, Error> {
        let problems = app.health.ready(cx).await.err().unwrap_or_default();
        Ok(Output {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: Timestamp(app.started.0),
            // Zero if the clock was set back since the start.
            uptime_seconds: u64::try_from(cx.now().0.saturating_sub(app.started.0)).unwrap_or(0) / 1_000_000,
            ready: problems.is_empty(),
            problems,
            metadata_engine: cx.db.engine().to_owned(),
            call_body_bytes_free: app.budgets.free() as u64,
        })
    }
}
