//! A connection to the database file.

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

/// The longest wait for a lock of another process, such as a backup or the `sqlite3` shell.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// The longest wait for readers of older snapshots before the log is emptied. Such readers read a page of a list and end.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(500);
/// The number of prepared statements that a connection caches: more than Ecru has.
const STATEMENTS_CACHED: usize = 512;
/// The page cache of a writer.
const WRITER_CACHE_KIB: u32 = 16 * 1024;
/// The page cache of a reader.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// Pages of the log after which it is copied into the database. This is SQLite's default, 4 MiB.
pub(super) const CHECKPOINT_PAGES: u32 = 1000;
/// The most bytes of disk that a completely copied log may keep.
pub(super) const LOG_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A writer that creates the database if it is missing.
    Maker,
    Writer,
    Reader,
}

pub(crate) struct Connection {
    inner: rusqlite::Connection,
    path: PathBuf,
    /// The rewritten text of each statement, by the address and length of the original, which is static.
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

    /// Opens a file that is being created and that nobody else has open, without a write-ahead log.
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

    /// Translates an error of [`Connection::raw`].
    pub(super) fn fault(&self, context: &str, error: rusqlite::Error) -> Error {
        fault::error(context, error, &self.path)
    }

    /// Reads a column of a row from [`Connection::raw`].
    pub(super) fn value(&self, row: &rusqlite::Row<'_>, column: usize) -> Result<Value, Error> {
        let read = row.get_ref(column).map_err(Failure::from).and_then(|found| value(found, column));
        read.map_err(|failure| match failure {
            Failure::Sqlite(error) => self.fault("reading a row", error),
            Failure::Column(column) => Error::Column(column),
        })
    }

    /// Reads a table and its indexes. Fails with [`Error::Corrupt`] if a page is damaged.
    pub(super) fn check_table(&mut self, table: &str) -> Result<(), Error> {
        let check = format!("PRAGMA quick_check('{table}')");
        let said: String =
            self.inner.query_row(&check, [], |row| row.get(0)).map_err(|error| self.fault(&check, error))?;
        if said == "ok" { Ok(()) } else { Err(Error::Corrupt(Arc::new(Damage(format!("table {table}: {said}"))))) }
    }

    /// Reads every page. Fails with [`Error::Corrupt`] if a page is damaged.
    pub(crate) fn check_whole(&mut self) -> Result<(), Error> {
        let found = self.query("PRAGMA quick_check(1)", &[])?;
        let said: String = found.first().map_or(Ok(String::new()), |row| row.get(0))?;
        if said == "ok" { Ok(()) } else { Err(Error::Corrupt(Arc::new(Damage(said)))) }
    }

    fn set_up(&self, role: Role) -> rusqlite::Result<()> {
        self.inner.busy_timeout(LOCK_WAIT)?;
        self.inner.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        // Make plans independent of bound values. Otherwise SQLite prepares a statement again at each use if one of its tables has a
        // partial index, which is most of the cost of a read by key.
        self.inner.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        // Keep temporary b-trees and the journals of savepoints in memory: they are small, and a full /tmp must not cause a failure.
        // `fullfsync` is for macOS, where a plain fsync leaves data in the drive's cache.
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

    /// Turns on the write-ahead log. It is a property of the file, so readers use it too.
    fn use_log(&self) -> Result<(), Error> {
        let name = "turning on the write-ahead log";
        let failed = |error| fault::error(name, error, &self.path);
        let mode: String = self.inner.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(Error::refused(name, "the file system can't share memory between connections"));
        }
        // No automatic checkpoints, because they make the callers of a commit wait for another sync. The writer starts them.
        let settings = format!("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {LOG_BYTES};");
        self.inner.execute_batch(&settings).map_err(failed)
    }

    /// Stores the number of pages of the log in `pages` at every commit.
    pub(super) fn count_log(&mut self, pages: Arc<AtomicU32>) -> Result<(), Error> {
        let hook = move |_: &mut Wal, count| {
            pages.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        let hooked = self.inner.wal_hook(Some(hook));
        hooked.map_err(|error| fault::error("setting the database up", error, &self.path))
    }

    /// Returns true if no transaction is open.
    pub(super) fn is_idle(&self) -> bool {
        self.inner.is_autocommit()
    }

    /// Returns the number of rows changed since the connection was opened.
    pub(super) fn changes(&self) -> u64 {
        self.inner.total_changes()
    }

    /// Runs a statement without parameters and rows.
    pub(super) fn command(&mut self, sql: &'static str) -> Result<(), Error> {
        self.execute(sql, &[]).map(drop)
    }

    /// Runs several statements.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.execute_batch(sql).map_err(|error| fault::error(&statement(sql), error, &self.path))
    }

    /// Copies the log into the database as far as readers of older snapshots allow. It does not wait for others, and others do not wait
    /// for it. When everything is copied, the next commit restarts the log.
    pub(super) fn copy_log(&mut self) -> Result<(), Error> {
        self.script("PRAGMA wal_checkpoint(PASSIVE)")
    }

    /// Copies the log into the database and empties it. Waits briefly for readers of older snapshots.
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

    /// Checks one of the two flags in `.cargo/config.toml`, because SQLite does not report the other, `fdatasync`.
    #[test]
    fn sqlite_is_compiled_with_the_flags_of_this_workspace() {
        let directory = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(&directory.path().join("ecru.db"), Role::Maker).unwrap();
        let options = connection.query("PRAGMA compile_options", &[]).unwrap();
        let options: Vec<String> = options.iter().map(|row| row.get(0).unwrap()).collect();
        assert!(options.contains(&"DEFAULT_MEMSTATUS=0".to_owned()), "{options:?}");
    }
}
