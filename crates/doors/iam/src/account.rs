//! GetAccountSummary, ListAccountAliases.

use crate::Iam;
use crate::types::PageIn;
use call::Operation;
use identity::{Error, account_summary};
use kernel::access::{Need, Resource};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
pub struct GetAccountSummary {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    summary_map: BTreeMap<&'static str, i64>,
}

impl Operation for GetAccountSummary {
    const NAME: &'static str = "GetAccountSummary";
    type Api = Iam;
    type Checked = ();
    type Output = Summary;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("iam:GetAccountSummary", Resource::any(registry.account))]
    }

    fn check(self) -> Result<(), Error> {
        Ok(())
    }

    async fn handle((): (), cx: &Cx, _app: &App) -> Result<Summary, Error> {
        Ok(Summary { summary_map: account_summary::read(cx).await? })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAccountAliases {
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Aliases {
    account_aliases: Vec<String>,
    is_truncated: bool,
}

impl Operation for ListAccountAliases {
    const NAME: &'static str = "ListAccountAliases";
    type Api = Iam;
    type Checked = PageIn;
    type Output = Aliases;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("iam:ListAccountAliases", Resource::any(registry.account))]
    }

    fn check(self) -> Result<PageIn, Error> {
        PageIn::check(self.marker, self.max_items)
    }

    /// Accounts of Ecru have no alias: an alias is for AWS's sign-in page.
    async fn handle(_page: PageIn, _cx: &Cx, _app: &App) -> Result<Aliases, Error> {
        Ok(Aliases { account_aliases: Vec::new(), is_truncated: false })
    }
}
