//! Whole copies of the records: out of either engine into a SQLite file, and out of such a file into PostgreSQL.
//!
//! Which tables and columns there are is read from the schema of the SQLite file, which the migrations made: nothing has to be
//! added here when they add something.
use crate::sqlite::{Connection, Role};
use crate::stats::Counters;
use crate::{Error, Tx, db};
use std::path::Path;

/// Rows that are moved at once. A manifest has up to 4 MiB.
pub(crate) const ROWS: usize = 100;

/// Tables whose rows a copy does not have.
pub(crate) const LEFT_OUT: &[&str] = &[
    // Each database has its own.
    "schema_migration",
    "probe",
    // Open uploads end with a copy: their bytes change while it is made, and clients begin such a push again.
    "upload",
];

/// A table of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// As SQLite's STRICT tables have it: INTEGER, TEXT or BLOB.
    pub(crate) kind: String,
}

impl Table {
    /// The columns' names with commas between.
    pub(crate) fn column_list(&self) -> String {
        self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// A file of records that nobody serves from, such as a backup's.
pub struct RecordsFile {
    connection: Connection,
    counters: Counters,
}

impl RecordsFile {
    /// Opens a file that exists.
    pub fn open(path: &Path) -> Result<RecordsFile, Error> {
        if !path.exists() {
            return Err(Error::Absent);
        }
        Ok(RecordsFile { connection: Connection::open(path, Role::Reader)?, counters: Counters::default() })
    }

    /// Runs queries on this thread.
    pub fn read<T>(&mut self, work: impl FnOnce(&mut Tx<'_>) -> Result<T, Error>) -> Result<T, Error> {
        work(&mut Tx::new(db::Session::Sqlite(&mut self.connection), &self.counters))
    }

    /// [`Error::Newer`] when the file's schema is of a later version than this program's.
    pub fn known(&mut self) -> Result<(), Error> {
        crate::sqlite::known(&mut self.connection)
    }

    /// Copies the file into a new one, without upload sessions. One that is there is replaced; it is not whole after an error.
    pub fn copy_to(&self, path: &Path) -> Result<(), Error> {
        crate::sqlite::copy::backup(self.connection.path(), path)
    }

    /// Reads the whole file; [`Error::Corrupt`] when a part of it is damaged.
    pub fn check(&mut self) -> Result<(), Error> {
        self.connection.check_whole()
    }
}

#[cfg(test)]
mod tests;
