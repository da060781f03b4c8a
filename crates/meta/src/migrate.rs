//! The versions of the schema. Migrations only go forward. Each runs in its own transaction; a new SQLite database runs all in one.

use crate::Error;

/// One migration of the schema. It never changes after its release.
pub(crate) struct Migration {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

/// All migrations, from version 1, without gaps.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "foundation", text: include_str!("schema/0001_foundation.sql") },
    Migration { version: 2, name: "push_log", text: include_str!("schema/0002_push_log.sql") },
    Migration { version: 3, name: "referrers_by_type", text: include_str!("schema/0003_referrers_by_type.sql") },
    Migration { version: 4, name: "push_conflicts", text: include_str!("schema/0004_push_conflicts.sql") },
    Migration { version: 5, name: "store_id", text: include_str!("schema/0005_store_id.sql") },
    Migration { version: 6, name: "layer_checksums", text: include_str!("schema/0006_layer_checksums.sql") },
    Migration { version: 7, name: "job_claims", text: include_str!("schema/0007_job_claims.sql") },
    Migration { version: 8, name: "resource_policies", text: include_str!("schema/0008_resource_policies.sql") },
    Migration { version: 9, name: "identities", text: include_str!("schema/0009_identities.sql") },
    Migration { version: 10, name: "deletion", text: include_str!("schema/0010_deletion.sql") },
];

/// The tables that a database needs before its version can be read: the applied versions, and the row of the readiness check.
pub(crate) const BOOKKEEPING: &str = "\
CREATE TABLE IF NOT EXISTS schema_migration (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS probe (
    id INTEGER PRIMARY KEY,
    writes INTEGER NOT NULL
) STRICT;
";

/// Finds out whether a database has the bookkeeping, on each engine.
pub(crate) const SQLITE_IS_OURS: &str =
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_migration'";
pub(crate) const POSTGRES_IS_OURS: &str = "SELECT to_regclass('schema_migration') IS NOT NULL";
pub(crate) const VERSION_GET: &str = "SELECT coalesce(max(version), 0) FROM schema_migration";
pub(crate) const VERSION_PUT: &str = "INSERT INTO schema_migration (version, name, applied_at) VALUES ($1, $2, $3)";
/// The write of the readiness check.
pub(crate) const PROBE_PUT: &str =
    "INSERT INTO probe (id, writes) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET writes = probe.writes + 1";

/// Returns the migration that follows version `found`, or `None` if the schema is up to date.
pub(crate) fn next(list: &[Migration], found: i64) -> Result<Option<&Migration>, Error> {
    let known = list.last().map_or(0, |last| last.version);
    if found > known {
        return Err(Error::Newer { found, known });
    }
    Ok(list.iter().find(|migration| migration.version > found))
}

/// Fails unless `found` is this program's version. For callers that must not migrate.
pub(crate) fn exact(list: &[Migration], found: i64) -> Result<(), Error> {
    let known = list.last().map_or(0, |last| last.version);
    match found {
        0 => Err(Error::Absent),
        found if found < known => Err(Error::Older { found, known }),
        found => next(list, found).map(drop),
    }
}

#[cfg(test)]
mod tests;
