//! The policies of identities: inline policies, the versions of managed policies and what they are attached to, service control policies.

use crate::{Error, Tx};

statements! {
    INLINE_POLICY_PUT = "INSERT INTO iam_inline_policy (entity_id, name, document) VALUES ($1, $2, $3) \
        ON CONFLICT (entity_id, name) DO UPDATE SET document = excluded.document";
    INLINE_POLICY_GET = "SELECT document FROM iam_inline_policy WHERE entity_id = $1 AND name = $2";
    INLINE_POLICY_DELETE = "DELETE FROM iam_inline_policy WHERE entity_id = $1 AND name = $2";
    INLINE_POLICY_LIST = "SELECT name, document FROM iam_inline_policy WHERE entity_id = $1 ORDER BY name";
    POLICY_VERSION_INSERT = "INSERT INTO iam_policy_version (policy_id, number, document, created_at) VALUES ($1, $2, $3, $4)";
    POLICY_VERSION_GET = "SELECT number, document, created_at FROM iam_policy_version WHERE policy_id = $1 AND number = $2";
    POLICY_VERSION_LIST = "SELECT number, document, created_at FROM iam_policy_version WHERE policy_id = $1 ORDER BY number DESC";
    POLICY_VERSION_DELETE = "DELETE FROM iam_policy_version WHERE policy_id = $1 AND number = $2";
    ATTACHMENT_PUT = "INSERT INTO iam_attachment (entity_id, purpose, policy_id, account) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (entity_id, purpose, policy_id) DO NOTHING";
    ATTACHMENT_DELETE = "DELETE FROM iam_attachment WHERE entity_id = $1 AND purpose = $2 AND policy_id = $3";
    ATTACHMENT_LIST = "SELECT policy_id FROM iam_attachment WHERE entity_id = $1 AND purpose = $2 ORDER BY policy_id";
    ATTACHMENT_COUNT = "SELECT count(*) FROM iam_attachment WHERE account = $1 AND policy_id = $2 AND purpose = $3";
    ATTACHMENT_COUNTS = "SELECT policy_id, purpose, count(*) FROM iam_attachment WHERE account = $1 GROUP BY policy_id, purpose";
    ATTACHMENT_ENTITIES = "SELECT entity_id FROM iam_attachment WHERE account = $1 AND policy_id = $2 AND purpose = $3 \
        AND entity_id > $4 ORDER BY entity_id LIMIT $5";
    CONTROL_POLICY_PUT = "INSERT INTO control_policy (account, name, document, updated_at) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (account, name) DO UPDATE SET document = excluded.document, updated_at = excluded.updated_at";
    CONTROL_POLICY_DELETE = "DELETE FROM control_policy WHERE account = $1 AND name = $2";
    CONTROL_POLICY_LIST = "SELECT name, document FROM control_policy WHERE account = $1 ORDER BY name";
    /// The policies of an entity and of its groups, its tags and the control policies of its account. The first column tells what a row
    /// is; a policy of AWS has no document here.
    IDENTITY_FACTS = "SELECT 'inline', name, document, '' FROM iam_inline_policy WHERE entity_id = $1 \
        UNION ALL SELECT 'group', p.name, p.document, '' FROM iam_member m JOIN iam_inline_policy p ON p.entity_id = m.container_id \
            WHERE m.member_id = $1 \
        UNION ALL SELECT a.purpose, a.policy_id, v.document, e.path || e.name FROM iam_attachment a \
            LEFT JOIN iam_entity e ON e.id = a.policy_id \
            LEFT JOIN iam_policy_version v ON v.policy_id = e.id AND v.number = e.default_version WHERE a.entity_id = $1 \
        UNION ALL SELECT a.purpose, a.policy_id, v.document, e.path || e.name FROM iam_member m \
            JOIN iam_attachment a ON a.entity_id = m.container_id \
            LEFT JOIN iam_entity e ON e.id = a.policy_id \
            LEFT JOIN iam_policy_version v ON v.policy_id = e.id AND v.number = e.default_version WHERE m.member_id = $1 \
        UNION ALL SELECT 'tag', key, value, '' FROM iam_tag WHERE entity_id = $1 \
        UNION ALL SELECT 'control', name, document, '' FROM control_policy WHERE account = $2";
}

