//! Notes of uploads that are under way, so that the next run goes on with what a cut left.
//!
//! One small file for each large layer, in `$XDG_STATE_HOME/ecru/uploads` (else `~/.local/state/ecru/uploads`): version 1, a blank,
//! and the upload's path at the registry. Whoever reads it could add bytes to that upload, so only the user can.

use super::TransferError;
use http::Uri;
use oci::{Algorithm, Digest};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

const VERSION: &str = "1";
/// The largest note that is read, in bytes.
const MAX_NOTE_BYTES: u64 = 4096;

/// Where notes are kept; none where the user has no home.
pub struct UploadNotes {
    directory: Option<PathBuf>,
    /// The registry and repository that all notes are about.
    target: String,
}

impl UploadNotes {
    pub fn new(environment: &dyn Fn(&str) -> Option<String>, target: String) -> UploadNotes {
        let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
        let state = state.or_else(|| set("HOME").map(|home| home.join(".local/state")));
        UploadNotes { directory: state.map(|state| state.join("ecru/uploads")), target }
    }

    fn path(&self, blob: &Digest) -> Option<PathBuf> {
        let name = Digest::of(Algorithm::Sha256, format!("{}\n{blob}", self.target).as_bytes()).hex();
        Some(self.directory.as_ref()?.join(name))
    }

    /// The path of a blob's upload, if one was noted. A note of another version is none.
    pub fn read(&self, blob: &Digest) -> Result<Option<String>, TransferError> {
        let Some(path) = self.path(blob) else { return Ok(None) };
        let file = match OpenOptions::new().read(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TransferError::io(&path)(error)),
        };
        let mut text = String::new();
        file.take(MAX_NOTE_BYTES).read_to_string(&mut text).map_err(TransferError::io(&path))?;
        Ok(text
            .trim_end()
            .split_once(' ')
            .filter(|(version, _)| *version == VERSION)
            .map(|(_, upload)| upload.to_owned()))
    }

    /// Notes where a blob's upload goes on.
    pub fn write(&self, blob: &Digest, upload: &Uri) -> Result<(), TransferError> {
        let Some(path) = self.path(blob) else { return Ok(()) };
        let written = || {
            if let Some(directory) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            }
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let upload = upload.path_and_query().map_or("/", |path| path.as_str());
            writeln!(file, "{VERSION} {upload}")
        };
        written().map_err(TransferError::io(&path))
    }

    /// Forgets a blob's upload.
    pub fn remove(&self, blob: &Digest) -> Result<(), TransferError> {
        let Some(path) = self.path(blob) else { return Ok(()) };
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TransferError::io(&path)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_note_is_read_back_by_its_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let environment = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
        let notes = UploadNotes::new(&environment, "http://localhost:5050/app".to_owned());
        let blob = Digest::of(Algorithm::Sha256, b"layer");
        assert_eq!(notes.read(&blob).unwrap(), None);
        notes.write(&blob, &"http://localhost:5050/v2/app/blobs/uploads/1?a=b".parse().unwrap()).unwrap();
        assert_eq!(notes.read(&blob).unwrap().as_deref(), Some("/v2/app/blobs/uploads/1?a=b"));
        let path = notes.path(&blob).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = UploadNotes::new(&environment, "http://localhost:5050/other".to_owned());
        assert_eq!(other.read(&blob).unwrap(), None);
        std::fs::write(&path, "2 /v2/x").unwrap();
        assert_eq!(notes.read(&blob).unwrap(), None);
        notes.remove(&blob).unwrap();
        notes.remove(&blob).unwrap();
        assert_eq!(notes.read(&blob).unwrap(), None);
    }
}
