//! GetAccessKeyInfo: the account that an access key belongs to (`ECR.md` P).

use crate::Sts;
use crate::types;
use aws::AccountId;
use call::{Operation, check};
use identity::session::{self, Error};
use kernel::access::{Need, Resource};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetAccessKeyInfo {
    access_key_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Output {
    account: AccountId,
}

impl Operation for GetAccessKeyInfo {
    const NAME: &'static str = "GetAccessKeyInfo";
    type Api = Sts;
    type Checked = String;
    type Output = Output;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("sts:GetAccessKeyInfo", Resource::any(registry.account))]
    }

    fn check(self) -> Result<String, Error> {
        let id = check::required("accessKeyId", self.access_key_id)?;
        types::text("accessKeyId", id, (16, 128), (r"[\w]*", types::is_word))
    }

    async fn handle(id: String, cx: &Cx, app: &App) -> Result<Output, Error> {
        Ok(Output { account: session::account_of_key(cx, &app.process_keys, &id).await? })
    }
}