/// What a managed policy is attached for, as the column `purpose` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    Permissions,
    Boundary,
}

impl Purpose {
    pub const ALL: [Purpose; 2] = [Purpose::Permissions, Purpose::Boundary];

    pub fn name(self) -> &'static str {
        match self {
            Purpose::Permissions => "permissions",
            Purpose::Boundary => "boundary",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersionRow {
    pub number: i64,
    pub document: String,
    pub created_at: i64,
}

/// A fact about a principal, for authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityFact {
    /// An inline policy of the entity or of one of its groups.
    Inline {
        name: String,
        document: String,
    },
    /// A managed policy of the entity or of one of its groups.
    Managed {
        purpose: Purpose,
        policy_id: String,
        /// `None` for a policy of AWS.
        own: Option<OwnPolicy>,
    },
    Tag {
        key: String,
        value: String,
    },
    /// A service control policy of the entity's account.
    Control {
        name: String,
        document: String,
    },
}

/// A managed policy of an account, for authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPolicy {
    /// Such as `/team/push`.
    pub path_and_name: String,
    /// That of the default version.
    pub document: String,
}

fn version(mut row: crate::Row) -> Result<PolicyVersionRow, Error> {
    Ok(PolicyVersionRow { number: row.get(0)?, document: row.take(1)?, created_at: row.get(2)? })
}

fn fact(mut row: crate::Row) -> Result<IdentityFact, Error> {
    let what: String = row.take(0)?;
    let name: String = row.take(1)?;
    let mut managed = |purpose, policy_id| {
        let own = match (row.take_some(2)?, row.take_some(3)?) {
            (Some(document), Some(path_and_name)) => Some(OwnPolicy { path_and_name, document }),
            _ => None,
        };
        Ok::<_, Error>(IdentityFact::Managed { purpose, policy_id, own })
    };
    Ok(match what.as_str() {
        "inline" | "group" => IdentityFact::Inline { name, document: row.take(2)? },
        "permissions" => managed(Purpose::Permissions, name)?,
        "boundary" => managed(Purpose::Boundary, name)?,
        "tag" => IdentityFact::Tag { key: name, value: row.take(2)? },
        "control" => IdentityFact::Control { name, document: row.take(2)? },
        _ => return Err(Error::Column(0)),
    })
}

