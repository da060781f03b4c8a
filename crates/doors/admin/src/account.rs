//! CreateAccount, ListAccounts, DeleteAccount: the accounts of the server.

use crate::{Admin, Error};
use aws::{AccountId, Timestamp};
use call::page::{Listing, PageRequest};
use call::{Operation, check};
use identity::account;
use kernel::access::Need;
use kernel::{CommonError, Constraint, Cx, RegistryId};
use listen::app::App;
use registry::permission;
use serde::{Deserialize, Serialize};

/// Accounts of a page: the default, and the maximum.
const DEFAULT_RESULTS: u32 = 100;
const MAX_RESULTS: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateAccount {
    /// 12 digits; if absent, a random id is chosen.
    account_id: Option<String>,
}

/// A new account. The secret is shown in this answer only.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateAccountOutput {
    pub account_id: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl Operation for CreateAccount {
    const NAME: &'static str = "CreateAccount";
    type Api = Admin;
    type Checked = Option<AccountId>;
    type Output = CreateAccountOutput;

    /// Authorized in the default account, like every call about the whole server.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:CreateAccount", permission::registry(registry))]
    }

    fn check(self) -> Result<Option<AccountId>, Error> {
        Ok(self.account_id.map(|id| check::account("accountId", &id)).transpose()?)
    }

    async fn handle(id: Option<AccountId>, cx: &Cx, _app: &App) -> Result<CreateAccountOutput, Error> {
        let new = account::create(cx, id).await?;
        Ok(CreateAccountOutput {
            account_id: new.id.to_string(),
            access_key_id: new.access_key_id,
            secret_access_key: new.secret.to_string(),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListAccounts {
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListAccountsOutput {
    pub accounts: Vec<AccountOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountOut {
    pub account_id: String,
    pub created_at: Timestamp,
}

impl Operation for ListAccounts {
    const NAME: &'static str = "ListAccounts";
    type Api = Admin;
    type Checked = PageRequest;
    type Output = ListAccountsOutput;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:ListAccounts", permission::registry(registry))]
    }

    fn check(self) -> Result<PageRequest, Error> {
        let limit = check::max_results(self.max_results, DEFAULT_RESULTS, MAX_RESULTS)?;
        Ok(PageRequest { token: self.next_token, limit })
    }

    async fn handle(asked: PageRequest, cx: &Cx, _app: &App) -> Result<ListAccountsOutput, Error> {
        let listing = Listing::new(cx, Self::NAME, &[]);
        let after = listing.decode_cursor(asked.token.as_deref())?.map(read_cursor).transpose()?;
        let (accounts, more) = account::list(cx, after, asked.limit).await?;
        let next = accounts.last().filter(|_| more).map(|last| last.id.clone().into_bytes());
        let out = |account: account::Account| AccountOut {
            account_id: account.id,
            created_at: Timestamp(account.created_at),
        };
        Ok(ListAccountsOutput {
            accounts: accounts.into_iter().map(out).collect(),
            next_token: listing.encode_cursor(next),
        })
    }
}

/// Parses a cursor: the last account of the previous page.
fn read_cursor(cursor: Vec<u8>) -> Result<AccountId, CommonError> {
    let id = String::from_utf8(cursor).ok().and_then(|text| text.parse().ok());
    id.ok_or_else(|| CommonError::invalid("nextToken", Constraint::Text("Invalid token".into())))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteAccount {
    account_id: Option<String>,
}

/// The output of an operation that returns nothing.
#[derive(Debug, Deserialize, Serialize)]
pub struct Nothing {}

impl Operation for DeleteAccount {
    const NAME: &'static str = "DeleteAccount";
    type Api = Admin;
    type Checked = AccountId;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:DeleteAccount", permission::registry(registry))]
    }

    fn check(self) -> Result<AccountId, Error> {
        required(self.account_id)
    }

    async fn handle(id: AccountId, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        account::delete(cx, id).await?;
        Ok(Nothing {})
    }
}

/// Checks the member `accountId`, which is required.
pub(super) fn required(id: Option<String>) -> Result<AccountId, Error> {
    Ok(check::account("accountId", &check::required("accountId", id)?)?)
}
