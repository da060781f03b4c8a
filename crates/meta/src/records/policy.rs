//! The policies of repositories and of registries.

use super::RegistryKey;
use crate::{Error, Lookup, RepositoryId, Tx};

statements! {
    /// One row, whatever exists. The tags are one text, separated by the control characters US and RS, which no tag contains.
    POLICY_OF_RESOURCE = "SELECT \
        (SELECT document FROM registry_policy WHERE account = $1 AND region = $2), \
        (SELECT value FROM account_setting WHERE account = $1 AND region = $2 AND name = 'REGISTRY_POLICY_SCOPE'), \
        (SELECT p.document FROM repository r JOIN repository_policy p ON p.repository_id = r.id \
            WHERE r.account = $1 AND r.region = $2 AND r.name = $3 AND r.deleted_at IS NULL), \
        (SELECT string_agg(t.key || '\u{1f}' || t.value, '\u{1e}') FROM repository r JOIN resource_tag t ON t.repository_id = r.id \
            WHERE r.account = $1 AND r.region = $2 AND r.name = $3 AND r.deleted_at IS NULL)";
    REPOSITORY_POLICY_GET = "SELECT document FROM repository_policy WHERE repository_id = $1";
    REPOSITORY_POLICY_PUT = "INSERT INTO repository_policy (repository_id, document, updated_at) VALUES ($1, $2, $3) \
        ON CONFLICT (repository_id) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at";
    REPOSITORY_POLICY_DELETE = "DELETE FROM repository_policy WHERE repository_id = $1";
    REGISTRY_POLICY_GET = "SELECT document FROM registry_policy WHERE account = $1 AND region = $2";
    REGISTRY_POLICY_PUT = "INSERT INTO registry_policy (account, region, document, updated_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (account, region) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at";
    REGISTRY_POLICY_DELETE = "DELETE FROM registry_policy WHERE account = $1 AND region = $2";
    ACCOUNT_EXISTS = "SELECT id FROM account WHERE id = $1";
}

/// The texts of the policies that concern a resource, and how far that of its registry goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePolicyRow {
    pub registry: Option<String>,
    /// The setting REGISTRY_POLICY_SCOPE, if it was put.
    pub scope: Option<String>,
    pub repository: Option<String>,
    /// The keys and values of the repository's tags.
    pub tags: Vec<(String, String)>,
}

/// Splits the text of tags that POLICY_OF_RESOURCE makes.
fn tags(text: &str) -> Vec<(String, String)> {
    let tags = text.split('\u{1e}').filter_map(|tag| tag.split_once('\u{1f}'));
    tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The policies that concern a repository of a registry, in one statement; an empty name is that of no repository.
pub fn of_resource(registry: &RegistryKey, repository: &str) -> Lookup<ResourcePolicyRow> {
    let params = [(&registry.account).into(), (&registry.region).into(), repository.into()];
    Lookup::new(POLICY_OF_RESOURCE, params, |mut row| {
        let (registry, scope, repository) = (row.take_some(0)?, row.take_some(1)?, row.take_some(2)?);
        let text: Option<String> = row.take_some(3)?;
        Ok(ResourcePolicyRow { registry, scope, repository, tags: text.as_deref().map(tags).unwrap_or_default() })
    })
}

/// The text of a registry's policy.
pub fn of_registry(registry: &RegistryKey) -> Lookup<String> {
    let params = [(&registry.account).into(), (&registry.region).into()];
    Lookup::new(REGISTRY_POLICY_GET, params, |mut row| row.take(0))
}

/// Whether an account exists in this store.
pub fn account_exists(id: &str) -> Lookup<()> {
    Lookup::new(ACCOUNT_EXISTS, [id.into()], |_| Ok(()))
}

impl Tx<'_> {
    /// The text of a repository's policy.
    pub fn repository_policy_get(&mut self, id: RepositoryId) -> Result<Option<String>, Error> {
        self.query_opt(REPOSITORY_POLICY_GET, &[id.into()])?.map(|mut row| row.take(0)).transpose()
    }

    pub fn repository_policy_put(&mut self, id: RepositoryId, document: &str, now: i64) -> Result<(), Error> {
        self.execute(REPOSITORY_POLICY_PUT, &[id.into(), document.into(), now.into()])?;
        Ok(())
    }

    pub fn repository_policy_delete(&mut self, id: RepositoryId) -> Result<(), Error> {
        self.execute(REPOSITORY_POLICY_DELETE, &[id.into()])?;
        Ok(())
    }

    pub fn registry_policy_put(&mut self, registry: &RegistryKey, document: &str, now: i64) -> Result<(), Error> {
        let params = [(&registry.account).into(), (&registry.region).into(), document.into(), now.into()];
        self.execute(REGISTRY_POLICY_PUT, &params)?;
        Ok(())
    }

    pub fn registry_policy_delete(&mut self, registry: &RegistryKey) -> Result<(), Error> {
        self.execute(REGISTRY_POLICY_DELETE, &[(&registry.account).into(), (&registry.region).into()])?;
        Ok(())
    }
}
