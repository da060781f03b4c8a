//! Migrates a PostgreSQL database, one node at a time.

use super::connect::{Link, Target, within};
use super::fault;
use crate::Error;
use crate::dialect::postgres_schema;
use crate::migrate::{BOOKKEEPING, Migration, POSTGRES_IS_OURS, VERSION_GET, VERSION_PUT, exact, next};
use std::time::Duration;
use tokio_postgres::Client;

/// The key of the advisory lock for migrations: "ecru" and zeros. The lock belongs to the session and ends with it.
const LOCK: i64 = 0x6563_7275_0000_0000;

/// The longest time of one migration, which may build an index on a large database. A starting node waits as long for another node.
const STEP: Duration = Duration::from_secs(600);
/// The pause between two attempts to take the lock.
const LOCK_POLL: Duration = Duration::from_millis(100);

const MIGRATING: &str = "migrating the schema";
const CHECKING: &str = "reading the schema's version";
const WAITING: &str = "waiting for another node's migration";

/// Applies every missing migration. Nodes that start together wait here for the first of them.
pub(super) async fn up(mut link: Link, target: &Target, list: &[Migration], now_us: i64) -> Result<(), Error> {
    let client = &mut link.client;
    within(STEP, WAITING, lock(client, target)).await??;
    while target.limited(MIGRATING, is_behind(client, list)).await?? {
        within(STEP, MIGRATING, step(client, list, now_us)).await??;
    }
    Ok(())
}

/// Fails if the database has another version, or was not made by Ecru.
pub(super) async fn check(client: &Client, target: &Target, list: &[Migration]) -> Result<(), Error> {
    let failed = |error| fault::error(CHECKING, error);
    let ours = target.limited(CHECKING, client.query_one(POSTGRES_IS_OURS, &[])).await?.map_err(failed)?;
    let found = match ours.try_get(0).map_err(failed)? {
        false => 0,
        true => {
            let row = target.limited(CHECKING, client.query_one(VERSION_GET, &[])).await?;
            row.and_then(|row| row.try_get(0)).map_err(failed)?
        }
    };
    exact(list, found)
}

/// Takes the advisory lock. It polls instead of blocking in the server, so that a hanging server is noticed.
async fn lock(client: &Client, target: &Target) -> Result<(), Error> {
    let failed = |error| fault::error(WAITING, error);
    let settings = format!("SET statement_timeout = {}", STEP.as_millis());
    target.limited(WAITING, client.batch_execute(&settings)).await?.map_err(failed)?;
    loop {
        let asked = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]);
        let row = target.limited(WAITING, asked).await?.map_err(failed)?;
        if row.try_get(0).map_err(failed)? {
            return Ok(());
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Returns true if the database lacks a migration.
async fn is_behind(client: &Client, list: &[Migration]) -> Result<bool, Error> {
    let failed = |error| fault::error(MIGRATING, error);
    client.batch_execute(&postgres_schema(BOOKKEEPING)).await.map_err(failed)?;
    let row = client.query_one(VERSION_GET, &[]).await.map_err(failed)?;
    Ok(next(list, row.try_get(0).map_err(failed)?)?.is_some())
}

/// Applies the next migration, if there is one.
async fn step(client: &mut Client, list: &[Migration], now_us: i64) -> Result<(), Error> {
    let failed = |error| fault::error(MIGRATING, error);
    let transaction = client.transaction().await.map_err(failed)?;
    let row = transaction.query_one(VERSION_GET, &[]).await.map_err(failed)?;
    let Some(migration) = next(list, row.try_get(0).map_err(failed)?)? else { return Ok(()) };
    transaction.batch_execute(&postgres_schema(migration.text)).await.map_err(failed)?;
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&migration.version, &migration.name, &now_us];
    transaction.execute(VERSION_PUT, &row).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
