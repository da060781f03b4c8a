//! Users, groups, roles, instance profiles and managed policies, with their tags, members and policies.

use crate::{Error, Lookup, Row, Tx, Value};

statements! {
    IAM_ENTITY_INSERT = "INSERT INTO iam_entity (id, account, kind, lower_name, name, path, created_at, updated_at, description, \
        trust_policy, max_session, default_version, last_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    IAM_ENTITY_UPDATE = "UPDATE iam_entity SET lower_name = $2, name = $3, path = $4, updated_at = $5, description = $6, \
        trust_policy = $7, max_session = $8, default_version = $9, last_version = $10 WHERE id = $1";
    IAM_ENTITY_DELETE = "DELETE FROM iam_entity WHERE id = $1";
    IAM_ENTITY_GET = "SELECT id, account, kind, name, path, created_at, updated_at, description, trust_policy, max_session, \
        default_version, last_version FROM iam_entity WHERE id = $1";
    IAM_ENTITY_BY_NAME = "SELECT id, account, kind, name, path, created_at, updated_at, description, trust_policy, max_session, \
        default_version, last_version FROM iam_entity WHERE account = $1 AND kind = $2 AND lower_name = $3";
    IAM_ENTITY_LIST = "SELECT id, account, kind, name, path, created_at, updated_at, description, trust_policy, max_session, \
        default_version, last_version FROM iam_entity WHERE account = $1 AND kind = $2 AND lower_name > $3 \
        AND substr(path, 1, length($4)) = $4 ORDER BY lower_name LIMIT $5";
    IAM_ENTITY_COUNT = "SELECT count(*) FROM iam_entity WHERE account = $1 AND kind = $2";
    IAM_TAG_LIST = "SELECT key, value FROM iam_tag WHERE entity_id = $1 ORDER BY lower_key";
    IAM_TAG_PUT = "INSERT INTO iam_tag (entity_id, lower_key, key, value) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (entity_id, lower_key) DO UPDATE SET key = excluded.key, value = excluded.value";
    IAM_TAG_DELETE = "DELETE FROM iam_tag WHERE entity_id = $1 AND lower_key = $2";
    IAM_TAG_DELETE_ALL = "DELETE FROM iam_tag WHERE entity_id = $1";
    IAM_MEMBER_PUT = "INSERT INTO iam_member (container_id, member_id) VALUES ($1, $2) ON CONFLICT (container_id, member_id) DO NOTHING";
    IAM_MEMBER_DELETE = "DELETE FROM iam_member WHERE container_id = $1 AND member_id = $2";
    IAM_MEMBER_COUNT = "SELECT count(*) FROM iam_member WHERE container_id = $1";
    /// The users of a group, or the roles of an instance profile.
    IAM_MEMBER_LIST = "SELECT e.id, e.account, e.kind, e.name, e.path, e.created_at, e.updated_at, e.description, e.trust_policy, \
        e.max_session, e.default_version, e.last_version FROM iam_member m JOIN iam_entity e ON e.id = m.member_id \
        WHERE m.container_id = $1 AND e.lower_name > $2 ORDER BY e.lower_name LIMIT $3";
    /// The groups of a user, or the instance profiles of a role.
    IAM_CONTAINER_LIST = "SELECT e.id, e.account, e.kind, e.name, e.path, e.created_at, e.updated_at, e.description, e.trust_policy, \
        e.max_session, e.default_version, e.last_version FROM iam_member m JOIN iam_entity e ON e.id = m.container_id \
        WHERE m.member_id = $1 AND e.lower_name > $2 ORDER BY e.lower_name LIMIT $3";
}

/// The kind of an entity, as the column `kind` holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKind {
    User,
    Group,
    Role,
    InstanceProfile,
    Policy,
}

impl EntityKind {
    pub const ALL: [EntityKind; 5] =
        [EntityKind::User, EntityKind::Group, EntityKind::Role, EntityKind::InstanceProfile, EntityKind::Policy];

