//! Complete copies of the records: from either engine into a SQLite file, and from such a file into PostgreSQL.
//!
//! The tables and columns come from the schema of the SQLite file, which the migrations created. So this code needs no change when a
//! migration adds a table or a column.

use crate::sqlite::{Connection, Role};
use crate::stats::Counters;
use crate::{Error, Tx, db};
use std::path::Path;

/// Rows that are copied at once. A manifest has up to 4 MiB.
pub(crate) const ROWS: usize = 100;

/// Tables whose rows are not copied.
pub(crate) const LEFT_OUT: &[&str] = &[
    // Each database has its own rows.
    "schema_migration",
    "probe",
    // The bytes of open uploads change during the copy, and clients start such a push again.
    "upload",
];

/// Removes what belongs to the left out rows from the copy: the jobs that would end the uploads.
pub(crate) const LEFT_OUT_JOBS: &str = "DELETE FROM job WHERE kind = 'upload_expire'";

/// A table of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The type in a STRICT table of SQLite: INTEGER, TEXT or BLOB.
    pub(crate) kind: String,
}

impl Table {
    /// Returns the columns' names, separated by commas.
    pub(crate) fn column_list(&self) -> String {
        self.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// A file of records that no server uses, such as a backup.
pub struct RecordsFile {
    connection: Connection,
    counters: Counters,
}

impl RecordsFile {
    /// Opens an existing file. Fails with [`Error::Absent`] if it does not exist.
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

    /// Fails with [`Error::Newer`] if the file's schema is newer than this program's.
    pub fn known(&mut self) -> Result<(), Error> {
        crate::sqlite::known(&mut self.connection)
    }

    /// Copies the file to `path`, without upload sessions. An existing file is replaced. After an error the copy is incomplete.
    pub fn copy_to(&self, path: &Path) -> Result<(), Error> {
        crate::sqlite::copy::backup(self.connection.path(), path)
    }

    /// Reads the whole file. Fails with [`Error::Corrupt`] if a part of it is damaged.
    pub fn check(&mut self) -> Result<(), Error> {
        self.connection.check_whole()
    }
}

#[cfg(test)]
mod tests;
