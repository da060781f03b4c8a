//! Access keys, and the last use of each credential.

use crate::{Error, Lookup, Row, Tx};

statements! {
    ACCESS_KEY_INSERT = "INSERT INTO access_key (id, account, principal, secret, active, created_at) \
        VALUES ($1, $2, $3, $4, 1, $5)";
    /// The key with its user. A key of a root principal has none.
    ACCESS_KEY_GET = "SELECT k.account, k.principal, u.path, u.name, k.secret, k.active FROM access_key k \
        LEFT JOIN iam_entity u ON u.id = k.principal WHERE k.id = $1";
    ACCESS_KEY_COUNT = "SELECT count(*) FROM access_key WHERE account = $1 AND principal = $2";
    ACCESS_KEY_LIST = "SELECT id, active, created_at FROM access_key WHERE account = $1 AND principal = $2";
    ACCESS_KEY_UPDATE = "UPDATE access_key SET active = $4 WHERE id = $1 AND account = $2 AND principal = $3";
    ACCESS_KEY_DELETE = "DELETE FROM access_key WHERE id = $1 AND account = $2 AND principal = $3";
    CREDENTIAL_USE_GET = "SELECT used_at, service, region FROM credential_use WHERE id = $1";
    /// A credential that was deleted meanwhile is not recorded.
    CREDENTIAL_USE_PUT = "INSERT INTO credential_use (id, account, used_at, service, region) \
        SELECT id, account, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT) FROM access_key WHERE id = $1 \
        UNION ALL SELECT id, account, CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT) FROM iam_entity WHERE id = $1 \
        ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at, service = excluded.service, region = excluded.region \
        WHERE credential_use.used_at < excluded.used_at";
    CREDENTIAL_USE_DELETE = "DELETE FROM credential_use WHERE id = $1";
}

/// An access key with its user.
#[derive(Clone)]
pub struct AccessKeyRow {
    pub account: String,
    /// The unique id of the principal that owns the key. The root principal's is the account id.
    pub principal: String,
    /// The path and the name of the user. `None` for the root principal.
    pub user: Option<(String, String)>,
    /// The secret, encrypted under a root key.
    pub secret: Vec<u8>,
    pub active: bool,
}

/// What listings tell of an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKeyRow {
    pub id: String,
    pub active: bool,
    pub created_at: i64,
}

/// The last use of an access key or a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialUseRow {
    pub used_at: i64,
    /// The signing name of the service that was called.
    pub service: String,
    pub region: String,
}

/// Finds an access key by its id.
pub fn access_key(id: &str) -> Lookup<AccessKeyRow> {
    Lookup::new(ACCESS_KEY_GET, [id.into()], |mut row| {
        let path: Option<String> = row.take_some(2)?;
        Ok(AccessKeyRow {
            account: row.take(0)?,
            principal: row.take(1)?,
            user: path.zip(row.take_some(3)?),
            secret: row.take(4)?,
            active: row.get(5)?,
        })
    })
}

fn credential_use(mut row: Row) -> Result<CredentialUseRow, Error> {
    Ok(CredentialUseRow { used_at: row.get(0)?, service: row.take(1)?, region: row.take(2)? })
}

impl Tx<'_> {
    pub fn access_key_insert(
        &mut self,
        id: &str,
        account: &str,
        principal: &str,
        sealed: &[u8],
        now: i64,
    ) -> Result<(), Error> {
        self.execute(ACCESS_KEY_INSERT, &[id.into(), account.into(), principal.into(), sealed.into(), now.into()])?;
        Ok(())
    }

    pub fn access_key_count(&mut self, account: &str, principal: &str) -> Result<i64, Error> {
        self.query_opt(ACCESS_KEY_COUNT, &[account.into(), principal.into()])?.map_or(Ok(0), |row| row.get(0))
    }

    /// The keys of a principal, in no order. There are at most two.
    pub fn access_key_list(&mut self, account: &str, principal: &str) -> Result<Vec<ListedKeyRow>, Error> {
        let rows = self.query(ACCESS_KEY_LIST, &[account.into(), principal.into()])?;
        let listed = |mut row: Row| Ok(ListedKeyRow { id: row.take(0)?, active: row.get(1)?, created_at: row.get(2)? });
        rows.into_iter().map(listed).collect()
    }

    /// Returns false if the principal has no such key.
    pub fn access_key_update(&mut self, id: &str, account: &str, principal: &str, active: bool) -> Result<bool, Error> {
        let params = [id.into(), account.into(), principal.into(), active.into()];
        Ok(self.execute(ACCESS_KEY_UPDATE, &params)? > 0)
    }

    /// Removes a key and the record of its last use. Returns false if the principal has no such key.
    pub fn access_key_delete(&mut self, id: &str, account: &str, principal: &str) -> Result<bool, Error> {
        self.execute(CREDENTIAL_USE_DELETE, &[id.into()])?;
        Ok(self.execute(ACCESS_KEY_DELETE, &[id.into(), account.into(), principal.into()])? > 0)
    }

    /// The last use of an access key or, by its unique id, of a role.
    pub fn credential_use_get(&mut self, id: &str) -> Result<Option<CredentialUseRow>, Error> {
        self.query_opt(CREDENTIAL_USE_GET, &[id.into()])?.map(credential_use).transpose()
    }

    /// Records a use, unless a later one is recorded or the credential does not exist.
    pub fn credential_use_put(&mut self, id: &str, used: &CredentialUseRow) -> Result<(), Error> {
        let params = [id.into(), used.used_at.into(), (&used.service).into(), (&used.region).into()];
        self.execute(CREDENTIAL_USE_PUT, &params)?;
        Ok(())
    }

    pub fn credential_use_delete(&mut self, id: &str) -> Result<(), Error> {
        self.execute(CREDENTIAL_USE_DELETE, &[id.into()])?;
        Ok(())
    }
}
