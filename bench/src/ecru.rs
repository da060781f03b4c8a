//! Builds Ecru, starts it as a process, and calls it as its administrator.

use crate::Result;
use crate::http::{Connection, Target};
use crate::postgres::Postgres;
use crate::process::{Process, answers, free_address};
use crate::server::{Server, ServerKind};
use crate::tls::Tls;
use aws::sigv4::{Head, SigningKey, sign};
use oci::{Algorithm, Digest};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The keys of `ecru serve --dev`.
const KEY: SigningKey<'_> = SigningKey { access_key_id: "test", secret: "test", session_token: None };
const REGION: &str = "us-east-1";

/// An Ecru binary and the database that its servers use.
#[derive(Clone)]
pub struct Ecru {
    pub binary: PathBuf,
    /// PostgreSQL instead of SQLite. Each start gets its own database.
    pub postgres: Option<Postgres>,
}

/// The build profile of releases, which is therefore the one to measure.
const PROFILE: &str = "dist";

/// Builds the server in the profile of releases, and returns the path of the binary.
pub fn build(target: &Path) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo).args(["build", "--profile", PROFILE, "--locked", "-p", "server"]).status()?;
    if !status.success() {
        return Err("the server can't be built".into());
    }
    Ok(target.join(PROFILE).join("ecru"))
}

/// The profile that a binary was built with: what its directory in cargo's target directory is called. `None` for a binary
/// that lies elsewhere, since the program itself does not know.
pub fn profile(binary: &Path) -> Option<String> {
    let binary = binary.canonicalize().ok()?;
    let profile = binary.parent()?;
    let of_cargo = profile.join(".fingerprint").is_dir();
    of_cargo.then(|| profile.file_name().map(|name| name.to_string_lossy().into_owned())).flatten()
}

/// A line of what is known of a binary's build, for whoever reads its figures.
pub fn about(binary: &Path) -> String {
    match profile(binary) {
        Some(name) if name == PROFILE => format!("profile {name}, as it is shipped"),
        Some(name) => format!("profile {name}, which is not what is shipped"),
        None => "profile unknown: the binary lies outside of cargo's target directory".to_owned(),
    }
}

impl Ecru {
    /// Starts a server on a directory, which need not exist, and logs in.
    pub fn start(&self, directory: &Path) -> Result<Server> {
        let mut server = self.spawn(directory)?;
        server.target.authorization = format!("Basic {}", token(&server.target)?);
        Ok(server)
    }

    /// Starts a server, and returns when it is ready.
    pub fn spawn(&self, directory: &Path) -> Result<Server> {
        self.spawn_with(directory, None, &[])
    }

    /// Starts a server with TLS and with further flags, and logs in.
    pub fn start_tls(&self, directory: &Path, tls: &Tls, flags: &[&str]) -> Result<Server> {
        let mut server = self.spawn_with(directory, Some(tls), flags)?;
        server.target.authorization = format!("Basic {}", token(&server.target)?);
        Ok(server)
    }

    fn spawn_with(&self, directory: &Path, tls: Option<&Tls>, flags: &[&str]) -> Result<Server> {
        let address = free_address()?;
        let mut command = Command::new(&self.binary);
        // Settings from the environment of the benchmark must not affect the server.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ECRU_")) {
            command.env_remove(name);
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        command
            .args(["serve", "--dev", "--listen", &format!("{scheme}://{address}"), "--data"])
            .arg(directory)
            .args(flags);
        if let Some(tls) = tls {
            command.arg("--tls-cert").arg(&tls.certificate).arg("--tls-key").arg(&tls.key);
        }
        if let Some(postgres) = &self.postgres {
            command.env("ECRU_POSTGRES", postgres.database()?).env("ECRU_ROOT_KEY", "00".repeat(32));
        }
        let log = directory.with_extension("log");
        let mut process = Process::start(&mut command, &log)?;
        let target = Target { address, authorization: String::new(), tls: tls.map(|tls| tls.client.clone()) };
        let ready = target.request("GET", "/readyz", "", b"");
        process.wait_until(&log, || answers(&target, &ready))?;
        Ok(Server { kind: ServerKind::Ecru, target, process, directory: directory.to_owned() })
    }
}

/// Creates a repository.
pub fn repository(target: &Target, name: &str) -> Result<()> {
    call(target, "CreateRepository", &json!({"repositoryName": name})).map(|_| ())
}

/// Returns the token for docker, in the form that follows `Basic`.
fn token(target: &Target) -> Result<String> {
    let answer = call(target, "GetAuthorizationToken", &json!({}))?;
    let token = answer["authorizationData"][0]["authorizationToken"].as_str().ok_or("an answer without a token")?;
    Ok(token.to_owned())
}

/// Calls an ECR operation and returns its output.
pub fn call(target: &Target, operation: &str, input: &Value) -> Result<Value> {
    let (_, body) = Connection::open(target)?.call(&signed(target, operation, input)?, &[200])?;
    Ok(serde_json::from_slice(&body)?)
}

/// Returns the request for an operation, signed now.
pub fn signed(target: &Target, operation: &str, input: &Value) -> Result<Vec<u8>> {
    let body = input.to_string().into_bytes();
    let more = signature(target, operation, &body, &KEY)?;
    let unauthorized = Target { authorization: String::new(), ..target.clone() };
    Ok(unauthorized.request("POST", "/", &more, &body))
}

/// Returns the head of a chunked request whose signer knows the access key id but not the secret.
pub fn forged(target: &Target, operation: &str) -> Result<String> {
    let more = signature(target, operation, b"", &SigningKey { secret: "not the secret", ..KEY })?;
    let unauthorized = Target { authorization: String::new(), ..target.clone() };
    Ok(unauthorized.head("POST", "/", &format!("{more}transfer-encoding: chunked\r\n"), None))
}

/// Returns the headers of an operation, with its signature.
#[expect(clippy::disallowed_methods, reason = "a program of its own: no test moves its clock")]
fn signature(target: &Target, operation: &str, body: &[u8], key: &SigningKey<'_>) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let host = target.address.to_string();
    let operation = format!("AmazonEC2ContainerRegistry_V20150921.{operation}");
    let content_type = "application/x-amz-json-1.1";
    let headers: [(&str, &[u8]); 3] =
        [("host", host.as_bytes()), ("content-type", content_type.as_bytes()), ("x-amz-target", operation.as_bytes())];
    let head = Head { method: "POST", path: "/", query: "", headers: &headers };
    let hash = Digest::of(Algorithm::Sha256, body).hash().try_into()?;
    let signature = sign(&head, hash, key, REGION, "ecr", i64::try_from(now.as_micros())?);
    let mut more = format!("content-type: {content_type}\r\nx-amz-target: {operation}\r\n");
    for (name, value) in signature {
        more.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok(more)
}
