//! Copies records between a PostgreSQL database and a SQLite file.

use super::connect::{self, Link, Target};
use super::fault;
use crate::copy::{Column, ROWS, Table};
use crate::sqlite::copy::{self as file, Rows};
use crate::{Error, Row};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

/// The most pages of rows that wait between the two databases.
const PAGES_WAITING: usize = 4;

/// Removes the time limits, because a copy may take long.
const NO_LIMITS: &str =
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET enable_seqscan = on;";

const COLUMNS: &str = "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
    WHERE table_schema = current_schema() AND table_name = $1";

/// Copies a snapshot of the database into a new SQLite file with the same schema.
pub(super) async fn export(target: &Target, to: PathBuf, now_us: i64) -> Result<(), Error> {
    let link = unlimited(target).await?;
    let made = to.clone();
    let tables = blocking(move || file::make(&made, now_us)).await?;
    let (sender, rows) = mpsc::channel(PAGES_WAITING);
    let columns = tables.clone();
    let filling = tokio::task::spawn_blocking(move || file::fill(&to, &columns, rows));
    let read = read(&link.client, &tables, sender).await;
    // If one side fails, the other one ends too. Return the error of the file first, which is the likelier cause.
    let filled = filling.await.unwrap_or(Err(Error::Panicked));
    filled.and(read)
}

/// Sends every row of a snapshot. Ends early if the receiver is dropped.
async fn read(client: &Client, tables: &[Table], rows: mpsc::Sender<Rows>) -> Result<(), Error> {
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    batch(client, begin).await?;
    for (number, table) in tables.iter().enumerate() {
        same_columns(client, table).await?;
        let declare = format!("DECLARE copy NO SCROLL CURSOR FOR SELECT {} FROM {}", table.column_list(), table.name);
        batch(client, &declare).await?;
        loop {
            let fetched = client.query(&format!("FETCH {ROWS} FROM copy"), &[]).await;
            let fetched = fetched.map_err(|error| fault::error(&declare, error))?;
            if fetched.is_empty() {
                break;
            }
            let page: Vec<Row> =
                fetched.iter().map(|row| super::session::values(&declare, row)).collect::<Result<_, _>>()?;
            if rows.send((number, page)).await.is_err() {
                return Err(Error::refused("copying the database", "the copy could not be written"));
            }
        }
        batch(client, "CLOSE copy").await?;
    }
    batch(client, "COMMIT").await
}

/// Fails if the two schemas differ in a column, because its values would be lost.
async fn same_columns(client: &Client, table: &Table) -> Result<(), Error> {
    let name = "comparing the schemas";
    let found = client.query(COLUMNS, &[&table.name]).await.map_err(|error| fault::error(name, error))?;
    let found = found.iter().map(|row| row.try_get::<_, String>(0)).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| fault::error(name, error))?;
    let known = |column: &Column| found.contains(&column.name);
    if found.len() == table.columns.len() && table.columns.iter().all(known) {
        return Ok(());
    }
    Err(Error::refused(name, "a table of the database has other columns than this program's schema"))
}

/// Fills a database, which has the schema and no records, with all records of a SQLite file, or with none after an error.
pub(super) async fn import(target: &Target, from: PathBuf) -> Result<(), Error> {
    let mut link = unlimited(target).await?;
    let path = from.clone();
    let tables = blocking(move || file::tables(&path)).await?;
    let (sender, rows) = mpsc::channel(PAGES_WAITING);
    let columns = tables.clone();
    let reading = tokio::task::spawn_blocking(move || file::send(&from, &columns, &sender));
    let transaction = link.client.transaction().await.map_err(|error| fault::error("filling the database", error))?;
    write(&transaction, &tables, rows).await?;
    // Commit only if the whole file was read.
    reading.await.unwrap_or(Err(Error::Panicked))?;
    transaction.commit().await.map_err(|error| fault::error("filling the database", error))
}

async fn write(
    transaction: &tokio_postgres::Transaction<'_>,
    tables: &[Table],
    mut rows: mpsc::Receiver<Rows>,
) -> Result<(), Error> {
    let failed = |error| fault::error("filling the database", error);
    for table in tables {
        // Lock the table first, so that no other session writes to it until the end, and earlier writes are seen.
        let lock = format!("LOCK TABLE {} IN EXCLUSIVE MODE", table.name);
        transaction.batch_execute(&lock).await.map_err(failed)?;
        let count = format!("SELECT EXISTS (SELECT 1 FROM {})", table.name);
        let occupied = transaction.query_one(&count, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)?;
        if occupied {
            return Err(Error::Occupied);
        }
    }

    // The rows come table by table, in the order of `tables`.
    let mut next = rows.recv().await;
    for (number, table) in tables.iter().enumerate() {
        let copy = format!("COPY {} ({}) FROM STDIN BINARY", table.name, table.column_list());
        let sink = transaction.copy_in(&copy).await.map_err(failed)?;
        let types: Vec<Type> = table.columns.iter().map(wire_type).collect();
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        while let Some((_, page)) = next.take_if(|(of, _)| *of == number) {
            for row in &page {
                let values: Vec<&(dyn ToSql + Sync)> = row.0.iter().map(|value| value as _).collect();
                writer.as_mut().write(&values).await.map_err(failed)?;
            }
            next = rows.recv().await;
        }
        writer.finish().await.map_err(failed)?;
    }
    Ok(())
}

fn wire_type(column: &Column) -> Type {
    match column.kind.as_str() {
        "INTEGER" => Type::INT8,
        "BLOB" => Type::BYTEA,
        _ => Type::TEXT,
    }
}

async fn unlimited(target: &Target) -> Result<Link, Error> {
    let link = connect::alone(target).await?;
    batch(&link.client, NO_LIMITS).await?;
    Ok(link)
}

async fn batch(client: &Client, sql: &str) -> Result<(), Error> {
    client.batch_execute(sql).await.map_err(|error| fault::error(&crate::error::statement(sql), error))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Error::Store("copying the database".to_owned(), Arc::new(error))))
}
