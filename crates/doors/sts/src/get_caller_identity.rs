//! GetCallerIdentity: who signed the call (`ECR.md` P).

use crate::Sts;
use aws::AccountId;
use call::Operation;
use identity::session::Error;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
pub struct GetCallerIdentity {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    arn: String,
    user_id: String,
    account: AccountId,
}

impl Operation for GetCallerIdentity {
    const NAME: &'static str = "GetCallerIdentity";
    type Api = Sts;
    type Checked = ();
    type Output = Output;

    /// Needs no permission: every authenticated caller may ask for its own identity.
    fn needs(&self, _registry: &RegistryId) -> Vec<Need> {
        Vec::new()
    }

    fn check(self) -> Result<(), Error> {
        Ok(())
    }

    async fn handle((): (), cx: &Cx, _app: &App) -> Result<Output, Error> {
        Ok(Output { arn: cx.caller_arn(), user_id: cx.caller.user_id(), account: cx.registry.account })
    }
}
