//! The data directory: its lock, its format, and the small files beside the stores.

mod files;

pub use files::{io_error, read_optional, sync_directory, write_whole};
pub use meta::StoreId;

use crate::config::{DEFAULT_PORT, DEFAULT_REGION, InvalidRootKey, RootKeys};
use crate::denied::Owned;
use files::lock;
use identity::bootstrap::NewAdministrator;
use kernel::keys::KEY_BYTES;
use kernel::random::Random;
use listen::whole_file::UNFINISHED;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The format of the directory as a whole. The stores in it have their own formats.
const FORMAT: &str = "1";
/// The prefix of a backup's format.
pub const BACKUP: &str = "backup ";
/// A file that exists until a restore into the directory has ended.
const RESTORING_FILE: &str = "restoring";
pub const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "lock";
pub const ROOT_KEY_FILE: &str = "root.key";
pub const CREDENTIALS_FILE: &str = "credentials";
const ENDPOINT_FILE: &str = "endpoint";
/// A file in the data directory that names the engine of the records.
const RECORDS_FILE: &str = "records";
/// A file in the layers' directory with the id of its store. The directory may be on a separate volume.
pub const STORE_FILE: &str = "STORE";
/// The version prefix of `RECORDS_FILE` and `STORE_FILE`.
const MARK_VERSION: &str = "1:";
/// Accessible to the owner only.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The paths of a data directory's files. It holds no lock, so it is for reading beside a running server.
#[derive(Clone, Debug)]
pub struct DataFiles {
    path: PathBuf,
}

/// A data directory that is locked by this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    files: DataFiles,
    /// An flock, which ends with the process in every case.
    _lock: File,
}

/// The address of a running server: the file `endpoint`, for `ecru env`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Such as `http://localhost:5050`.
    pub url: String,
    pub region: String,
    /// The host of the default registry's image URIs.
    pub registry: String,
    /// Whether the keys are those of `--dev`.
    pub dev: bool,
    /// The address for `ecru health` on this machine, such as `http://127.0.0.1:5050`. `None` if no listener speaks plain HTTP,
    /// and in files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Whether the administrator's keys are those of ECRU_ADMIN_*. Absent in files of the first versions.
    #[serde(default)]
    pub admin: bool,
    /// The file of the private authority that signed the server's certificate: the `ca.pem` of `ecru tls init`. `None` with plain
    /// HTTP or any other certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// The engine of a data directory's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsPlace {
    /// `ecru.db` in the directory.
    Sqlite,
    /// A PostgreSQL database. The directory does not contain its address.
    Postgres,
}