    /// The name, as rows and ARNs hold it.
    pub fn name(self) -> &'static str {
        match self {
            EntityKind::User => "user",
            EntityKind::Group => "group",
            EntityKind::Role => "role",
            EntityKind::InstanceProfile => "instance-profile",
            EntityKind::Policy => "policy",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityRow {
    /// The unique id, such as `AIDA…`.
    pub id: String,
    pub account: String,
    pub kind: EntityKind,
    pub name: String,
    pub path: String,
    pub created_at: i64,
    pub updated_at: i64,
    pub description: Option<String>,
    /// A role's trust policy.
    pub trust_policy: Option<String>,
    /// A role's longest session, in seconds.
    pub max_session: Option<i64>,
    /// The number of a policy's default version.
    pub default_version: Option<i64>,
    /// The highest number that a version of the policy ever had.
    pub last_version: Option<i64>,
}

fn entity(mut row: Row) -> Result<EntityRow, Error> {
    let kind: String = row.take(2)?;
    let known = EntityKind::ALL.into_iter().find(|known| known.name() == kind);
    Ok(EntityRow {
        id: row.take(0)?,
        account: row.take(1)?,
        kind: known.ok_or(Error::Column(2))?,
        name: row.take(3)?,
        path: row.take(4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
        description: row.take_some(7)?,
        trust_policy: row.take_some(8)?,
        max_session: row.get(9)?,
        default_version: row.get(10)?,
        last_version: row.get(11)?,
    })
}

/// Finds an entity by its unique id.
pub fn entity_by_id(id: &str) -> Lookup<EntityRow> {
    Lookup::new(IAM_ENTITY_GET, [id.into()], entity)
}

/// Finds an entity by its name, without regard to case.
pub fn entity_by_name(account: &str, kind: EntityKind, name: &str) -> Lookup<EntityRow> {
    let params = [account.into(), kind.name().into(), name.to_ascii_lowercase().into()];
    Lookup::new(IAM_ENTITY_BY_NAME, params, entity)
}

impl Tx<'_> {
    pub fn iam_entity_insert(&mut self, row: &EntityRow) -> Result<(), Error> {
        let params: [Value; 13] = [
            (&row.id).into(),
            (&row.account).into(),
            row.kind.name().into(),
            row.name.to_ascii_lowercase().into(),
            (&row.name).into(),
            (&row.path).into(),
            row.created_at.into(),
            row.updated_at.into(),
            row.description.clone().into(),
            row.trust_policy.clone().into(),
            row.max_session.into(),
            row.default_version.into(),
            row.last_version.into(),
        ];
        self.execute(IAM_ENTITY_INSERT, &params)?;
        Ok(())
    }

    /// Writes everything of an entity that can change: all but its id, account, kind and creation.
    pub fn iam_entity_update(&mut self, row: &EntityRow) -> Result<(), Error> {
        let params: [Value; 10] = [
            (&row.id).into(),
            row.name.to_ascii_lowercase().into(),
            (&row.name).into(),
            (&row.path).into(),
            row.updated_at.into(),
            row.description.clone().into(),
            row.trust_policy.clone().into(),
            row.max_session.into(),
            row.default_version.into(),
            row.last_version.into(),
        ];
        self.execute(IAM_ENTITY_UPDATE, &params)?;
        Ok(())
    }

    /// Removes an entity's row and its tags.
    pub fn iam_entity_delete(&mut self, id: &str) -> Result<(), Error> {
        self.execute(IAM_TAG_DELETE_ALL, &[id.into()])?;
        self.execute(IAM_ENTITY_DELETE, &[id.into()])?;
        Ok(())
    }

    /// The entities of a kind after a name, whose path begins with `prefix`, ordered by name without regard to case.
    pub fn iam_entity_list(
        &mut self,
        account: &str,
        kind: EntityKind,
        after: &str,
        prefix: &str,
        limit: u32,
    ) -> Result<Vec<EntityRow>, Error> {
        let after = after.to_ascii_lowercase();
        let params = [account.into(), kind.name().into(), after.into(), prefix.into(), limit.into()];
        self.query(IAM_ENTITY_LIST, &params)?.into_iter().map(entity).collect()
    }

    pub fn iam_entity_count(&mut self, account: &str, kind: EntityKind) -> Result<i64, Error> {
        self.query_opt(IAM_ENTITY_COUNT, &[account.into(), kind.name().into()])?.map_or(Ok(0), |row| row.get(0))
    }

    /// The tags of an entity, ordered by key without regard to case.
    pub fn iam_tag_list(&mut self, entity: &str) -> Result<Vec<(String, String)>, Error> {
        let rows = self.query(IAM_TAG_LIST, &[entity.into()])?;
        rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
    }

    pub fn iam_tag_put(&mut self, entity: &str, key: &str, value: &str) -> Result<(), Error> {
        self.execute(IAM_TAG_PUT, &[entity.into(), key.to_lowercase().into(), key.into(), value.into()])?;
        Ok(())
    }

    pub fn iam_tag_delete(&mut self, entity: &str, key: &str) -> Result<(), Error> {
        self.execute(IAM_TAG_DELETE, &[entity.into(), key.to_lowercase().into()])?;
        Ok(())
    }

    pub fn iam_member_put(&mut self, container: &str, member: &str) -> Result<(), Error> {
        self.execute(IAM_MEMBER_PUT, &[container.into(), member.into()])?;
        Ok(())
    }

    /// Returns false if it was no member.
    pub fn iam_member_delete(&mut self, container: &str, member: &str) -> Result<bool, Error> {
        Ok(self.execute(IAM_MEMBER_DELETE, &[container.into(), member.into()])? > 0)
    }

    /// The number of users of a group or of roles of an instance profile.
    pub fn iam_member_count(&mut self, container: &str) -> Result<i64, Error> {
        self.query_opt(IAM_MEMBER_COUNT, &[container.into()])?.map_or(Ok(0), |row| row.get(0))
    }

    /// The users of a group or the roles of an instance profile after a name, ordered by name without regard to case.
    pub fn iam_member_list(&mut self, container: &str, after: &str, limit: u32) -> Result<Vec<EntityRow>, Error> {
        let params = [container.into(), after.to_ascii_lowercase().into(), limit.into()];
        self.query(IAM_MEMBER_LIST, &params)?.into_iter().map(entity).collect()
    }

    /// The groups of a user or the instance profiles of a role after a name, ordered by name without regard to case.
    pub fn iam_container_list(&mut self, member: &str, after: &str, limit: u32) -> Result<Vec<EntityRow>, Error> {
        let params = [member.into(), after.to_ascii_lowercase().into(), limit.into()];
        self.query(IAM_CONTAINER_LIST, &params)?.into_iter().map(entity).collect()
    }
}
