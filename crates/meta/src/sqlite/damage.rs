//! Finds damage: a quick check at the start, and a check of the whole database.

use super::connection::{Connection, Role};
use crate::Error;
use crate::error::Damage;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// Bytes of the header of a database (sqlite.org/fileformat2.html, section 1.3).
const HEADER: usize = 100;
/// Bytes of the header of the write-ahead log, and of the header of each frame (section 4.1).
const LOG_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// Fails if the file is shorter than its header says and the log does not have the missing pages.
///
/// A file may be short after an interrupted checkpoint, which writes the first page before the last. SQLite itself would read missing
/// pages as zeros after the log was copied. The check reads the header, and the log's frame headers only if pages are missing.
pub(super) fn check_length(path: &Path) -> Result<(), Error> {
    let missing =
        missing_pages(path).map_err(|error| Error::Store("reading the database".to_owned(), Arc::new(error)))?;
    match missing.first() {
        None => Ok(()),
        Some(first) => {
            let said = format!("the file is truncated: {} pages are missing from page {first} on", missing.len());
            Err(Error::Corrupt(Arc::new(Damage(said))))
        }
    }
}

/// Returns the pages that the header counts but that are neither in the file nor in the log.
fn missing_pages(path: &Path) -> io::Result<BTreeSet<u32>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        file => file?,
    };

    // Read the page size and the number of pages. SQLite reports a file without a header by itself.
    let mut header = [0; HEADER];
    let length = file.metadata()?.len();
    if length < HEADER as u64 {
        return Ok(BTreeSet::new());
    }
    file.read_exact(&mut header)?;
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    // The count is valid only if the change counter is the one that it was written with.
    let valid =
        header.starts_with(b"SQLite format 3\0") && page_size >= 512 && number(&header, 24) == number(&header, 92);
    let (counted, there) = (number(&header, 28), length / page_size.max(1));
    if !valid || u64::from(counted) <= there {
        return Ok(BTreeSet::new());
    }

    // Remove the pages that are in the log.
    let mut missing: BTreeSet<u32> = (u32::try_from(there).unwrap_or(u32::MAX).saturating_add(1)..=counted).collect();
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match File::open(&log) {
        Ok(log) => take_logged(log, page_size, &mut missing)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(missing)
}

/// Removes the pages from `missing` that are in the log.
fn take_logged(mut log: File, page_size: u64, missing: &mut BTreeSet<u32>) -> io::Result<()> {
    let length = log.metadata()?.len();
    let (mut header, mut frame) = ([0; LOG_HEADER], [0; FRAME_HEADER]);
    if length < LOG_HEADER as u64 {
        return Ok(());
    }
    log.read_exact(&mut header)?;
    let mut at = LOG_HEADER as u64;
    while at + FRAME_HEADER as u64 + page_size <= length && !missing.is_empty() {
        log.seek(SeekFrom::Start(at))?;
        log.read_exact(&mut frame)?;
        // Frames from before the log's last restart have another salt.
        if frame[8..16] == header[16..24] {
            missing.remove(&number(&frame, 0));
        }
        at += FRAME_HEADER as u64 + page_size;
    }
    Ok(())
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

const TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";

/// Reads the schema, and the path to both ends of each table.
pub(super) fn check_ends(connection: &mut Connection) -> Result<(), Error> {
    for table in tables(connection)? {
        connection
            .script(&format!("SELECT (SELECT min(rowid) FROM \"{table}\"), (SELECT max(rowid) FROM \"{table}\")"))?;
    }
    Ok(())
}

/// Reads everything, a table at a time, so that no snapshot stays open for long.
pub(super) fn check_all(path: &Path) -> Result<(), Error> {
    let mut connection = Connection::open(path, Role::Reader)?;
    for table in tables(&mut connection)? {
        connection.check_table(&table)?;
    }
    Ok(())
}

fn tables(connection: &mut Connection) -> Result<Vec<String>, Error> {
    connection.query(TABLES, &[])?.iter().map(|row| row.get(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Db, SqliteConfig};

    const ACCOUNT: &str = "INSERT INTO account (id, created_at) VALUES ($1, 0)";
    const ACCOUNTS: &str = "SELECT count(id) FROM account";

    async fn open(path: &Path) -> Result<Db, Error> {
        Db::sqlite(SqliteConfig { path: path.to_owned(), now_us: 0 }).await
    }

    /// Creates a database of some megabytes.
    async fn filled(path: &Path) -> Db {
        let db = open(path).await.unwrap();
        db.write(|tx| {
            (0..3000).try_for_each(|number| tx.execute(ACCOUNT, &[format!("{number:01000}").into()]).map(drop))
        })
        .await
        .unwrap_or_else(|error: Error| panic!("{error:?}"));
        db
    }

    #[tokio::test]
    async fn a_truncated_database_is_found_at_the_start_with_and_without_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ecru.db");
        filled(&path).await.close().await;
        let whole = std::fs::read(&path).unwrap();
        assert!(open(&path).await.is_ok());
        for log in [false, true] {
            std::fs::write(&path, &whole).unwrap();
            let copy = directory.path().join(format!("copy-{log}"));
            if log {
                // Add a log with a few other pages.
                let db = open(&path).await.unwrap();
                db.write(|tx| tx.execute(ACCOUNT, &["1".into()])).await.unwrap();
                std::fs::copy(directory.path().join("ecru.db-wal"), directory.path().join(format!("copy-{log}-wal")))
                    .unwrap();
                db.close().await;
            }
            std::fs::write(&copy, &whole[..whole.len() / 2]).unwrap();
            let error = open(&copy).await.err().unwrap();
            assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
            assert!(error.to_string().contains("restore a backup"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_short_file_whose_missing_pages_are_in_the_log_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ecru.db");
        let db = filled(&path).await;
        // As after a checkpoint that was interrupted after its first page: the header counts all pages, the file is short, and the log
        // has the rest.
        let copy = directory.path().join("copy");
        let log = std::fs::read(directory.path().join("ecru.db-wal")).unwrap();
        db.close().await;
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&copy, &whole[..4096 * 2]).unwrap();
        std::fs::write(directory.path().join("copy-wal"), log).unwrap();
        let again = open(&copy).await.unwrap();
        assert_eq!(again.read(|tx| tx.query(ACCOUNTS, &[])).await.unwrap()[0].get::<i64>(0).unwrap(), 3000);
        again.check_whole().await.unwrap();
    }

    #[tokio::test]
    async fn damage_is_found_by_the_whole_check_or_by_a_query_and_ends_readiness() {
        for meet in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("ecru.db");
            filled(&path).await.close().await;
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 4096 / 2 * 4096;
            bytes[middle..middle + 20 * 4096].fill(0x5a);
            std::fs::write(&path, bytes).unwrap();
            let db = open(&path).await.unwrap();
            db.check().await.unwrap();
            let found = match meet {
                true => db.read(|tx| tx.query("SELECT sum(created_at) FROM account", &[])).await.map(drop),
                false => db.check_whole().await,
            };
            assert!(matches!(found, Err(Error::Corrupt(_))), "{found:?}");
            assert!(matches!(db.check().await, Err(Error::Corrupt(_))));
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_database_is_refused_as_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ecru.db");
        std::fs::write(&path, vec![0x5a; 100_000]).unwrap();
        assert!(matches!(open(&path).await, Err(Error::Corrupt(_))));
    }
}
