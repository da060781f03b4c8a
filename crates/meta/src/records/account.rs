//! Accounts, account settings, and the proofs of root keys.

use super::RegistryKey;
use crate::{Error, Lookup, Tx};
use std::collections::BTreeSet;

statements! {
    ROOT_KEY_GET = "SELECT proof FROM root_key WHERE number = $1";
    ROOT_KEY_INSERT = "INSERT INTO root_key (number, proof, created_at) VALUES ($1, $2, $3) ON CONFLICT (number) DO NOTHING";
    ROOT_KEY_COUNT = "SELECT count(*) FROM root_key";
    /// A sealed secret starts with a version byte and four bytes of its root key's number.
    ROOT_KEYS_USED = "SELECT substr(secret, 2, 4) FROM access_key UNION SELECT substr(secret, 2, 4) FROM sts_session";
    ACCOUNT_INSERT = "INSERT INTO account (id, created_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    ACCOUNT_LIST = "SELECT id, created_at FROM account WHERE id > $1 ORDER BY id LIMIT $2";
    /// One row if the account has a living repository in any region.
    ACCOUNT_HAS_REPOSITORY = "SELECT 1 FROM repository WHERE account = $1 AND deleted_at IS NULL LIMIT 1";
    /// One row if the account has a user, a group, a role, an instance profile or a managed policy.
    ACCOUNT_HAS_IDENTITY = "SELECT 1 FROM iam_entity WHERE account = $1 LIMIT 1";
    ACCOUNT_DELETE = "DELETE FROM account WHERE id = $1";
    ACCOUNT_DELETE_KEYS = "DELETE FROM access_key WHERE account = $1";
    ACCOUNT_DELETE_SESSIONS = "DELETE FROM sts_session WHERE account = $1";
    ACCOUNT_DELETE_CONTROL_POLICIES = "DELETE FROM control_policy WHERE account = $1";
    ACCOUNT_DELETE_REGISTRY_POLICIES = "DELETE FROM registry_policy WHERE account = $1";
    ACCOUNT_DELETE_SETTINGS = "DELETE FROM account_setting WHERE account = $1";
    ACCOUNT_SETTING_GET = "SELECT value FROM account_setting WHERE account = $1 AND region = $2 AND name = $3";
    ACCOUNT_SETTING_PUT = "INSERT INTO account_setting (account, region, name, value, updated_at) \
        VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (account, region, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
}

/// An account of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    pub id: String,
    pub created_at: i64,
}

/// Finds the value of a setting, if it was set.
pub fn setting(registry: &RegistryKey, name: &str) -> Lookup<String> {
    let params = [(&registry.account).into(), (&registry.region).into(), name.into()];
    Lookup::new(ACCOUNT_SETTING_GET, params, |mut row| row.take(0))
}

impl Tx<'_> {
    pub fn root_key_get(&mut self, number: u32) -> Result<Option<Vec<u8>>, Error> {
        self.query_opt(ROOT_KEY_GET, &[number.into()])?.map(|row| row.get(0)).transpose()
    }

    pub fn root_key_insert(&mut self, number: u32, proof: &[u8], now: i64) -> Result<(), Error> {
        self.execute(ROOT_KEY_INSERT, &[number.into(), proof.into(), now.into()])?;
        Ok(())
    }

    pub fn root_key_count(&mut self) -> Result<i64, Error> {
        self.query_opt(ROOT_KEY_COUNT, &[])?.map_or(Ok(0), |row| row.get(0))
    }

    /// Returns the numbers of the root keys that sealed the secrets of access keys and sessions.
    pub fn root_keys_used(&mut self) -> Result<BTreeSet<u32>, Error> {
        let numbers = self.query(ROOT_KEYS_USED, &[])?;
        let numbers = numbers.iter().map(|row| row.get::<Vec<u8>>(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(numbers.iter().filter_map(|bytes| bytes.as_slice().try_into().ok().map(u32::from_be_bytes)).collect())
    }

    pub fn account_insert(&mut self, account: &str, now: i64) -> Result<(), Error> {
        self.execute(ACCOUNT_INSERT, &[account.into(), now.into()])?;
        Ok(())
    }

    /// The accounts after an id, ordered by id.
    pub fn account_list(&mut self, after: &str, limit: u32) -> Result<Vec<AccountRow>, Error> {
        let rows = self.query(ACCOUNT_LIST, &[after.into(), limit.into()])?;
        rows.into_iter().map(|mut row| Ok(AccountRow { id: row.take(0)?, created_at: row.get(1)? })).collect()
    }

    /// True if the account has a repository in any region.
    pub fn account_has_repository(&mut self, account: &str) -> Result<bool, Error> {
        Ok(self.query_opt(ACCOUNT_HAS_REPOSITORY, &[account.into()])?.is_some())
    }

    /// True if the account has a user, a group, a role, an instance profile or a managed policy.
    pub fn account_has_identity(&mut self, account: &str) -> Result<bool, Error> {
        Ok(self.query_opt(ACCOUNT_HAS_IDENTITY, &[account.into()])?.is_some())
    }

    /// Deletes an account with its keys, sessions, settings and policies.
    pub fn account_delete(&mut self, account: &str) -> Result<(), Error> {
        for statement in [
            ACCOUNT_DELETE_KEYS,
            ACCOUNT_DELETE_SESSIONS,
            ACCOUNT_DELETE_CONTROL_POLICIES,
            ACCOUNT_DELETE_REGISTRY_POLICIES,
            ACCOUNT_DELETE_SETTINGS,
            ACCOUNT_DELETE,
        ] {
            self.execute(statement, &[account.into()])?;
        }
        Ok(())
    }

    pub fn account_setting_put(
        &mut self,
        registry: &RegistryKey,
        name: &str,
        value: &str,
        now: i64,
    ) -> Result<(), Error> {
        let params = [(&registry.account).into(), (&registry.region).into(), name.into(), value.into(), now.into()];
        self.execute(ACCOUNT_SETTING_PUT, &params)?;
        Ok(())
    }
}
