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
    ACCOUNT_SETTING_GET = "SELECT value FROM account_setting WHERE account = $1 AND region = $2 AND name = $3";
    ACCOUNT_SETTING_PUT = "INSERT INTO account_setting (account, region, name, value, updated_at) \
        VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (account, region, name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at";
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
