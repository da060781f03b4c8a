//! The directory of a backup: records, layers, keys, and whose they are.
//!
//! ```text
//! FORMAT        "backup 1"
//! STORE         the id of the store
//! records.db    the records, a SQLite file whichever engine they came from; there once a backup has ended
//! layers/       the layers that the records name, as in a data directory
//! root.key      0600, as the next
//! credentials
//! ```
//!
//! A backup writes the records beside the ones that are there and adds layers; then it renames the records, and only then removes
//! layers that none of them names. So the copy can be restored whenever a backup was killed.

use crate::data_dir::{
    BACKUP, CREDENTIALS_FILE, DataDirError, FORMAT_FILE, ROOT_KEY_FILE, STORE_FILE, StoreId, holds_something, io_error,
    make_directory, read_optional, read_store_id, sync_directory, write_store_id, write_whole,
};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The version of this form.
const VERSION: &str = "1";
const RECORDS_FILE: &str = "records.db";

/// A backup's directory, which no other backup changes until this is dropped.
#[derive(Debug)]
pub struct CopyDir {
    path: PathBuf,
    /// Held by flock: exclusively by a backup, shared by restores.
    _lock: File,
}

/// Why a directory can't be a backup's.
#[derive(Debug, thiserror::Error)]
pub enum CopyDirError {
    #[error("{} is not a backup, and not empty; name an empty or new directory, or a backup of this store", .0.display())]
    Foreign(PathBuf),
    #[error("{} is not a backup that `ecru backup` made", .0.display())]
    None(PathBuf),
    #[error(
        "{} is a data directory, not a backup: `ecru serve --data` serves from it, and `ecru backup DIR --data` copies it",
        .0.display()
    )]
    DataDirectory(PathBuf),
    #[error("no backup into {} has ended yet; run `ecru backup` again", .0.display())]
    Unfinished(PathBuf),
    #[error("{} is a backup of the form {found:?}, and this ecru knows {VERSION:?}", path.display())]
    Version { path: PathBuf, found: String },
    #[error("{} is the backup of store {found}, and this is store {expected}: each store needs a directory of its own", path.display())]
    OtherStore { path: PathBuf, found: StoreId, expected: StoreId },
    #[error("another `ecru backup` or `ecru restore` uses {} now", .0.display())]
    InUse(PathBuf),
    #[error(transparent)]
    File(#[from] DataDirError),
}

impl CopyDir {
    /// Takes a new or empty directory, or that of earlier backups of the same store.
    pub fn make(path: &Path, store: StoreId) -> Result<CopyDir, CopyDirError> {
        make_directory(path).map_err(of_target)?;
        let path = path.canonicalize().map_err(io_error("opening", path))?;
        if !has_format(&path)? {
            if holds_something(&path)? {
                return Err(CopyDirError::Foreign(path));
            }
            write_whole(&path, FORMAT_FILE, format!("{BACKUP}{VERSION}\n").as_bytes())?;
        }
        let lock = lock(&path, FlockOperation::NonBlockingLockExclusive)?;
        match read_store_id(&path.join(STORE_FILE))? {
            Some(found) if found != store => return Err(CopyDirError::OtherStore { path, found, expected: store }),
            Some(_) => {}
            None => write_store_id(&path, store)?,
        }
        Ok(CopyDir { path, _lock: lock })
    }

    /// Takes a backup that has ended once, to read it.
    pub fn existing(path: &Path) -> Result<CopyDir, CopyDirError> {
        let none = || CopyDirError::None(path.to_owned());
        let found = match path.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(none()),
            found => found.map_err(io_error("opening", path))?,
        };
        if !has_format(&found)? {
            return Err(none());
        }
        let lock = lock(&found, FlockOperation::NonBlockingLockShared)?;
        let copy = CopyDir { path: found, _lock: lock };
        if copy.records().exists() { Ok(copy) } else { Err(CopyDirError::Unfinished(copy.path)) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The records of the last backup that has ended.
    pub fn records(&self) -> PathBuf {
        self.path.join(RECORDS_FILE)
    }

    /// The records of the backup that runs.
    pub fn new_records(&self) -> PathBuf {
        self.path.join(format!("{RECORDS_FILE}.new"))
    }

    pub fn layers(&self) -> PathBuf {
        self.path.join("layers")
    }

    /// The store's id.
    pub fn store(&self) -> Result<StoreId, CopyDirError> {
        let path = self.path.join(STORE_FILE);
        Ok(read_store_id(&path)?.ok_or(DataDirError::Mark(path))?)
    }

    /// Makes the new records those of the backup.
    pub fn end_backup(&self) -> Result<(), CopyDirError> {
        let (new, path) = (self.new_records(), self.records());
        std::fs::rename(&new, &path).map_err(io_error("renaming", &new))?;
        Ok(sync_directory(&self.path)?)
    }

    /// Writes `root.key` and, where there is one, `credentials`; or removes both.
    pub fn keep_keys(&self, keys: Option<(&str, Option<&str>)>) -> Result<(), CopyDirError> {
        let (root_key, credentials) = keys.unzip();
        for (name, text) in [(ROOT_KEY_FILE, root_key), (CREDENTIALS_FILE, credentials.flatten())] {
            match text {
                Some(text) => write_whole(&self.path, name, text.as_bytes())?,
                None => self.remove(name)?,
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), CopyDirError> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_error("removing", &path)(error).into()),
            _ => Ok(()),
        }
    }
}

fn has_format(path: &Path) -> Result<bool, CopyDirError> {
    let Some(found) = read_optional(&path.join(FORMAT_FILE))? else { return Ok(false) };
    match found.trim_end().strip_prefix(BACKUP) {
        Some(VERSION) => Ok(true),
        Some(found) => {
            let found = found.chars().take(20).collect();
            Err(CopyDirError::Version { path: path.to_owned(), found })
        }
        None => Err(CopyDirError::DataDirectory(path.to_owned())),
    }
}

/// An error about the backup's directory: its cure names no `--data`, which is the store's.
fn of_target(error: DataDirError) -> DataDirError {
    match error {
        DataDirError::Denied { doing, path, problem, cure } => {
            DataDirError::Denied { doing, path, problem, cure: cure.or("name another directory for the backup") }
        }
        other => other,
    }
}

/// The file is opened to read, so that a backup on a medium that can't be written can be restored.
fn lock(directory: &Path, how: FlockOperation) -> Result<File, CopyDirError> {
    let path = directory.join(FORMAT_FILE);
    let file = File::open(&path).map_err(io_error("opening", &path))?;
    match flock(&file, how) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(CopyDirError::InUse(directory.to_owned())),
        Err(error) => Err(io_error("locking", &path)(error.into()).into()),
    }
}
