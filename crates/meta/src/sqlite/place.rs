//! Detects that the database's files were removed or replaced. SQLite does not notice that. It would continue to read and write the
//! unlinked files, and all data would be lost.

use crate::Error;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The identity of an open file: its path, device and inode. While the file is open, no other file can have the same numbers.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// Records the identity of a file that was just opened.
    pub(super) fn of(path: &Path) -> Result<Place, Error> {
        let found = look(path)?.ok_or(Error::Removed)?;
        Ok(Place { path: path.to_owned(), file: numbers(&found) })
    }

    /// Fails with [`Error::Removed`] if the path names no file or another one. Returns the file's metadata. Makes one system call.
    pub(super) fn check(&self) -> Result<Metadata, Error> {
        match look(&self.path)? {
            Some(found) if numbers(&found) == self.file => Ok(found),
            _ => Err(Error::Removed),
        }
    }
}

fn look(path: &Path) -> Result<Option<Metadata>, Error> {
    use std::io::ErrorKind;
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::Store("looking for the database".to_owned(), Arc::new(error))),
    }
}

fn numbers(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
