//! Translates SQLite's errors.

use crate::Error;
use rusqlite::ErrorCode;
use rustix::fs::StatVfsMountFlags;
use std::path::Path;
use std::sync::Arc;

/// A file system with less free space than this counts as full.
const FULL_BELOW_BYTES: u64 = 256 * 1024;

/// Translates an error. `context` names the operation that failed.
pub(super) fn error(context: &str, error: rusqlite::Error, path: &Path) -> Error {
    use ErrorCode as Code;
    let (code, cause) = (error.sqlite_error_code(), Arc::new(error));
    match code {
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => Error::Busy,
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => Error::Corrupt(cause),
        Some(Code::DiskFull) => Error::Full(cause),
        Some(Code::ReadOnly | Code::PermissionDenied) => Error::ReadOnly(cause),
        // These codes hide the system's error, so look at the file system.
        Some(Code::SystemIoFailure | Code::CannotOpen) => match trouble(path) {
            Some(Trouble::Full) => Error::Full(cause),
            Some(Trouble::ReadOnly) => Error::ReadOnly(cause),
            None => Error::Store(context.to_owned(), cause),
        },
        _ => Error::Store(context.to_owned(), cause),
    }
}

enum Trouble {
    Full,
    ReadOnly,
}

/// Returns the trouble if the database's file system is full or can't be written.
fn trouble(path: &Path) -> Option<Trouble> {
    let directory = path.parent()?;
    let space = rustix::fs::statvfs(directory).ok()?;
    let denied = || {
        let existing = if path.exists() { path } else { directory };
        rustix::fs::access(existing, rustix::fs::Access::WRITE_OK).is_err()
    };
    if space.f_flag.contains(StatVfsMountFlags::RDONLY) || denied() {
        return Some(Trouble::ReadOnly);
    }
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    (free < FULL_BELOW_BYTES || (space.f_files > 0 && space.f_favail == 0)).then_some(Trouble::Full)
}
