//! RetryJobs: makes dead jobs due again.

use crate::{Admin, Error};
use call::{Operation, check};
use kernel::access::Need;
use kernel::{Cx, RegistryId, jobs};
use listen::app::App;
use registry::permission;
use serde::{Deserialize, Serialize};

/// Maximum characters of a kind or a key.
const NAME_CHARACTERS: u64 = 1024;

#[derive(Debug, Deserialize)]
pub struct RetryJobs {
    kind: Option<String>,
    /// The key of one job; if absent, all dead jobs of the kind.
    key: Option<String>,
}

#[derive(Debug)]
pub struct Checked {
    kind: String,
    key: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Output {
    /// Number of dead jobs that were made due.
    pub retried: u64,
}

impl Operation for RetryJobs {
    const NAME: &'static str = "RetryJobs";
    type Api = Admin;
    type Checked = Checked;
    type Output = Output;

    /// Authorized in the default account, like every call about the whole server.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:RetryJobs", permission::registry(registry))]
    }

    fn check(self) -> Result<Checked, Error> {
        let kind = check::required("kind", self.kind)?;
        check::length("kind", &kind, 1, NAME_CHARACTERS)?;
        if let Some(key) = &self.key {
            check::length("key", key, 1, NAME_CHARACTERS)?;
        }
        Ok(Checked { kind, key: self.key })
    }

    async fn handle(Checked { kind, key }: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        Ok(Output { retried: jobs::retry(&cx.system, &kind, key.as_deref()).await? })
    }
}
