//! Migrates a SQLite database.

use super::Connection;
use crate::Error;
use crate::migrate::{BOOKKEEPING, Migration, SQLITE_IS_OURS, VERSION_GET, VERSION_PUT, exact, next};

/// Applies every missing migration.
pub(super) fn up(connection: &mut Connection, list: &[Migration], now_us: i64) -> Result<(), Error> {
    while step(connection, list, now_us)? {}
    Ok(())
}

/// Fails if the database has another version, or was not made by Ecru.
pub(super) fn check(connection: &mut Connection, list: &[Migration]) -> Result<(), Error> {
    let ours: i64 = connection.query(SQLITE_IS_OURS, &[])?.first().map_or(Ok(0), |row| row.get(0))?;
    let found = match ours {
        0 => 0,
        _ => connection.query(VERSION_GET, &[])?.first().map_or(Ok(0), |row| row.get(0))?,
    };
    exact(list, found)
}

/// Fails if the database has a later version.
pub(crate) fn known(connection: &mut Connection) -> Result<(), Error> {
    match check(connection, crate::migrate::MIGRATIONS) {
        Err(Error::Older { .. }) => Ok(()),
        other => other,
    }
}

/// Returns true if the database has the proof of a root key, which every start writes. A database without the schema has none.
pub(super) fn has_root_key(connection: &mut Connection) -> Result<bool, Error> {
    let count = |rows: Vec<crate::Row>| rows.first().map_or(Ok(0), |row| row.get::<i64>(0));
    Ok(count(connection.query(TABLE_ROOT_KEY, &[])?)? > 0 && count(connection.query(COUNT_ROOT_KEY, &[])?)? > 0)
}

const TABLE_ROOT_KEY: &str = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'root_key'";
const COUNT_ROOT_KEY: &str = "SELECT count(*) FROM root_key";

/// Applies the next migration, or all of them to a new database, because each commit costs a sync. Returns false if none is missing.
/// The version is read in the transaction that changes it.
fn step(connection: &mut Connection, list: &[Migration], now_us: i64) -> Result<bool, Error> {
    connection.command("BEGIN IMMEDIATE")?;
    let result = apply(connection, list, now_us);
    let ended = connection.command(if result.is_ok() { "COMMIT" } else { "ROLLBACK" });
    let applied = result?;
    ended?;
    Ok(applied)
}

fn apply(connection: &mut Connection, list: &[Migration], now_us: i64) -> Result<bool, Error> {
    connection.script(BOOKKEEPING)?;
    let rows = connection.query(VERSION_GET, &[])?;
    let found = rows.first().map_or(Ok(0), |row| row.get(0))?;
    let mut at = found;
    while let Some(migration) = next(list, at)? {
        connection.script(migration.text)?;
        connection.execute(VERSION_PUT, &[migration.version.into(), migration.name.into(), now_us.into()])?;
        at = migration.version;
        if found > 0 {
            break;
        }
    }
    Ok(at > found)
}
