//! `ecru env`: what a shell needs to reach a server on this machine.
use super::credentials::{Credentials, CredentialsError, Sources};
use super::shell;
use crate::config::{self, DEFAULT_PORT, DEFAULT_REGION, SettingsError, Variables};
use crate::data_dir::{DataDirError, Endpoint};
use registry::credential::DEV_KEY;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Prints exports for the AWS CLI and the SDKs: `eval "$(ecru env)"`.
#[derive(Debug, clap::Args)]
pub struct Env {
    /// The data directory of the server.
    #[arg(long, value_name = "DIR", default_value = config::DEFAULT_DATA, env = "ECRU_DATA")]
    pub data: PathBuf,
    /// The well-known keys test/test of a server that runs with --dev, whatever the data directory holds.
    #[arg(long)]
    pub dev: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    #[error("no server has run in {} yet; start `ecru serve`, or name its directory with --data", .0.display())]
    NoServer(PathBuf),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl Env {
    /// The lines to evaluate, the secret among them.
    pub fn run(self, variables: Variables<'_>) -> Result<Zeroizing<String>, EnvError> {
        let endpoint = match Endpoint::read(&self.data)? {
            Some(endpoint) => endpoint,
            None if self.dev => default_endpoint(),
            None => return Err(EnvError::NoServer(self.data)),
        };
        let (id, secret) = self.keys(&endpoint, variables)?;
        let exports = [
            ("AWS_ENDPOINT_URL", endpoint.url.as_str()),
            ("AWS_ACCESS_KEY_ID", &id),
            ("AWS_SECRET_ACCESS_KEY", &secret),
            ("AWS_DEFAULT_REGION", &endpoint.region),
            ("AWS_REGION", &endpoint.region),
            ("REGISTRY", &endpoint.registry),
        ];
        let mut text = Zeroizing::new(String::new());
        for (name, value) in exports {
            let value = Zeroizing::new(shell::word(value));
            text.push_str(&format!("export {name}={}\n", value.as_str()));
        }
        // One of another session would be sent along and refused.
        text.push_str("unset AWS_SESSION_TOKEN\n");
        Ok(text)
    }

    fn keys(&self, endpoint: &Endpoint, variables: Variables<'_>) -> Result<(String, Zeroizing<String>), EnvError> {
        if self.dev || endpoint.dev {
            return Ok((DEV_KEY.to_owned(), Zeroizing::new(DEV_KEY.to_owned())));
        }
        if let Some(keys) = config::administrator(variables)? {
            return Ok(keys);
        }
        // The shell's own AWS keys are what these exports replace, so they are not looked at.
        let Credentials { access_key_id, secret, .. } = Sources { environment: &|_| None, data: &self.data }.find()?;
        Ok((access_key_id, secret))
    }
}

/// That of a server with the default settings.
fn default_endpoint() -> Endpoint {
    let registry = format!("localhost:{DEFAULT_PORT}");
    Endpoint { url: format!("http://{registry}"), region: DEFAULT_REGION.to_owned(), registry, dev: true, health: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;
    use registry::bootstrap::NewAdministrator;

    fn exports(data: &std::path::Path, dev: bool, variables: &[(&str, &str)]) -> Result<String, EnvError> {
        let variables =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Env { data: data.to_owned(), dev }.run(&variables).map(|text| text.as_str().to_owned())
    }

    #[test]
    fn the_exports_are_those_of_the_server_in_the_directory() {
        let path = tempfile::tempdir().unwrap();
        assert!(matches!(exports(path.path(), false, &[]), Err(EnvError::NoServer(_))));
        assert!(exports(path.path(), true, &[]).unwrap().contains("AWS_ENDPOINT_URL=http://localhost:5050\n"));
        let data = DataDir::open(path.path()).unwrap();
        let mut endpoint = Endpoint {
            url: "http://localhost:41".to_owned(),
            region: "eu-west-1".to_owned(),
            registry: "localhost:41".to_owned(),
            dev: false,
            health: None,
        };
        data.write_endpoint(&endpoint).unwrap();
        assert!(matches!(exports(path.path(), false, &[]), Err(EnvError::Credentials(_))));
        let secret = Zeroizing::new("se'cret".to_owned());
        data.write_credentials(&NewAdministrator { access_key_id: "AKIA2".to_owned(), secret }).unwrap();
        let expected = "export AWS_ENDPOINT_URL=http://localhost:41\nexport AWS_ACCESS_KEY_ID=AKIA2\nexport AWS_SECRET_ACCESS_KEY='se'\\''cret'\nexport AWS_DEFAULT_REGION=eu-west-1\nexport AWS_REGION=eu-west-1\nexport REGISTRY=localhost:41\nunset AWS_SESSION_TOKEN\n";
        // The shell's own keys don't count.
        assert_eq!(
            exports(path.path(), false, &[("AWS_ACCESS_KEY_ID", "AKIA9"), ("AWS_SECRET_ACCESS_KEY", "x")]).unwrap(),
            expected
        );
        let admin = [("ECRU_ADMIN_ACCESS_KEY_ID", "AKIA3"), ("ECRU_ADMIN_SECRET_ACCESS_KEY", "s")];
        assert!(exports(path.path(), false, &admin).unwrap().contains("AWS_ACCESS_KEY_ID=AKIA3\n"));
        endpoint.dev = true;
        data.write_endpoint(&endpoint).unwrap();
        assert!(exports(path.path(), false, &admin).unwrap().contains("AWS_ACCESS_KEY_ID=test\n"));
    }
}
