//! Repositories and their resource tags.

use super::RegistryKey;
use crate::{Error, Lookup, RepositoryId, Row, Tx};

statements! {
    REPOSITORY_BY_NAME = "SELECT id, name, created_at, tag_mutability, mutability_filters, scan_on_push, encryption, protected \
        FROM repository WHERE account = $1 AND region = $2 AND name = $3 AND deleted_at IS NULL";
    REPOSITORY_LIST = "SELECT id, name, created_at, tag_mutability, mutability_filters, scan_on_push, encryption, protected \
        FROM repository WHERE account = $1 AND region = $2 AND name > $3 AND deleted_at IS NULL ORDER BY name LIMIT $4";
    REPOSITORY_COUNT = "SELECT count(*) FROM repository WHERE account = $1 AND region = $2 AND deleted_at IS NULL";
    REPOSITORY_INSERT = "INSERT INTO repository (id, account, region, name, created_at, tag_mutability, mutability_filters, \
        scan_on_push, encryption, protected, deleted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL)";
    REPOSITORY_DELETE = "UPDATE repository SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    REPOSITORY_SET_MUTABILITY = "UPDATE repository SET tag_mutability = $2, mutability_filters = $3 WHERE id = $1";
    REPOSITORY_SET_SCAN = "UPDATE repository SET scan_on_push = $2 WHERE id = $1";
    RESOURCE_TAG_PUT = "INSERT INTO resource_tag (repository_id, key, value) VALUES ($1, $2, $3) \
        ON CONFLICT (repository_id, key) DO UPDATE SET value = excluded.value";
    RESOURCE_TAG_DELETE = "DELETE FROM resource_tag WHERE repository_id = $1 AND key = $2";
    RESOURCE_TAG_LIST = "SELECT key, value FROM resource_tag WHERE repository_id = $1 ORDER BY key";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRow {
    pub id: RepositoryId,
    pub name: String,
    pub created_at: i64,
    pub tag_mutability: String,
    /// Wildcards, one on each line.
    pub mutability_filters: String,
    pub scan_on_push: bool,
    /// The encryption identity.
    pub encryption: String,
    pub protected: bool,
}

fn repository(row: &Row) -> Result<RepositoryRow, Error> {
    Ok(RepositoryRow {
        id: row.get(0)?,
        name: row.get(1)?,
        created_at: row.get(2)?,
        tag_mutability: row.get(3)?,
        mutability_filters: row.get(4)?,
        scan_on_push: row.get(5)?,
        encryption: row.get(6)?,
        protected: row.get(7)?,
    })
}

/// Finds a repository by its name, unless it is deleted.
pub fn by_name(registry: &RegistryKey, name: &str) -> Lookup<RepositoryRow> {
    let params = [(&registry.account).into(), (&registry.region).into(), name.into()];
    Lookup::new(REPOSITORY_BY_NAME, params, |row| repository(&row))
}

impl Tx<'_> {
    /// See [`by_name`].
    pub fn repository_by_name(&mut self, registry: &RegistryKey, name: &str) -> Result<Option<RepositoryRow>, Error> {
        self.look_up(by_name(registry, name))
    }

    /// Lists the repositories after `after` that are not deleted, ordered by name.
    pub fn repository_list(
        &mut self,
        registry: &RegistryKey,
        after: &str,
        limit: u32,
    ) -> Result<Vec<RepositoryRow>, Error> {
        let params = [(&registry.account).into(), (&registry.region).into(), after.into(), limit.into()];
        self.query(REPOSITORY_LIST, &params)?.iter().map(repository).collect()
    }

    pub fn repository_count(&mut self, registry: &RegistryKey) -> Result<i64, Error> {
        let row = self.query_opt(REPOSITORY_COUNT, &[(&registry.account).into(), (&registry.region).into()])?;
        row.map_or(Ok(0), |row| row.get(0))
    }

    pub fn repository_insert(&mut self, registry: &RegistryKey, row: &RepositoryRow) -> Result<(), Error> {
        self.execute(
            REPOSITORY_INSERT,
            &[
                row.id.into(),
                (&registry.account).into(),
                (&registry.region).into(),
                (&row.name).into(),
                row.created_at.into(),
                (&row.tag_mutability).into(),
                (&row.mutability_filters).into(),
                row.scan_on_push.into(),
                (&row.encryption).into(),
                row.protected.into(),
            ],
        )?;
        Ok(())
    }

    /// Marks a repository as deleted. Its name can be used again.
    pub fn repository_delete(&mut self, id: RepositoryId, now: i64) -> Result<(), Error> {
        self.execute(REPOSITORY_DELETE, &[id.into(), now.into()])?;
        Ok(())
    }

    pub fn repository_set_mutability(&mut self, id: RepositoryId, mode: &str, filters: &str) -> Result<(), Error> {
        self.execute(REPOSITORY_SET_MUTABILITY, &[id.into(), mode.into(), filters.into()])?;
        Ok(())
    }

    pub fn repository_set_scan(&mut self, id: RepositoryId, scan_on_push: bool) -> Result<(), Error> {
        self.execute(REPOSITORY_SET_SCAN, &[id.into(), scan_on_push.into()])?;
        Ok(())
    }

    pub fn resource_tag_put(&mut self, repository: RepositoryId, key: &str, value: &str) -> Result<(), Error> {
        self.execute(RESOURCE_TAG_PUT, &[repository.into(), key.into(), value.into()])?;
        Ok(())
    }

    pub fn resource_tag_delete(&mut self, repository: RepositoryId, key: &str) -> Result<(), Error> {
        self.execute(RESOURCE_TAG_DELETE, &[repository.into(), key.into()])?;
        Ok(())
    }

    /// Lists (key, value), ordered by key.
    pub fn resource_tag_list(&mut self, repository: RepositoryId) -> Result<Vec<(String, String)>, Error> {
        let rows = self.query(RESOURCE_TAG_LIST, &[repository.into()])?;
        rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    }
}
