//! Writes files atomically and durably.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The suffix of a file's name while it is written.
pub const UNFINISHED: &str = ".new";

/// Writes a file with these permissions. After a crash the file has either its new or its previous content. Callers must not
/// write the same file concurrently.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let mut unfinished = name.to_owned();
    unfinished.push(UNFINISHED);
    let unfinished = directory.join(PathBuf::from(unfinished));
    let write = || {
        // A file left by a crash could have another mode.
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    if let Err(error) = write() {
        // An unfinished file only takes space, so a failure to remove it is ignored and the write's own error is returned.
        let _ = std::fs::remove_file(&unfinished);
        return Err(error);
    }
    // A name without a directory is in the current directory.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_whatever_a_crash_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        std::fs::write(directory.path().join("key.pem.new"), "half of a").unwrap();
        for (text, mode) in [("first", 0o600), ("second", 0o640)] {
            write(&path, text.as_bytes(), mode).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_can_not_be_written_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        // A directory with content can't be replaced by a file.
        std::fs::create_dir_all(path.join("content")).unwrap();
        write(&path, b"text", 0o600).unwrap_err();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
