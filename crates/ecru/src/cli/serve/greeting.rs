//! The greeting: what to do next, printed once the server listens.

use super::stores::Administrator;
use crate::cli::shell;
use crate::config::{ADMIN_ID, ADMIN_SECRET};
use crate::data_dir::{DataDir, Endpoint};
use identity::credential::DEV_KEY;
use std::fmt::Write as _;
use std::path::PathBuf;

pub struct Greeting<'a> {
    pub endpoint: &'a Endpoint,
    /// Such as `http://127.0.0.1:5050`.
    pub listeners: Vec<String>,
    /// The separate metrics listener, if any.
    pub metrics: Option<String>,
    pub data: &'a DataDir,
    pub administrator: &'a Administrator,
    /// How another shell can call this program, wherever it is.
    pub program: PathBuf,
    /// Whether stdout is a terminal. Secrets are printed only there.
    pub terminal: bool,
}

impl Greeting<'_> {
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Endpoint { url, region, registry, .. } = self.endpoint;
        if let Administrator::Dev = self.administrator {
            writeln!(text, "*** --dev: everybody knows this server's keys, so it listens on this machine alone. ***")?;
            writeln!(
                text,
                "*** Do not use it for anything that you would miss or hide.                         ***\n"
            )?;
        }
        writeln!(text, "Ecru {} serves {url} (region {region}).", env!("CARGO_PKG_VERSION"))?;
        writeln!(text, "  Listening at  {}", self.listeners.join(", "))?;
        if let Some(metrics) = &self.metrics {
            writeln!(text, "  Metrics at    {metrics}/metrics")?;
        }
        writeln!(text, "  Data in       {}", self.data.path().display())?;
        self.write_credentials(text)?;
        match self.administrator {
            Administrator::Environment | Administrator::Elsewhere => {
                writeln!(text, "\nIn another terminal where {ADMIN_ID} and {ADMIN_SECRET} are set too,")?;
                writeln!(text, "make it known to the AWS CLI (2.13 or newer, or 1.29):")?;
            }
            _ => {
                writeln!(text, "\nIn another terminal, make it known to the AWS CLI (2.13 or newer, or 1.29):")?;
            }
        }
        writeln!(text, "  eval \"$({})\"", self.env_command())?;
        writeln!(text, "Then make a repository, log docker in, and push:")?;
        writeln!(text, "  aws ecr create-repository --repository-name app")?;
        writeln!(text, "  aws ecr get-login-password | docker login --username AWS --password-stdin {registry}")?;
        writeln!(text, "  docker tag YOUR-IMAGE {registry}/app:v1 && docker push {registry}/app:v1\n")
    }

    fn write_credentials(&self, text: &mut String) -> std::fmt::Result {
        let file = self.data.credentials();
        match self.administrator {
            Administrator::New(made) => {
                writeln!(text, "  Credentials   {} (made just now; keep them)", file.display())?;
                if self.terminal {
                    writeln!(text, "                aws_access_key_id = {}", made.access_key_id)?;
                    writeln!(text, "                aws_secret_access_key = {}", made.secret.as_str())?;
                }
                Ok(())
            }
            Administrator::Kept => writeln!(text, "  Credentials   {}", file.display()),
            Administrator::Elsewhere => {
                writeln!(text, "  Credentials   not here: another start made them, and {} is gone.", file.display())?;
                writeln!(text, "                {ADMIN_ID} and {ADMIN_SECRET} let you in without it.")
            }
            Administrator::Environment => {
                writeln!(text, "  Credentials   those of {ADMIN_ID} and {ADMIN_SECRET}")
            }
            Administrator::Dev => writeln!(
                text,
                "  Credentials   {DEV_KEY} and {DEV_KEY}; any 12-digit account id and {DEV_KEY} for other accounts"
            ),
        }
    }

    /// Returns the `ecru env` command for this data directory. It works from any directory.
    fn env_command(&self) -> String {
        let program = shell::word(&self.program.display().to_string());
        format!("{program} env --data {}", shell::word(&self.data.path().display().to_string()))
    }
}
