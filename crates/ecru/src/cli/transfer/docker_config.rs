//! Logins as docker keeps them: `auths`, `credHelpers` and `credsStore` of its `config.json`.
//!
//! Source: docker's "docker login" reference and `cli/config/credentials` (the order), docker-credential-helpers (the protocol).

use super::TransferError;
use super::error::shown;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

/// The longest that a credential helper may take; some of them ask a cloud.
const HELPER_TIME: Duration = Duration::from_secs(60);
/// The largest configuration that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;
/// What Docker Hub is called in the configuration.
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user name that says the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Credentials for a registry. `Debug` shows no secret.
#[derive(Clone)]
pub enum SourceCredentials {
    Password {
        user: String,
        secret: Zeroizing<String>,
    },
    /// An OAuth2 refresh token, which a token server takes.
    Identity(Zeroizing<String>),
}

impl std::fmt::Debug for SourceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceCredentials::Password { user, .. } => {
                f.debug_struct("Password").field("user", user).finish_non_exhaustive()
            }
            SourceCredentials::Identity(_) => f.debug_struct("Identity").finish_non_exhaustive(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Zeroizing<String>,
    username: String,
    password: Zeroizing<String>,
    identitytoken: Zeroizing<String>,
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: Zeroizing<String>,
}

/// Where docker's configuration is: DOCKER_CONFIG's directory, else `~/.docker`.
pub fn path(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")))?;
    Some(directory.join("config.json"))
}

/// The credentials that docker would use for a host; `None` where it has none.
///
/// A helper runs without the AWS_* and ECRU_* variables, which are those of the other side.
pub async fn find(path: &Path, host: &str) -> Result<Option<SourceCredentials>, TransferError> {
    let Some(config) = read(path)? else { return Ok(None) };
    let keys = keys(host);
    let helper = keys.iter().find_map(|key| config.cred_helpers.get(key)).or(config.creds_store.as_ref());
    if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
        for key in &keys {
            if let Some(found) = ask(helper, key, path).await? {
                return Ok(Some(found));
            }
        }
        return Ok(None);
    }
    keys.iter().find_map(|key| config.auths.get(key)).map_or(Ok(None), |auth| of(auth, host, path))
}

fn read(path: &Path) -> Result<Option<Config>, TransferError> {
    let size = match std::fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TransferError::io(path)(error)),
    };
    if size > MAX_CONFIG_BYTES {
        return Err(TransferError::archive(path, "it is too large to be docker's configuration"));
    }
    let text = Zeroizing::new(std::fs::read(path).map_err(TransferError::io(path))?);
    // serde's error could quote a secret; its place in the file says enough.
    let config = serde_json::from_slice(&text).map_err(|error| {
        TransferError::archive(path, format!("it is not a docker configuration (line {})", error.line()))
    })?;
    Ok(Some(config))
}

/// The names under which docker keeps a host's login.
fn keys(host: &str) -> Vec<String> {
    match host {
        "docker.io" | "registry-1.docker.io" | "index.docker.io" => {
            vec![HUB_KEY.to_owned(), "docker.io".to_owned(), "index.docker.io".to_owned()]
        }
        host => {
            vec![host.to_owned(), format!("https://{host}"), format!("http://{host}"), format!("https://{host}/v1/")]
        }
    }
}

fn of(auth: &Auth, host: &str, path: &Path) -> Result<Option<SourceCredentials>, TransferError> {
    if !auth.identitytoken.is_empty() {
        return Ok(Some(SourceCredentials::Identity(auth.identitytoken.clone())));
    }
    if !auth.auth.is_empty() {
        let broken = || TransferError::archive(path, format!("the login of {host} can't be read"));
        let decoded = Zeroizing::new(STANDARD.decode(auth.auth.as_bytes()).map_err(|_| broken())?);
        let text = std::str::from_utf8(&decoded).map_err(|_| broken())?;
        let (user, secret) = text.split_once(':').ok_or_else(broken)?;
        let secret = Zeroizing::new(secret.trim_end_matches('\0').to_owned());
        return Ok(Some(SourceCredentials::Password { user: user.to_owned(), secret }));
    }
    if auth.username.is_empty() {
        return Ok(None);
    }
    Ok(Some(SourceCredentials::Password { user: auth.username.clone(), secret: auth.password.clone() }))
}

/// Asks `docker-credential-NAME`.
async fn ask(helper: &str, key: &str, path: &Path) -> Result<Option<SourceCredentials>, TransferError> {
    let failed = |reason: String| TransferError::archive(path, format!("docker-credential-{helper}: {reason}"));
    if !helper.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)) {
        return Err(TransferError::archive(path, "the name of a credential helper can't be read"));
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if ["AWS_", "ECRU_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    let asked = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(key.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let answered = tokio::time::timeout(HELPER_TIME, asked).await;
    let output = answered.map_err(|_| failed(format!("it gave no answer in {} s", HELPER_TIME.as_secs())))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    let stdout = Zeroizing::new(output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&stdout);
        // The helpers' common sentence for a host that they don't know.
        return match said.contains("credentials not found") {
            true => Ok(None),
            false => Err(failed(shown(&said))),
        };
    }
    let Helped { username, secret } =
        serde_json::from_slice(&stdout).map_err(|_| failed("its answer can't be read".to_owned()))?;
    Ok(Some(match username.as_str() {
        TOKEN_USER => SourceCredentials::Identity(secret),
        _ => SourceCredentials::Password { user: username, secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &str, host: &str) -> Option<(String, String)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        match find(&path, host).await.unwrap()? {
            SourceCredentials::Password { user, secret } => Some((user, secret.to_string())),
            SourceCredentials::Identity(token) => Some((TOKEN_USER.to_owned(), token.to_string())),
        }
    }

    #[tokio::test]
    async fn logins_are_found_where_docker_keeps_them() {
        let config = r#"{"auths": {
            "ghcr.io": {"auth": "dXNlcjpwYTpzcw=="},
            "https://index.docker.io/v1/": {"username": "hub", "password": "p"},
            "https://r.example": {"identitytoken": "refresh", "auth": "PHRva2VuPjo="},
            "empty.example": {}
        }}"#;
        let pair = |user: &str, secret: &str| Some((user.to_owned(), secret.to_owned()));
        assert_eq!(found(config, "ghcr.io").await, pair("user", "pa:ss"));
        assert_eq!(found(config, "docker.io").await, pair("hub", "p"));
        assert_eq!(found(config, "r.example").await, pair(TOKEN_USER, "refresh"));
        assert_eq!(found(config, "empty.example").await, None);
        assert_eq!(found(config, "evil.example").await, None);
        assert_eq!(found("{}", "ghcr.io").await, None);
    }

    #[tokio::test]
    async fn a_broken_configuration_is_an_error_without_its_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        assert!(find(&path, "ghcr.io").await.unwrap().is_none());
        for config in [r#"{"auths": {"ghcr.io": {"auth": "s3cr3t!"}}}"#, r#"{"auths": {"ghcr.io": "s3cr3t"}}"#, "[", ""]
        {
            std::fs::write(&path, config).unwrap();
            let error = find(&path, "ghcr.io").await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
        }
        // A path in the place of a helper's name is never run.
        std::fs::write(&path, r#"{"credsStore": "../../bin/sh"}"#).unwrap();
        assert!(find(&path, "ghcr.io").await.unwrap_err().to_string().contains("can't be read"));
    }
}