impl RecordsPlace {
    fn name(self) -> &'static str {
        match self {
            RecordsPlace::Sqlite => "sqlite",
            RecordsPlace::Postgres => "postgresql",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("{} is not a data directory of ecru; name the one that `ecru serve` uses with --data", .0.display())]
    None(PathBuf),
    #[error("another ecru already serves the data directory {}: stop that one, or name another directory with --data DIR", .0.display())]
    InUse(PathBuf),
    #[error("{} is not a data directory of ecru, and not empty; name an empty or new one with --data", .0.display())]
    Foreign(PathBuf),
    #[error("the data directory {} was made by a newer ecru (format {found}, and this one knows format {FORMAT}): use that one", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("the data directory {} has format {found:?}, which no ecru has; restore its file {FORMAT_FILE} from a backup", path.display())]
    Format { path: PathBuf, found: String },
    #[error("{} is a backup; `ecru restore` makes a data directory of it", .0.display())]
    Backup(PathBuf),
    #[error("{} holds a restore that did not end: remove it, and restore again into a new directory", .0.display())]
    Restoring(PathBuf),
    #[error("{} is not empty; a restore makes a new directory, or fills an empty one", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is missing beside a database that was made with it; restore it, or set ECRU_ROOT_KEY", .0.display())]
    RootKeyLost(PathBuf),
    #[error("the root key in {} is wrong", path.display())]
    RootKey { path: PathBuf, source: InvalidRootKey },
    #[error("{} exists, holds no keys that can be read, and is never overwritten: move it away", .0.display())]
    CredentialsExist(PathBuf),
    #[error("{} says nothing that this ecru knows; a newer one may have written it", .0.display())]
    Mark(PathBuf),
    #[error("{} holds no endpoint", .0.display())]
    Endpoint(PathBuf),
    #[error("{} is a file, not a directory; name a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("{doing} {}: {problem}; {cure}", path.display())]
    Denied { doing: &'static str, path: PathBuf, problem: io::Error, cure: Owned },
    /// The server must write to start, and can't.
    #[error("{doing} {}: the disk is full; free some space on it and start again", path.display())]
    Full { doing: &'static str, path: PathBuf },
    #[error("{doing} {}: its file system is read-only; mount it writable and start again", path.display())]
    ReadOnly { doing: &'static str, path: PathBuf },
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl DataFiles {
    /// Opens an existing data directory without locking it: a server may be running there.
    pub fn existing(path: &Path) -> Result<DataFiles, DataDirError> {
        let absent = || DataDirError::None(path.to_owned());
        let path = match path.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(absent()),
            found => found.map_err(io_error("opening the data directory", path))?,
        };
        if has_format(&path)? { Ok(DataFiles { path }) } else { Err(absent()) }
    }

    /// The directory's absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SQLite's file.
    pub fn database(&self) -> PathBuf {
        self.path.join("ecru.db")
    }

    /// The directory of the fs engine.
    pub fn layers(&self) -> PathBuf {
        self.path.join("layers")
    }

    /// The file of the administrator's keys.
    pub fn credentials(&self) -> PathBuf {
        self.path.join(CREDENTIALS_FILE)
    }

    /// Reads the keys in `root.key`; `None` if there is no such file.
    pub fn given_root_keys(&self) -> Result<Option<RootKeys>, DataDirError> {
        let path = self.path.join(ROOT_KEY_FILE);
        let Some(text) = read_optional(&path)? else { return Ok(None) };
        text.parse().map(Some).map_err(|source| DataDirError::RootKey { path, source })
    }

    /// Reads the engine of the directory's records; `None` before the first start, and in directories of versions that did not
    /// write it.
    pub fn records_place(&self) -> Result<Option<RecordsPlace>, DataDirError> {
        let path = self.path.join(RECORDS_FILE);
        let Some(said) = read_mark(&path)? else { return Ok(None) };
        let known = [RecordsPlace::Sqlite, RecordsPlace::Postgres].into_iter().find(|place| place.name() == said);
        known.map(Some).ok_or(DataDirError::Mark(path))
    }

    /// Reads the id of the layers' directory, if it has one.
    pub fn layers_id(&self) -> Result<Option<StoreId>, DataDirError> {
        read_store_id(&self.layers().join(STORE_FILE))
    }

    /// Returns a file that shows that a store was used here, such as `credentials`. An id in a layers' directory without layers
    /// does not count, because a first start writes it before its records.
    pub fn trace_of_use(&self) -> Result<Option<&'static str>, DataDirError> {
        let layers = self.layers();
        for trace in [CREDENTIALS_FILE, RECORDS_FILE] {
            let path = self.path.join(trace);
            if path.try_exists().map_err(io_error("reading", &path))? {
                return Ok(Some(trace));
            }
        }
        // Layers' subdirectories are created together with their first layer.
        let shard = |name: &str| name.len() == 2 && u8::from_str_radix(name, 16).is_ok();
        let entries = match std::fs::read_dir(&layers) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(io_error("reading", &layers))?,
        };
        for entry in entries {
            let name = entry.map_err(io_error("reading", &layers))?.file_name();
            if name.to_str().is_some_and(shard) {
                return Ok(Some("layers"));
            }
        }
        Ok(None)
    }
}

/// A data directory that a restore is filling. It gets its format last, so no server can use it before it is complete.
#[derive(Debug)]
pub struct NewDataDir(DataDir);

impl NewDataDir {
    /// Creates the directory, or takes an empty one.
    pub fn make(path: &Path) -> Result<NewDataDir, DataDirError> {
        make_directory(path)?;
        let path = path.canonicalize().map_err(io_error("opening the data directory", path))?;
        if path.join(RESTORING_FILE).exists() {
            return Err(DataDirError::Restoring(path));
        }
        if holds_something(&path)? {
            return Err(DataDirError::NotEmpty(path));
        }
        let lock = lock(&path)?;
        write_whole(&path, RESTORING_FILE, b"")?;
        Ok(NewDataDir(DataDir { files: DataFiles { path }, _lock: lock }))
    }

