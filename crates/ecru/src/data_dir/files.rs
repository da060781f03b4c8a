//! The small files of a data directory and its lock. Files are read whole, and written atomically and durably.

use super::{DataDirError, FILE_MODE, LOCK_FILE};
use crate::denied::Owned;
use listen::whole_file;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Takes the directory's lock until the file is dropped.
pub(super) fn lock(directory: &Path) -> Result<File, DataDirError> {
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
    let file = match file {
        // Locking needs no write access, and layers with records in PostgreSQL can be served from a read-only file system.
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem && path.exists() => File::open(&path),
        file => file,
    };
    let file = file.map_err(io_error("opening", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse(directory.to_owned())),
        Err(error) => Err(DataDirError::Io { doing: "locking", path, source: error.into() }),
    }
}

/// Reads a file's text; `None` if there is no such file.
pub fn read_optional(path: &Path) -> Result<Option<Zeroizing<String>>, DataDirError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("reading", path)(error)),
    }
}

/// Writes a file atomically and durably. The caller must hold the directory's lock.
pub fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
    let path = directory.join(name);
    whole_file::write(&path, bytes, FILE_MODE).map_err(io_error("writing", &path))
}

/// Makes a directory's entries durable.
pub fn sync_directory(path: &Path) -> Result<(), DataDirError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io_error("syncing the directory", path))
}

/// Adds the action and the path to an error of the operating system.
pub fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError + use<> {
    let path = path.to_owned();
    move |error| match error.kind() {
        ErrorKind::PermissionDenied => {
            let cure = Owned::find(&path, "name another directory with --data DIR");
            DataDirError::Denied { doing, path, problem: error, cure }
        }
        ErrorKind::ReadOnlyFilesystem => DataDirError::ReadOnly { doing, path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DataDirError::Full { doing, path },
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists if let Some(file) = file_in(&path) => {
            DataDirError::NotADirectory(file)
        }
        _ => DataDirError::Io { doing, path, source: error },
    }
}

/// The part of a path that is a file where a directory should be.
fn file_in(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|part| part.is_file()).map(Path::to_owned)
}
