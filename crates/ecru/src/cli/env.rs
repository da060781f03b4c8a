//! `ecru env`: what a shell needs to reach a server on this machine.

use super::credentials::{Credentials, CredentialsError, Sources};
use super::shell;
use crate::config::{self, Variables};
use crate::data_dir::{DataDirError, Endpoint};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// What a shell evaluates when there is nothing to export, so that `eval "$(ecru env)"` fails as `ecru env` did.
pub const FAILED: &str = "false\n";

/// Variables of another session that would lead the AWS tools elsewhere, or be refused with the keys that are exported.
const LEFTOVERS: [&str; 12] = [
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL_ECR",
    "AWS_ENDPOINT_URL_ECR_PUBLIC",
    "AWS_ENDPOINT_URL_ECRU",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_IAM",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
];

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
    Credentials(#[from] CredentialsError),
}

impl Env {
    /// The lines to evaluate, the secret among them.
    pub fn run(self, variables: Variables<'_>) -> Result<Zeroizing<String>, EnvError> {
        let endpoint = match Endpoint::read(&self.data)? {
            Some(endpoint) => endpoint,
            None if self.dev => Endpoint::of_defaults(),
            None => return Err(EnvError::NoServer(self.data)),
        };
        // The shell's own AWS keys are what these exports replace, so they are not looked at.
        let Credentials { access_key_id, secret, .. } = match self.dev {
            true => Credentials::dev(),
            false => Sources { environment: variables, data: &self.data, endpoint: Some(&endpoint) }.of_server()?,
        };
        let exports = [
            ("AWS_ENDPOINT_URL", endpoint.url.as_str()),
            ("AWS_ACCESS_KEY_ID", &access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &secret),
            ("AWS_DEFAULT_REGION", &endpoint.region),
            ("AWS_REGION", &endpoint.region),
            ("REGISTRY", &endpoint.registry),
        ];
        let authority = endpoint.ca.as_deref().map(|path| ("AWS_CA_BUNDLE", path));
        let mut text = Zeroizing::new(String::new());
        for (name, value) in exports.into_iter().chain(authority) {
            let value = Zeroizing::new(shell::word(value));
            text.push_str(&format!("export {name}={}\n", value.as_str()));
        }
        text.push_str(&format!("unset {}\n", LEFTOVERS.join(" ")));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_dir::DataDir;
    use identity::bootstrap::NewAdministrator;

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
            admin: false,
            ca: None,
        };
        data.write_endpoint(&endpoint).unwrap();
        assert!(matches!(exports(path.path(), false, &[]), Err(EnvError::Credentials(_))));
        let secret = Zeroizing::new("se'cret".to_owned());
        data.write_credentials(&NewAdministrator { access_key_id: "AKIA2".to_owned(), secret }).unwrap();
        let expected = "export AWS_ENDPOINT_URL=http://localhost:41\nexport AWS_ACCESS_KEY_ID=AKIA2\nexport AWS_SECRET_ACCESS_KEY='se'\\''cret'\nexport AWS_DEFAULT_REGION=eu-west-1\nexport AWS_REGION=eu-west-1\nexport REGISTRY=localhost:41\nunset AWS_SESSION_TOKEN ";
        // The shell's own keys don't count.
        let shells = [("AWS_ACCESS_KEY_ID", "AKIA9"), ("AWS_SECRET_ACCESS_KEY", "x")];
        let said = exports(path.path(), false, &shells).unwrap();
        assert!(said.starts_with(expected) && said.ends_with(" AWS_USE_FIPS_ENDPOINT\n"), "{said}");
        let admin = [("ECRU_ADMIN_ACCESS_KEY_ID", "AKIA3"), ("ECRU_ADMIN_SECRET_ACCESS_KEY", "s")];
        assert!(exports(path.path(), false, &admin).unwrap().contains("AWS_ACCESS_KEY_ID=AKIA3\n"));
        assert!(exports(path.path(), true, &admin).unwrap().contains("AWS_ACCESS_KEY_ID=test\n"));
        endpoint.dev = true;
        endpoint.ca = Some("/etc/my tls/ca.pem".to_owned());
        data.write_endpoint(&endpoint).unwrap();
        let said = exports(path.path(), false, &[]).unwrap();
        assert!(said.contains("AWS_ACCESS_KEY_ID=test\n"), "{said}");
        assert!(said.contains("export AWS_CA_BUNDLE='/etc/my tls/ca.pem'\n"), "{said}");
    }
}