    /// Removes `ecru.db` after its records were restored to PostgreSQL.
    pub fn remove_database(&self) -> Result<(), DataDirError> {
        let path = self.0.database();
        std::fs::remove_file(&path).map_err(io_error("removing", &path))
    }

    /// Writes the directory's format, which makes it a valid data directory.
    pub fn finish(self) -> Result<DataDir, DataDirError> {
        write_whole(&self.0.path, FORMAT_FILE, format!("{FORMAT}\n").as_bytes())?;
        remove_restoring(&self.0.path)?;
        Ok(self.0)
    }
}

impl std::ops::Deref for NewDataDir {
    type Target = DataDir;
    fn deref(&self) -> &DataDir {
        &self.0
    }
}

fn remove_restoring(directory: &Path) -> Result<(), DataDirError> {
    let path = directory.join(RESTORING_FILE);
    std::fs::remove_file(&path).map_err(io_error("removing", &path))
}

/// Creates a directory and its parents durably, accessible to the owner only. An existing directory is not changed.
pub fn make_directory(path: &Path) -> Result<(), DataDirError> {
    let made = !path.exists();
    let making = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    making.map_err(io_error("making the directory", path))?;
    if made && let Some(parent) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
        sync_directory(parent)?;
    }
    Ok(())
}

/// Reads a store's id from a file; `None` if there is no such file.
pub fn read_store_id(path: &Path) -> Result<Option<StoreId>, DataDirError> {
    let Some(text) = read_mark(path)? else { return Ok(None) };
    let digits = text.as_bytes();
    let mut id = [0; 16];
    let pairs = digits.chunks_exact(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
    let read = id.iter_mut().zip(pairs).try_for_each(|(byte, pair)| pair.map(|pair| *byte = pair));
    match read {
        Some(()) if digits.len() == 2 * id.len() => Ok(Some(StoreId(id))),
        _ => Err(DataDirError::Mark(path.to_owned())),
    }
}

/// Writes a store's id into a directory, durably.
pub fn write_store_id(directory: &Path, id: StoreId) -> Result<(), DataDirError> {
    write_whole(directory, STORE_FILE, format!("{MARK_VERSION}{id}\n").as_bytes())
}

/// Reads a one-line file and returns its text after the version prefix.
fn read_mark(path: &Path) -> Result<Option<String>, DataDirError> {
    let Some(text) = read_optional(path)? else { return Ok(None) };
    match text.trim_end().strip_prefix(MARK_VERSION) {
        Some(rest) => Ok(Some(rest.to_owned())),
        None => Err(DataDirError::Mark(path.to_owned())),
    }
}

impl std::ops::Deref for DataDir {
    type Target = DataFiles;
    fn deref(&self) -> &DataFiles {
        &self.files
    }
}

impl DataDir {
    /// Locks the directory for this process, and creates it if it is missing. Fails while another process holds the lock.
    pub fn open(path: &Path) -> Result<DataDir, DataDirError> {
        make_directory(path)?;
        let path = path.canonicalize().map_err(io_error("opening the data directory", path))?;
        let format = read_optional(&path.join(FORMAT_FILE))?;
        if path.join(RESTORING_FILE).exists() {
            match format {
                // The format is written last, so the restore had ended.
                Some(_) => remove_restoring(&path)?,
                None => return Err(DataDirError::Restoring(path)),
            }
        }
        let foreign = holds_something(&path)?;
        if format.is_none() && foreign {
            return Err(DataDirError::Foreign(path));
        }
        let lock = lock(&path)?;
        // The previous holder of the lock may have written the format meanwhile.
        if !has_format(&path)? {
            write_whole(&path, FORMAT_FILE, format!("{FORMAT}\n").as_bytes())?;
        }
        Ok(DataDir { files: DataFiles { path }, _lock: lock })
    }

    /// Reads the keys in `root.key`. Creates the file on a first start, but never if a database exists whose key is lost.
    pub fn root_keys(&self, random: &dyn Random) -> Result<RootKeys, DataDirError> {
        if let Some(keys) = self.given_root_keys()? {
            return Ok(keys);
        }
        let path = self.path.join(ROOT_KEY_FILE);
        if self.database().exists() {
            return Err(DataDirError::RootKeyLost(path));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random.fill(key.as_mut());
        let keys = RootKeys::first(key);
        write_whole(&self.path, ROOT_KEY_FILE, keys.to_text().as_bytes())?;
        Ok(keys)
    }

    /// Writes the file `credentials` in the AWS shared-credentials format. Never overwrites an existing one.
    pub fn write_credentials(&self, administrator: &NewAdministrator) -> Result<(), DataDirError> {
        let path = self.credentials();
        if path.try_exists().map_err(io_error("reading", &path))? {
            return Err(DataDirError::CredentialsExist(path));
        }
        let text = Zeroizing::new(format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            administrator.access_key_id,
            administrator.secret.as_str(),
        ));
        write_whole(&self.path, CREDENTIALS_FILE, text.as_bytes())
    }

    /// Removes the file `credentials`, whose keys never became valid.
    pub fn remove_credentials(&self) -> Result<(), DataDirError> {
        let path = self.credentials();
        std::fs::remove_file(&path).map_err(io_error("removing", &path))
    }

    /// Writes the engine of the directory's records.
    pub fn write_records_place(&self, place: RecordsPlace) -> Result<(), DataDirError> {
        write_whole(&self.path, RECORDS_FILE, format!("{MARK_VERSION}{}\n", place.name()).as_bytes())
    }

    /// Writes the store's id into the layers' directory.
    pub fn write_layers_id(&self, id: StoreId) -> Result<(), DataDirError> {
        write_store_id(&self.layers(), id)
    }

    /// Writes the server's address for `ecru env`.
    pub fn write_endpoint(&self, endpoint: &Endpoint) -> Result<(), DataDirError> {
        let path = self.path.join(ENDPOINT_FILE);
        let text = toml::to_string(endpoint).map_err(|error| DataDirError::Io {
            doing: "writing",
            path,
            source: io::Error::other(error),
        })?;
        write_whole(&self.path, ENDPOINT_FILE, text.as_bytes())
    }
}

impl Endpoint {
    /// Returns the endpoint of a server with `--dev` and no other setting.
    pub fn of_defaults() -> Endpoint {
        let registry = format!("localhost:{DEFAULT_PORT}");
        let url = format!("http://{registry}");
        Endpoint { url, region: DEFAULT_REGION.to_owned(), registry, dev: true, health: None, admin: false, ca: None }
    }

    /// Reads the endpoint that a data directory's server wrote; `None` if no server has used the directory.
    pub fn read(data: &Path) -> Result<Option<Endpoint>, DataDirError> {
        let path = data.join(ENDPOINT_FILE);
        let Some(text) = read_optional(&path)? else { return Ok(None) };
        toml::from_str(&text).map(Some).map_err(|_| DataDirError::Endpoint(path))
    }
}

/// Whether the directory has a format. Fails if the format is unknown.
fn has_format(path: &Path) -> Result<bool, DataDirError> {
    match read_optional(&path.join(FORMAT_FILE))? {
        None => Ok(false),
        Some(found) if found.trim_end() == FORMAT => Ok(true),
        Some(found) if found.starts_with(BACKUP) => Err(DataDirError::Backup(path.to_owned())),
        Some(found) => {
            let (path, found) = (path.to_owned(), found.trim_end());
            Err(match found.parse() {
                Ok(found) => DataDirError::Newer { path, found },
                Err(_) => DataDirError::Format { path, found: found.chars().take(20).collect() },
            })
        }
    }
}

/// Whether the directory contains anything besides the remains of an interrupted start and the files of a new file system.
pub fn holds_something(path: &Path) -> Result<bool, DataDirError> {
    let reading = || io_error("reading the data directory", path);
    let unfinished = format!("{FORMAT_FILE}{UNFINISHED}");
    for entry in std::fs::read_dir(path).map_err(reading())? {
        let name = entry.map_err(reading())?.file_name();
        if ![LOCK_FILE, unfinished.as_str(), "lost+found"].iter().any(|known| name == *known) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
