//! The one rule by which every command finds the keys that it signs with or prints; docs/configure.md "Keys of the commands".

use crate::config::{self, ADMIN_ID, ADMIN_SECRET, SettingsError};
use crate::data_dir::{self, DataDirError, Endpoint};
use identity::credential::DEV_KEY;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key pair to sign with. `Debug` shows no secret.
pub struct Credentials {
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
    pub session_token: Option<Zeroizing<String>>,
    /// Where they were found, for messages.
    pub found: Found,
}

/// Where keys were found; Display continues "the keys of …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    AwsVariables,
    /// ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY.
    AdminVariables,
    /// The well-known keys of a server with `--dev`.
    Dev,
    /// A file in the AWS shared-credentials format.
    File { path: PathBuf, profile: String },
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::AwsVariables => f.write_str("the environment (AWS_ACCESS_KEY_ID)"),
            Found::AdminVariables => write!(f, "the environment ({ADMIN_ID})"),
            Found::Dev => f.write_str("--dev"),
            Found::File { path, profile } => write!(f, "{}, profile {profile}", path.display()),
        }
    }
}

/// Where keys are looked for: the environment, as a function, and the data directory.
pub struct Sources<'a> {
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The server's data directory, whose `credentials` its first start wrote.
    pub data: &'a Path,
    /// What the server of that directory left in its file `endpoint`.
    pub endpoint: Option<&'a Endpoint>,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or {ADMIN_ID} and {ADMIN_SECRET}, or name the server's data directory with --data DIR ({} has no keys)", .0.display()
    )]
    None(PathBuf),
    #[error(
        "this server's keys are those of {ADMIN_ID} and {ADMIN_SECRET}: set both here too, as where it was started"
    )]
    AdminVariables,
    #[error("the profile '{profile}' is not in {}", path.display())]
    NoProfile { profile: String, path: PathBuf },
    #[error(transparent)]
    Unreadable(#[from] DataDirError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Sources<'_> {
    /// The caller's keys, to sign a call with. The first that exists of: AWS_ACCESS_KEY_ID with its secret; the profile that
    /// AWS_PROFILE names (or the file that AWS_SHARED_CREDENTIALS_FILE names); [`Sources::of_server`]; the default profile of
    /// `~/.aws/credentials`.
    pub fn find(&self) -> Result<Credentials, CredentialsError> {
        if let (Some(access_key_id), Some(secret)) = (self.get("AWS_ACCESS_KEY_ID"), self.get("AWS_SECRET_ACCESS_KEY"))
        {
            let session_token = self.get("AWS_SESSION_TOKEN").map(Zeroizing::new);
            let secret = Zeroizing::new(secret);
            return Ok(Credentials { access_key_id, secret, session_token, found: Found::AwsVariables });
        }
        let shared = self.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = self.get("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
        let profile = self.get("AWS_PROFILE");
        if let (true, Some(path)) = (profile.is_some() || shared.is_some(), shared.as_ref().or(home.as_ref())) {
            let profile = profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
            return from_file(path, &profile)?
                .ok_or_else(|| CredentialsError::NoProfile { profile, path: path.clone() });
        }
        match (self.of_server(), home) {
            (Err(CredentialsError::None(data)), Some(home)) => {
                from_file(&home, DEFAULT_PROFILE)?.ok_or(CredentialsError::None(data))
            }
            (found, _) => found,
        }
    }

    /// The keys of the server's administrator. The first that exists of: ECRU_ADMIN_*; those of `--dev`, if the directory's
    /// server runs with it; the directory's `credentials`.
    pub fn of_server(&self) -> Result<Credentials, CredentialsError> {
        if let Some((access_key_id, secret)) = config::administrator(self.environment)? {
            return Ok(Credentials { access_key_id, secret, session_token: None, found: Found::AdminVariables });
        }
        if self.endpoint.is_some_and(|endpoint| endpoint.dev) {
            return Ok(Credentials::dev());
        }
        match from_file(&self.data.join("credentials"), DEFAULT_PROFILE)? {
            Some(found) => Ok(found),
            None if self.endpoint.is_some_and(|endpoint| endpoint.admin) => Err(CredentialsError::AdminVariables),
            None => Err(CredentialsError::None(self.data.to_owned())),
        }
    }

    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

impl Credentials {
    /// `test`/`test`, the keys of every server with `--dev`.
    pub fn dev() -> Credentials {
        let secret = Zeroizing::new(DEV_KEY.to_owned());
        Credentials { access_key_id: DEV_KEY.to_owned(), secret, session_token: None, found: Found::Dev }
    }
}

pub const DEFAULT_PROFILE: &str = "default";

/// The file of profiles: AWS_SHARED_CREDENTIALS_FILE, else `~/.aws/credentials`.
pub fn file(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("AWS_SHARED_CREDENTIALS_FILE").or_else(|| set("HOME").map(|home| home.join(".aws/credentials")))
}

/// The keys of one profile of a file, and nothing of the environment.
pub fn of_profile(path: &Path, profile: &str) -> Result<Credentials, CredentialsError> {
    let missing = || CredentialsError::NoProfile { profile: profile.to_owned(), path: path.to_owned() };
    from_file(path, profile)?.ok_or_else(missing)
}

/// The keys of a profile of a file; `None` where there is no file, or no such profile in it.
pub fn from_file(path: &Path, profile: &str) -> Result<Option<Credentials>, CredentialsError> {
    let Some(text) = data_dir::read_optional(path)? else { return Ok(None) };
    Ok(read_profile(&text, profile).map(|(access_key_id, secret, session_token)| {
        let found = Found::File { path: path.to_owned(), profile: profile.to_owned() };
        Credentials { access_key_id, secret, session_token, found }
    }))
}

/// A key id, its secret, and a session token where there is one.
type Profile = (String, Zeroizing<String>, Option<Zeroizing<String>>);

/// Reads a profile of a file in the AWS shared-credentials format.
fn read_profile(text: &str, profile: &str) -> Option<Profile> {
    let (mut access_key_id, mut secret, mut session_token) = (None, None, None);
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if let (true, Some((key, value))) = (inside && !line.starts_with(['#', ';']), line.split_once('=')) {
            let value = value.trim().to_owned();
            match key.trim() {
                "aws_access_key_id" => access_key_id = Some(value),
                "aws_secret_access_key" => secret = Some(Zeroizing::new(value)),
                "aws_session_token" => session_token = Some(Zeroizing::new(value)),
                _ => {}
            }
        }
    }
    Some((access_key_id?, secret?, session_token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# kept by hand\n[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = a=b\naws_session_token = t\n\n[default]\naws_access_key_id=AKIADEFAULT\n aws_secret_access_key=secret \n";

    #[test]
    fn a_profile_is_read_from_a_shared_credentials_file() {
        let (id, secret, token) = read_profile(FILE, "other").unwrap();
        assert_eq!((id.as_str(), secret.as_str()), ("AKIAOTHER", "a=b"));
        assert_eq!(token.as_deref().map(String::as_str), Some("t"));
        let (id, secret, token) = read_profile(FILE, "default").unwrap();
        assert_eq!((id.as_str(), secret.as_str(), token), ("AKIADEFAULT", "secret", None));
        assert!(read_profile(FILE, "none").is_none());
    }

    #[test]
    fn the_first_source_that_exists_counts() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let home = directory.path().join("home");
        std::fs::create_dir_all(home.join(".aws")).unwrap();
        std::fs::create_dir_all(&data).unwrap();
        let home_text = home.display().to_string();
        let find = |variables: &[(&str, &str)], dev: bool, admin: bool| {
            let environment = |name: &str| match name {
                "HOME" => Some(home_text.clone()),
                _ => variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            };
            let endpoint = Endpoint { dev, admin, ..Endpoint::of_defaults() };
            let sources = Sources { environment: &environment, data: &data, endpoint: Some(&endpoint) };
            (sources.find().map(|found| found.access_key_id), sources.of_server().map(|found| found.access_key_id))
        };
        let (callers, servers) = find(&[], false, false);
        assert!(matches!((callers, servers), (Err(CredentialsError::None(_)), Err(CredentialsError::None(_)))));
        std::fs::write(home.join(".aws/credentials"), FILE).unwrap();
        let (callers, servers) = find(&[], false, false);
        assert_eq!(callers.unwrap(), "AKIADEFAULT");
        // A file of AWS's keys is nothing that a server of ours knows.
        assert!(matches!(servers, Err(CredentialsError::None(_))));
        let (callers, _) = find(&[], false, true);
        assert!(callers.err().unwrap().to_string().contains("ECRU_ADMIN_ACCESS_KEY_ID"));
        std::fs::write(data.join("credentials"), FILE.replace("AKIADEFAULT", "AKIADATA")).unwrap();
        let (profile, keys) = (("AWS_PROFILE", "other"), ("AWS_ACCESS_KEY_ID", "AKIAENV"));
        let admin = [("ECRU_ADMIN_ACCESS_KEY_ID", "AKIAADMIN"), ("ECRU_ADMIN_SECRET_ACCESS_KEY", "s")];
        let secret = ("AWS_SECRET_ACCESS_KEY", "s");
        for (variables, dev, callers, servers) in [
            (vec![], false, "AKIADATA", "AKIADATA"),
            (vec![], true, "test", "test"),
            (admin.to_vec(), true, "AKIAADMIN", "AKIAADMIN"),
            (vec![admin[0], admin[1], profile], false, "AKIAOTHER", "AKIAADMIN"),
            (vec![admin[0], admin[1], profile, keys, secret], true, "AKIAENV", "AKIAADMIN"),
            // A key id without a secret is ignored.
            (vec![keys], false, "AKIADATA", "AKIADATA"),
        ] {
            let found = find(&variables, dev, false);
            assert_eq!((found.0.unwrap(), found.1.unwrap()), (callers.to_owned(), servers.to_owned()), "{variables:?}");
        }
        let (callers, _) = find(&[("AWS_PROFILE", "none")], false, false);
        assert!(matches!(callers, Err(CredentialsError::NoProfile { .. })));
        let (_, servers) = find(&admin[..1], false, false);
        assert!(matches!(servers, Err(CredentialsError::Settings(_))));
    }
}
