//! One connection to the database file.
use super::fault;
use crate::dialect::sqlite_statement;
use crate::error::{Damage, statement};
use crate::{Error, Row, Value};
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OpenFlags, params_from_iter};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a connection waits for another process's lock, such as a backup's or the `sqlite3` shell's.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How long emptying the log waits for readers of older snapshots, which read a page of a list and end.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(500);
/// Prepared statements kept by a connection: more than Ecru has.
const STATEMENTS_CACHED: usize = 512;
/// Page cache in KiB.
const WRITER_CACHE_KIB: u32 = 16 * 1024;
const READER_CACHE_KIB: u32 = 2 * 1024;
/// Pages of the log after which they are copied into the database: SQLite's own default, 4 MiB.
pub(super) const CHECKPOINT_PAGES: u32 = 1000;
/// What a log that was copied whole may keep of the disk.
pub(super) const LOG_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A writer that makes the database where it is missing.
    Maker,
    Writer,
    Reader,
}

pub(crate) struct Connection {
    inner: rusqlite::Connection,
    path: PathBuf,
    /// SQLite's text of each statement, by the address and length of ours, which is static.
    texts: HashMap<(usize, usize), String>,
}

impl Connection {
    pub(crate) fn open(path: &Path, role: Role) -> Result<Connection, Error> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, role == Role::Maker);
        let inner = rusqlite::Connection::open_with_flags(path, flags)
            .map_err(|error| fault::error("opening the database", error, path))?;
        let connection = Connection { inner, path: path.to_owned(), texts: HashMap::new() };
        connection.set_up(role).map_err(|error| fault::error("setting the database up", error, path))?;
        if role != Role::Reader {
            connection.use_log()?;
        }
        Ok(connection)
    }

    /// A connection to a file that is being made and that nobody else has open; without the log.
    pub(super) fn bare(path: &Path) -> Result<Connection, Error> {
        let opened = rusqlite::Connection::open(path);
        let inner = opened.map_err(|error| fault::error("opening the copy", error, path))?;
        Ok(Connection { inner, path: path.to_owned(), texts: HashMap::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn raw(&self) -> &rusqlite::Connection {
        &self.inner
    }

    pub(super) fn raw_mut(&mut self) -> &mut rusqlite::Connection {
        &mut self.inner
    }

    /// Names a failure of [`Connection::raw`].
    pub(super) fn fault(&self, context: &str, error: rusqlite::Error) -> Error {
        fault::error(context, error, &self.path)
    }

    /// A column of a row of [`Connection::raw`].
    pub(super) fn value(&self, row: &rusqlite::Row<'_>, column: usize) -> Result<Value, Error> {
        let read = row.get_ref(column).map_err(Failure::from).and_then(|found| value(found, column));
        read.map_err(|failure| match failure {
            Failure::Sqlite(error) => self.fault("reading a row", error),
            Failure::Column(column) => Error::Column(column),
        })
    }

    /// The same for one table with its indexes.
    pub(super) fn check_table(&mut self, table: &str) -> Result<(), Error> {
        let check = format!("PRAGMA quick_check('{table}')");
        let said: String =
            self.inner.query_row(&check, [], |row| row.get(0)).map_err(|error| self.fault(&check, error))?;
        if said == "ok" { Ok(()) } else { Err(Error::Corrupt(Arc::new(Damage(format!("table {table}: {said}"))))) }
    }

    /// Reads every page; [`Error::Corrupt`] when the structure of one is damaged.
    pub(crate) fn check_whole(&mut self) -> Result<(), Error> {
        let found = self.query("PRAGMA quick_check(1)", &[])?;
        let said: String = found.first().map_or(Ok(String::new()), |row| row.get(0))?;
        if said == "ok" { Ok(()) } else { Err(Error::Corrupt(Arc::new(Damage(said)))) }
    }

    fn set_up(&self, role: Role) -> rusqlite::Result<()> {
        self.inner.busy_timeout(LOCK_WAIT)?;
        self.inner.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        // Plans do not depend on the values that are bound. Else SQLite prepares a statement again each time that a table of it
        // has a partial index, which is most of what a read by key costs.
        self.inner.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // Temporary b-trees and savepoints' journals stay in memory: they are small, and a full /tmp is no reason to fail.
        // `fullfsync` is for macOS, where a plain fsync stops at the drive's cache.
        self.inner.execute_batch(
            "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;",
        )?;
        let cache = if role == Role::Reader { READER_CACHE_KIB } else { WRITER_CACHE_KIB };
        self.inner.execute_batch(&format!("PRAGMA cache_size = -{cache};"))?;
        if role == Role::Reader {
            self.inner.execute_batch("PRAGMA query_only = ON;")?;
        }
        Ok(())
    }

    /// Switches the write-ahead log on; it is a property of the file, so readers find it so.
    fn use_log(&self) -> Result<(), Error> {
        let name = "switching the write-ahead log on";
        let failed = |error| fault::error(name, error, &self.path);
        let mode: String = self.inner.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(Error::refused(name, "the file system can't share memory between connections"));
        }
        // The writer has it copied; a commit that did it would make its callers wait for another sync.
        let settings = format!("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {LOG_BYTES};");
        self.inner.execute_batch(&settings).map_err(failed)
    }

    /// Has every commit tell how many pages the log has.
    pub(super) fn count_log(&mut self, pages: Arc<AtomicU32>) -> Result<(), Error> {
        let hook = move |_: &mut Wal, count| {
            pages.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        let hooked = self.inner.wal_hook(Some(hook));
        hooked.map_err(|error| fault::error("setting the database up", error, &self.path))
    }

    /// Whether no transaction is open.
    pub(super) fn is_idle(&self) -> bool {
        self.inner.is_autocommit()
    }

    /// Rows that were changed since the connection was opened.
    pub(super) fn changes(&self) -> u64 {
        self.inner.total_changes()
    }

    /// Runs a statement that has neither parameters nor rows.
    pub(super) fn command(&mut self, sql: &'static str) -> Result<(), Error> {
        self.execute(sql, &[]).map(drop)
    }

    /// Runs a text of several statements.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.execute_batch(sql).map_err(|error| fault::error(&statement(sql), error, &self.path))
    }

    /// Copies the log into the database as far as readers of older snapshots allow. It waits for nobody, nor does anybody for
    /// it. Once all was copied the next commit starts the log over.
    pub(super) fn copy_log(&mut self) -> Result<(), Error> {
        self.script("PRAGMA wal_checkpoint(PASSIVE)")
    }

    /// Copies the log into the database and empties it, waiting a little for readers of older snapshots.
    pub(super) fn checkpoint(&mut self) -> Result<(), Error> {
        let emptied = self.inner.busy_timeout(CHECKPOINT_WAIT).and_then(|()| {
            let busy = self.inner.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
            self.inner.busy_timeout(LOCK_WAIT)?;
            busy
        });
        match emptied {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::Busy),
            Err(error) => Err(fault::error("emptying the write-ahead log", error, &self.path)),
        }
    }

    pub(crate) fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.prepared(sql, |prepared| {
            let columns = prepared.column_count();
            let mut found = prepared.query(params_from_iter(params))?;
            let mut rows = Vec::new();
            while let Some(row) = found.next()? {
                rows.push(Row((0..columns)
                    .map(|column| value(row.get_ref(column)?, column))
                    .collect::<Result<_, _>>()?));
            }
            Ok(rows)
        })
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        self.prepared(sql, |prepared| Ok(prepared.execute(params_from_iter(params))? as u64))
    }

    fn prepared<R>(
        &mut self,
        sql: &'static str,
        run: impl FnOnce(&mut rusqlite::CachedStatement<'_>) -> Result<R, Failure>,
    ) -> Result<R, Error> {
        let key = (sql.as_ptr().addr(), sql.len());
        let text = self.texts.entry(key).or_insert_with(|| sqlite_statement(sql));
        let result = self.inner.prepare_cached(text).map_err(Failure::from).and_then(|mut prepared| run(&mut prepared));
        result.map_err(|failure| match failure {
            Failure::Sqlite(error) => fault::error(&statement(sql), error, &self.path),
            Failure::Column(column) => Error::Column(column),
        })
    }
}

enum Failure {
    Sqlite(rusqlite::Error),
    Column(usize),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

fn value(value: ValueRef<'_>, column: usize) -> Result<Value, Failure> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(x) => Value::I64(x),
        ValueRef::Text(x) => match str::from_utf8(x) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(error) => return Err(Failure::Sqlite(rusqlite::Error::Utf8Error(column, error))),
        },
        ValueRef::Blob(x) => Value::Blob(x.to_vec()),
        ValueRef::Real(_) => return Err(Failure::Column(column)),
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::I64(x) => ValueRef::Integer(*x),
            Value::Text(x) => ValueRef::Text(x.as_bytes()),
            Value::Blob(x) => ValueRef::Blob(x),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both flags stand in one line of `.cargo/config.toml`; of `fdatasync` itself SQLite tells nothing.
    #[test]
    fn sqlite_is_compiled_with_the_flags_of_this_workspace() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(&directory.path().join("ecru.db"), Role::Maker).unwrap();
        let options = connection.query("PRAGMA compile_options", &[]).unwrap();
        let options: Vec<String> = options.iter().map(|row| row.get(0).unwrap()).collect();
        assert!(options.contains(&"DEFAULT_MEMSTATUS=0".to_owned()), "{options:?}");
    }
}
