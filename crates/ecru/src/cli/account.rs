//! `ecru account`: the accounts of a running server, and the service control policies that limit them.

use super::client::{ClientError, ServerArgs};
use admin::{AccountOut, CreateAccountOutput, ListAccountsOutput, ListControlPoliciesOutput, Nothing};
use aws::AccountId;
use jiff::Timestamp;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Manages the accounts of a running server, with the keys of the default account's administrator.
#[derive(Debug, clap::Subcommand)]
pub enum Account {
    Create(Create),
    List(List),
    Delete(Delete),
    /// Service control policies, which limit every user, role and administrator of an account.
    #[command(subcommand)]
    ControlPolicy(ControlPolicy),
}

/// Creates an account, and prints the keys of its administrator, which are never shown again.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// The account's id, 12 digits [default: random].
    pub account: Option<AccountId>,
    /// The account and its keys as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Lists the accounts.
#[derive(Debug, clap::Args)]
pub struct List {
    /// The accounts as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Deletes an account that has no repositories, users, groups, roles and policies any more, with its administrator's keys.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// The account's id.
    pub account: AccountId,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, clap::Subcommand)]
pub enum ControlPolicy {
    Put(PutPolicy),
    List(ListPolicies),
    Delete(DeletePolicy),
}

/// Adds a policy to an account, or replaces the one with the same name. The account's first policy comes with FullAWSAccess.
#[derive(Debug, clap::Args)]
pub struct PutPolicy {
    /// The account's id.
    pub account: AccountId,
    /// The policy's name.
    pub name: String,
    /// The file with the policy's document; - is the standard input.
    pub document: PathBuf,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Lists the policies of an account with their documents.
#[derive(Debug, clap::Args)]
pub struct ListPolicies {
    /// The account's id.
    pub account: AccountId,
    /// The policies as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Removes a policy from an account.
#[derive(Debug, clap::Args)]
pub struct DeletePolicy {
    /// The account's id.
    pub account: AccountId,
    /// The policy's name.
    pub name: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Account {
    /// Calls the server, and returns the text for a person or a script.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            Account::Create(create) => create.run().await,
            Account::List(list) => list.run().await,
            Account::Delete(delete) => delete.run().await,
            Account::ControlPolicy(ControlPolicy::Put(put)) => put.run().await,
            Account::ControlPolicy(ControlPolicy::List(list)) => list.run().await,
            Account::ControlPolicy(ControlPolicy::Delete(delete)) => delete.run().await,
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Create {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&environment)?;
        let input = json!({ "accountId": self.account });
        let new: CreateAccountOutput = client.call("CreateAccount", &input).await?;
        if self.json {
            return Ok(format!("{:#}\n", json!(new)));
        }
        let CreateAccountOutput { account_id, access_key_id, secret_access_key } = new;
        Ok(format!(
            "# Account {account_id} was created. The keys of its administrator are not shown again:\n\
             export AWS_ACCESS_KEY_ID={access_key_id}\n\
             export AWS_SECRET_ACCESS_KEY={secret_access_key}\n"
        ))
    }
}

impl List {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&environment)?;
        let (mut accounts, mut token): (Vec<AccountOut>, Option<String>) = (Vec::new(), None);
        loop {
            let page: ListAccountsOutput = client.call("ListAccounts", &json!({ "nextToken": token })).await?;
            accounts.extend(page.accounts);
            token = page.next_token;
            if token.is_none() {
                break;
            }
        }
        if self.json {
            return Ok(format!("{:#}\n", json!({ "accounts": accounts })));
        }
        Ok(table(&accounts))
    }
}

/// A line for each account.
fn table(accounts: &[AccountOut]) -> String {
    let mut text = "ACCOUNT       CREATED\n".to_owned();
    for AccountOut { account_id, created_at } in accounts {
        let created = Timestamp::from_microsecond(created_at.0).unwrap_or_default();
        text.push_str(&format!("{account_id}  {}\n", created.strftime("%Y-%m-%dT%H:%M:%SZ")));
    }
    text
}

impl Delete {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&environment)?;
        let Nothing {} = client.call("DeleteAccount", &json!({ "accountId": self.account })).await?;
        Ok(format!("Account {} was deleted.\n", self.account))
    }
}

impl PutPolicy {
    async fn run(self) -> Result<String, ClientError> {
        let document = read(&self.document).map_err(|source| ClientError::Document { path: self.document, source })?;
        let client = self.server.client(&environment)?;
        let input = json!({ "accountId": self.account, "policyName": self.name, "policyDocument": document });
        let Nothing {} = client.call("PutControlPolicy", &input).await?;
        Ok(format!("The policy {} limits the account {}.\n", self.name, self.account))
    }
}

/// Reads a file, or the standard input for `-`.
fn read(path: &Path) -> std::io::Result<String> {
    if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) }
}

impl ListPolicies {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&environment)?;
        let input = json!({ "accountId": self.account });
        let ListControlPoliciesOutput { policies } = client.call("ListControlPolicies", &input).await?;
        if self.json {
            return Ok(format!("{:#}\n", json!({ "policies": policies })));
        }
        if policies.is_empty() {
            return Ok(format!("No control policy limits the account {}.\n", self.account));
        }
        let policy =
            |policy: &admin::ControlPolicyOut| format!("{}:\n{}\n", policy.policy_name, policy.policy_document);
        Ok(policies.iter().map(policy).collect())
    }
}

impl DeletePolicy {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&environment)?;
        let input = json!({ "accountId": self.account, "policyName": self.name });
        let Nothing {} = client.call("DeleteControlPolicy", &input).await?;
        Ok(format!("The policy {} no longer limits the account {}.\n", self.name, self.account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_line() {
        let created_at = aws::Timestamp(1_795_258_800_000_000);
        let accounts = [AccountOut { account_id: "111122223333".to_owned(), created_at }];
        assert_eq!(table(&accounts), "ACCOUNT       CREATED\n111122223333  2026-11-21T11:00:00Z\n");
    }
}
