//! The caller's AWS credentials, from where the AWS tools keep them, or from the data directory of a server that runs here.
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key pair to sign with. `Debug` shows no secret.
pub struct Credentials {
    pub access_key_id: String,
    pub secret: Zeroizing<String>,
    pub session_token: Option<Zeroizing<String>>,
}

/// Where credentials are looked for: the environment, as a function, and the data directory.
pub struct Sources<'a> {
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The server's data directory, whose `credentials` its first start wrote.
    pub data: &'a Path,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error(
        "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where the server's `credentials` file is"
    )]
    None,
    #[error("the profile '{profile}' is not in {}", path.display())]
    NoProfile { profile: String, path: PathBuf },
    #[error("{} can't be read", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
}

impl Sources<'_> {
    /// The first that exists of: AWS_ACCESS_KEY_ID with its secret; the profile that AWS_PROFILE names (or the file that
    /// AWS_SHARED_CREDENTIALS_FILE names); the data directory's `credentials`; the default profile of `~/.aws/credentials`.
    pub fn find(&self) -> Result<Credentials, CredentialsError> {
        if let (Some(access_key_id), Some(secret)) = (self.get("AWS_ACCESS_KEY_ID"), self.get("AWS_SECRET_ACCESS_KEY"))
        {
            let session_token = self.get("AWS_SESSION_TOKEN").map(Zeroizing::new);
            return Ok(Credentials { access_key_id, secret: Zeroizing::new(secret), session_token });
        }
        let shared = self.get("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let home = self.get("HOME").map(|home| Path::new(&home).join(".aws/credentials"));
        let profile = self.get("AWS_PROFILE");
        if let (true, Some(path)) = (profile.is_some() || shared.is_some(), shared.as_ref().or(home.as_ref())) {
            let profile = profile.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
            return from_file(path, &profile)?
                .ok_or_else(|| CredentialsError::NoProfile { profile, path: path.clone() });
        }
        for path in [Some(self.data.join("credentials")), home].into_iter().flatten() {
            if let Some(found) = from_file(&path, DEFAULT_PROFILE)? {
                return Ok(found);
            }
        }
        Err(CredentialsError::None)
    }

    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
}

pub const DEFAULT_PROFILE: &str = "default";

/// The keys of a profile of a file; `None` where there is no file, or no such profile in it.
pub fn from_file(path: &Path, profile: &str) -> Result<Option<Credentials>, CredentialsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(read_profile(&Zeroizing::new(text), profile)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Reads a profile of a file in the AWS shared-credentials format.
fn read_profile(text: &str, profile: &str) -> Option<Credentials> {
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
    Some(Credentials { access_key_id: access_key_id?, secret: secret?, session_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# kept by hand\n[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = a=b\naws_session_token = t\n\n[default]\naws_access_key_id=AKIADEFAULT\n aws_secret_access_key=secret \n";

    #[test]
    fn a_profile_is_read_from_a_shared_credentials_file() {
        let other = read_profile(FILE, "other").unwrap();
        assert_eq!((other.access_key_id.as_str(), other.secret.as_str()), ("AKIAOTHER", "a=b"));
        assert_eq!(other.session_token.as_deref().map(String::as_str), Some("t"));
        let default = read_profile(FILE, "default").unwrap();
        assert_eq!((default.access_key_id.as_str(), default.secret.as_str()), ("AKIADEFAULT", "secret"));
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
        let find = |variables: &[(&str, &str)]| {
            let environment = |name: &str| match name {
                "HOME" => Some(home_text.clone()),
                _ => variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            };
            Sources { environment: &environment, data: &data }.find().map(|found| found.access_key_id)
        };
        assert!(matches!(find(&[]), Err(CredentialsError::None)));
        std::fs::write(home.join(".aws/credentials"), FILE).unwrap();
        assert_eq!(find(&[]).unwrap(), "AKIADEFAULT");
        std::fs::write(data.join("credentials"), FILE.replace("AKIADEFAULT", "AKIADATA")).unwrap();
        assert_eq!(find(&[]).unwrap(), "AKIADATA");
        assert_eq!(find(&[("AWS_PROFILE", "other")]).unwrap(), "AKIAOTHER");
        assert!(matches!(find(&[("AWS_PROFILE", "none")]), Err(CredentialsError::NoProfile { .. })));
        let keys = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_PROFILE", "other")];
        assert_eq!(find(&keys).unwrap(), "AKIAENV");
    }
}
