//! Whether the database's files are still where they were opened. SQLite does not notice when they are removed or replaced: it goes on
//! reading and writing files that nobody will find again.
use crate::Error;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is open, as its path named it at first. While it is open nothing else can have its numbers.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    /// The place of a file that was just opened.
    pub(super) fn of(path: &Path) -> Result<Place, Error> {
        let found = look(path)?.ok_or(Error::Removed)?;
        Ok(Place { path: path.to_owned(), file: numbers(&found) })
    }

    /// What the path names now; [`Error::Removed`] if that is not the file. One system call.
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
