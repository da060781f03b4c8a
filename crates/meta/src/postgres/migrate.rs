//! Brings a PostgreSQL database's schema up to date, one node at a time.
use super::fault;
use crate::Error;
use crate::dialect::postgres_schema;
use crate::migrate::{BOOKKEEPING, Migration, POSTGRES_IS_OURS, VERSION_GET, VERSION_PUT, exact, next};
use tokio_postgres::Client;

/// The advisory lock of migrations, "ecru" and a zero. It belongs to the session and goes with it.
const LOCK: i64 = 0x6563_7275_0000_0000;

/// Applies every step that the database lacks. Nodes that start together wait here for the first of them.
pub(super) async fn up(mut client: Client, list: &[Migration], now_us: i64) -> Result<(), Error> {
    let name = "waiting for another node's migration";
    let waiting = client.batch_execute("SET statement_timeout = 0");
    waiting.await.map_err(|error| fault::error(name, error))?;
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await.map_err(|error| fault::error(name, error))?;
    while step(&mut client, list, now_us).await? {}
    Ok(())
}

/// Refuses a database of another version, and one that is not Ecru's.
pub(super) async fn check(client: &Client, list: &[Migration]) -> Result<(), Error> {
    let failed = |error| fault::error("reading the schema's version", error);
    let ours = client.query_one(POSTGRES_IS_OURS, &[]).await.map_err(failed)?;
    let found = match ours.try_get(0).map_err(failed)? {
        false => 0,
        true => client.query_one(VERSION_GET, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)?,
    };
    exact(list, found)
}

/// Applies the next step, if there is one.
async fn step(client: &mut Client, list: &[Migration], now_us: i64) -> Result<bool, Error> {
    let name = "migrating the schema";
    let failed = |error| fault::error(name, error);
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(&postgres_schema(BOOKKEEPING)).await.map_err(failed)?;
    let row = transaction.query_one(VERSION_GET, &[]).await.map_err(failed)?;
    let Some(migration) = next(list, row.try_get(0).map_err(failed)?)? else { return Ok(false) };
    transaction.batch_execute(&postgres_schema(migration.text)).await.map_err(failed)?;
    let row: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&migration.version, &migration.name, &now_us];
    transaction.execute(VERSION_PUT, &row).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}