impl Tx<'_> {
    /// Everything by which the calls of an entity are authorized. An unknown entity, such as the root principal, has only its account's
    /// control policies.
    pub fn identity_facts(&mut self, entity: &str, account: &str) -> Result<Vec<IdentityFact>, Error> {
        self.query(IDENTITY_FACTS, &[entity.into(), account.into()])?.into_iter().map(fact).collect()
    }

    pub fn inline_policy_put(&mut self, entity: &str, name: &str, document: &str) -> Result<(), Error> {
        self.execute(INLINE_POLICY_PUT, &[entity.into(), name.into(), document.into()])?;
        Ok(())
    }

    pub fn inline_policy_get(&mut self, entity: &str, name: &str) -> Result<Option<String>, Error> {
        self.query_opt(INLINE_POLICY_GET, &[entity.into(), name.into()])?.map(|mut row| row.take(0)).transpose()
    }

    /// Returns false if there was none.
    pub fn inline_policy_delete(&mut self, entity: &str, name: &str) -> Result<bool, Error> {
        Ok(self.execute(INLINE_POLICY_DELETE, &[entity.into(), name.into()])? > 0)
    }

    /// The names and documents of all inline policies of an entity, ordered by name.
    pub fn inline_policy_list(&mut self, entity: &str) -> Result<Vec<(String, String)>, Error> {
        let rows = self.query(INLINE_POLICY_LIST, &[entity.into()])?;
        rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
    }

    pub fn policy_version_insert(&mut self, policy: &str, row: &PolicyVersionRow) -> Result<(), Error> {
        let params = [policy.into(), row.number.into(), (&row.document).into(), row.created_at.into()];
        self.execute(POLICY_VERSION_INSERT, &params)?;
        Ok(())
    }

    pub fn policy_version_get(&mut self, policy: &str, number: i64) -> Result<Option<PolicyVersionRow>, Error> {
        self.query_opt(POLICY_VERSION_GET, &[policy.into(), number.into()])?.map(version).transpose()
    }

    /// All versions of a policy, the newest first. There are at most five.
    pub fn policy_version_list(&mut self, policy: &str) -> Result<Vec<PolicyVersionRow>, Error> {
        self.query(POLICY_VERSION_LIST, &[policy.into()])?.into_iter().map(version).collect()
    }

    pub fn policy_version_delete(&mut self, policy: &str, number: i64) -> Result<(), Error> {
        self.execute(POLICY_VERSION_DELETE, &[policy.into(), number.into()])?;
        Ok(())
    }

    pub fn attachment_put(&mut self, entity: &str, purpose: Purpose, policy: &str, account: &str) -> Result<(), Error> {
        self.execute(ATTACHMENT_PUT, &[entity.into(), purpose.name().into(), policy.into(), account.into()])?;
        Ok(())
    }

    /// Returns false if it was not attached.
    pub fn attachment_delete(&mut self, entity: &str, purpose: Purpose, policy: &str) -> Result<bool, Error> {
        Ok(self.execute(ATTACHMENT_DELETE, &[entity.into(), purpose.name().into(), policy.into()])? > 0)
    }

    /// The ids of the managed policies of an entity.
    pub fn attachment_list(&mut self, entity: &str, purpose: Purpose) -> Result<Vec<String>, Error> {
        let rows = self.query(ATTACHMENT_LIST, &[entity.into(), purpose.name().into()])?;
        rows.into_iter().map(|mut row| row.take(0)).collect()
    }

    /// The number of entities of an account that a managed policy is attached to.
    pub fn attachment_count(&mut self, account: &str, policy: &str, purpose: Purpose) -> Result<i64, Error> {
        let params = [account.into(), policy.into(), purpose.name().into()];
        self.query_opt(ATTACHMENT_COUNT, &params)?.map_or(Ok(0), |row| row.get(0))
    }

    /// The number of entities of an account that each managed policy is attached to, by the policy's id. Other policies are not attached.
    pub fn attachment_counts(&mut self, account: &str) -> Result<Vec<(String, Purpose, i64)>, Error> {
        let count = |mut row: crate::Row| {
            let purpose: String = row.take(1)?;
            let purpose = Purpose::ALL.into_iter().find(|known| known.name() == purpose).ok_or(Error::Column(1))?;
            Ok((row.take(0)?, purpose, row.get(2)?))
        };
        self.query(ATTACHMENT_COUNTS, &[account.into()])?.into_iter().map(count).collect()
    }

    /// The ids of the entities of an account that a managed policy is attached to, after an id.
    pub fn attachment_entities(
        &mut self,
        account: &str,
        policy: &str,
        purpose: Purpose,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, Error> {
        let params = [account.into(), policy.into(), purpose.name().into(), after.into(), limit.into()];
        self.query(ATTACHMENT_ENTITIES, &params)?.into_iter().map(|mut row| row.take(0)).collect()
    }

    pub fn control_policy_put(&mut self, account: &str, name: &str, document: &str, now: i64) -> Result<(), Error> {
        self.execute(CONTROL_POLICY_PUT, &[account.into(), name.into(), document.into(), now.into()])?;
        Ok(())
    }

    /// Returns false if there was none.
    pub fn control_policy_delete(&mut self, account: &str, name: &str) -> Result<bool, Error> {
        Ok(self.execute(CONTROL_POLICY_DELETE, &[account.into(), name.into()])? > 0)
    }

    /// The names and documents of the service control policies of an account, ordered by name.
    pub fn control_policy_list(&mut self, account: &str) -> Result<Vec<(String, String)>, Error> {
        let rows = self.query(CONTROL_POLICY_LIST, &[account.into()])?;
        rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
    }
}
