//! Sessions of STS.

use super::iam::EntityKind;
use crate::{Error, Lookup, Row, Tx, Value};

statements! {
    SESSION_INSERT = "INSERT INTO sts_session (access_key_id, account, principal, kind, name, made_by, secret, token_hash, issued_at, \
        expires_at, kept_until, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    /// The session with its role or user, and the long-term key that it was made with.
    SESSION_GET = "SELECT s.account, s.principal, s.kind, s.name, s.made_by, s.secret, s.token_hash, s.issued_at, s.expires_at, \
        s.kept_until, s.detail, e.kind, e.path, e.name, k.active FROM sts_session s \
        LEFT JOIN iam_entity e ON e.id = s.principal LEFT JOIN access_key k ON k.id = s.made_by WHERE s.access_key_id = $1";
    SESSION_KEPT_UNTIL = "SELECT kept_until FROM sts_session WHERE access_key_id = $1";
    SESSION_DELETE = "DELETE FROM sts_session WHERE access_key_id = $1";
}

/// A session's row.
#[derive(Clone)]
pub struct SessionRow {
    pub account: String,
    /// The unique id of the role or user. The account id for the root principal.
    pub principal: String,
    /// `role`, `session-token` or `federation`.
    pub kind: String,
    /// The name of the role session or the federated user. Empty for other sessions.
    pub name: String,
    /// The id of the long-term access key that began the chain of sessions.
    pub made_by: String,
    /// The secret, encrypted under a root key.
    pub secret: Vec<u8>,
    /// The SHA-256 of the session token.
    pub token_hash: Vec<u8>,
    pub issued_at: i64,
    pub expires_at: i64,
    /// The end of the last docker token that the session may have fetched.
    pub kept_until: i64,
    /// JSON with a version.
    pub detail: String,
}

/// A session with what it depends on.
#[derive(Clone)]
pub struct FoundSession {
    pub row: SessionRow,
    /// The role or user. `None` if it is gone, and for the root principal.
    pub principal: Option<SessionPrincipal>,
    /// Whether the key in `made_by` is active. `None` if no such key is stored.
    pub made_by_active: Option<bool>,
}

/// The role or user of a session.
#[derive(Clone)]
pub struct SessionPrincipal {
    pub kind: EntityKind,
    pub path: String,
    pub name: String,
}

fn found(mut row: Row) -> Result<FoundSession, Error> {
    let principal = match row.take_some::<String>(11)? {
        None => None,
        Some(kind) => {
            let kind = EntityKind::ALL.into_iter().find(|known| known.name() == kind).ok_or(Error::Column(11))?;
            Some(SessionPrincipal { kind, path: row.take(12)?, name: row.take(13)? })
        }
    };
    Ok(FoundSession {
        principal,
        made_by_active: row.get(14)?,
        row: SessionRow {
            account: row.take(0)?,
            principal: row.take(1)?,
            kind: row.take(2)?,
            name: row.take(3)?,
            made_by: row.take(4)?,
            secret: row.take(5)?,
            token_hash: row.take(6)?,
            issued_at: row.get(7)?,
            expires_at: row.get(8)?,
            kept_until: row.get(9)?,
            detail: row.take(10)?,
        },
    })
}

/// Finds a session by its access key id, with its role or user and the key that it was made with.
pub fn session(access_key_id: &str) -> Lookup<FoundSession> {
    Lookup::new(SESSION_GET, [access_key_id.into()], found)
}

impl Tx<'_> {
    pub fn session_insert(&mut self, access_key_id: &str, row: &SessionRow) -> Result<(), Error> {
        let params: [Value; 12] = [
            access_key_id.into(),
            (&row.account).into(),
            (&row.principal).into(),
            (&row.kind).into(),
            (&row.name).into(),
            (&row.made_by).into(),
            row.secret.as_slice().into(),
            row.token_hash.as_slice().into(),
            row.issued_at.into(),
            row.expires_at.into(),
            row.kept_until.into(),
            (&row.detail).into(),
        ];
        self.execute(SESSION_INSERT, &params)?;
        Ok(())
    }

    /// The time until which a session's row is kept. `None` if there is no such session.
    pub fn session_kept_until(&mut self, access_key_id: &str) -> Result<Option<i64>, Error> {
        self.query_opt(SESSION_KEPT_UNTIL, &[access_key_id.into()])?.map(|row| row.get(0)).transpose()
    }

    pub fn session_delete(&mut self, access_key_id: &str) -> Result<(), Error> {
        self.execute(SESSION_DELETE, &[access_key_id.into()])?;
        Ok(())
    }
}
