//! DescribeRegistry (`ECR.md` A.1).

use super::failure::Ecr;
use aws::AccountId;
use call::Operation;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::{Error, permission};
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub struct DescribeRegistry {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    registry_id: AccountId,
    replication_configuration: ReplicationConfiguration,
}

/// Always empty: replication rules can't be set yet.
#[derive(Debug, Serialize)]
struct ReplicationConfiguration {
    rules: [(); 0],
}

impl Operation for DescribeRegistry {
    const NAME: &'static str = "DescribeRegistry";
    type Api = Ecr;
    type Checked = ();
    type Output = Output;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecr:DescribeRegistry", permission::registry(registry))]
    }

    fn check(self) -> Result<(), Error> {
        Ok(())
    }

    async fn handle((): (), cx: &Cx, _app: &App) -> Result<Output, Error> {
        Ok(Output {
            registry_id: cx.registry.account,
            replication_configuration: ReplicationConfiguration { rules: [] },
        })
    }
}
