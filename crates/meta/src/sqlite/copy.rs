//! Copies records from and to SQLite files.

use super::connection::{Connection, Role};
use super::migrate;
use crate::copy::{Column, LEFT_OUT, LEFT_OUT_JOBS, ROWS, Table};
use crate::error::statement;
use crate::{Error, Row, Value};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::params_from_iter;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Pages that are copied in one step.
const PAGES: i32 = 4096;

/// Some rows of a table, with the table's number.
pub(crate) type Rows = (usize, Vec<Row>);

/// Copies a snapshot of a database, which may be in use, into a new file. Uploads are left out.
pub(crate) fn backup(from: &Path, to: &Path) -> Result<(), Error> {
    remove_file(to)?;
    let mut source = Connection::open(from, Role::Reader)?;
    // Read in a transaction, because otherwise the backup restarts after every commit.
    source.command("BEGIN")?;
    source.query("SELECT count(*) FROM sqlite_master", &[])?;
    let mut target = Connection::bare(to)?;
    let name = "copying the database";
    {
        let copying = Backup::new(source.raw(), target.raw_mut()).map_err(|error| source.fault(name, error))?;
        while copying.step(PAGES).map_err(|error| source.fault(name, error))? != StepResult::Done {}
    }
    source.command("COMMIT")?;
    target.check_whole()?;
    target.script("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE; DELETE FROM upload;")?;
    target.script(LEFT_OUT_JOBS)?;
    target.check_left_out()
}

/// Creates a new file with an empty schema, and returns its tables.
pub(crate) fn make(path: &Path, now_us: i64) -> Result<Vec<Table>, Error> {
    remove_file(path)?;
    let mut connection = Connection::open(path, Role::Maker)?;
    migrate::up(&mut connection, crate::migrate::MIGRATIONS, now_us)?;
    connection.script("PRAGMA journal_mode = DELETE")?;
    connection.tables()
}

/// Fills a file from [`make`] with the received rows, in one transaction. Ends when the last sender is dropped.
pub(crate) fn fill(path: &Path, tables: &[Table], mut rows: mpsc::Receiver<Rows>) -> Result<(), Error> {
    let connection = Connection::bare(path)?;
    let name = "filling the copy";
    let failed = |error| connection.fault(name, error);
    connection.raw().execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE").map_err(failed)?;
    while let Some((number, rows)) = rows.blocking_recv() {
        let Some(table) = tables.get(number) else { continue };
        let places = (1..=table.columns.len()).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.column_list());
        let mut insert = connection.raw().prepare_cached(&sql).map_err(failed)?;
        for row in rows {
            insert.execute(params_from_iter(&row.0)).map_err(failed)?;
        }
    }
    connection.raw().execute_batch(LEFT_OUT_JOBS).map_err(failed)?;
    connection.raw().execute_batch("COMMIT").map_err(failed)
}

/// Sends every row of a file's tables. Ends early if the receiver is dropped.
pub(crate) fn send(path: &Path, tables: &[Table], rows: &mpsc::Sender<Rows>) -> Result<(), Error> {
    let connection = Connection::open(path, Role::Reader)?;
    for (number, table) in tables.iter().enumerate() {
        let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
        let failed = |error| connection.fault(&statement(&sql), error);
        let mut prepared = connection.raw().prepare(&sql).map_err(failed)?;
        let mut found = prepared.query([]).map_err(failed)?;
        let mut page = Vec::with_capacity(ROWS);
        while let Some(row) = found.next().map_err(failed)? {
            let values = (0..table.columns.len()).map(|column| connection.value(row, column));
            page.push(Row(values.collect::<Result<Vec<Value>, Error>>()?));
            if page.len() == ROWS && rows.blocking_send((number, std::mem::take(&mut page))).is_err() {
                return Ok(());
            }
        }
        if !page.is_empty() && rows.blocking_send((number, page)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns the tables of a file that are copied, with their columns.
pub(crate) fn tables(path: &Path) -> Result<Vec<Table>, Error> {
    Connection::open(path, Role::Reader)?.tables()
}

const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
const COLUMNS: &str = "SELECT name, type FROM pragma_table_info($1) ORDER BY cid";

impl Connection {
    fn tables(&mut self) -> Result<Vec<Table>, Error> {
        let names = self.query(TABLES, &[])?;
        let names = names.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
        let mut tables = Vec::new();
        for name in names.into_iter().filter(|name| !LEFT_OUT.contains(&name.as_str())) {
            let columns = self.query(COLUMNS, &[(&name).into()])?;
            let column = |row: &Row| Ok(Column { name: row.get(0)?, kind: row.get(1)? });
            let columns = columns.iter().map(column).collect::<Result<_, Error>>()?;
            tables.push(Table { name, columns });
        }
        Ok(tables)
    }

    /// Checks that the uploads are gone, because the copy would name bytes that it does not have.
    fn check_left_out(&mut self) -> Result<(), Error> {
        let left: i64 = self.query("SELECT count(*) FROM upload", &[])?.first().map_or(Ok(0), |row| row.get(0))?;
        if left == 0 { Ok(()) } else { Err(Error::refused("copying the database", "uploads stayed in the copy")) }
    }
}

/// Removes the files of an earlier copy.
fn remove_file(path: &Path) -> Result<(), Error> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Store("removing an earlier copy".to_owned(), Arc::new(error)));
            }
            _ => {}
        }
    }
    Ok(())
}
