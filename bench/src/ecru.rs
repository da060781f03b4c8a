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
    let status = Command::new(cargo).args(["build", "--profile", PROFILE, "--locked", "-p", "ecru"]).status()?;
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

/// Returns the administrator's token for docker, in the form that follows `Basic`.
fn token(target: &Target) -> Result<String> {
    token_in(&call(target, "GetAuthorizationToken", &json!({}))?)
}

/// Returns the token for docker of the owner of an access key, in the form that follows `Basic`.
pub fn token_of(target: &Target, access_key_id: &str, secret: &str) -> Result<String> {
    let (body, key) = (b"{}", SigningKey { access_key_id, secret, session_token: None });
    let more = signature(target, &ApiCall::ecr("GetAuthorizationToken"), body, &key)?;
    token_in(&send(target, &more, body)?)
}

fn token_in(answer: &Value) -> Result<String> {
    let token = answer["authorizationData"][0]["authorizationToken"].as_str().ok_or("an answer without a token")?;
    Ok(token.to_owned())
}

/// Calls an action of IAM as the administrator and returns its result.
pub fn call_iam(target: &Target, action: &str, parameters: &[(&str, &str)]) -> Result<Value> {
    let mut body = format!("Action={action}&Version=2010-05-08");
    for (name, value) in parameters {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        body.push_str(&format!("&{name}={encoded}"));
    }
    let more = signature(target, &ApiCall::IAM, body.as_bytes(), &KEY)?;
    let answer = send(target, &format!("{more}accept: application/json\r\n"), body.as_bytes())?;
    Ok(answer[format!("{action}Response")][format!("{action}Result")].clone())
}

/// Sends a signed call of the AWS API and returns its output.
fn send(target: &Target, more: &str, body: &[u8]) -> Result<Value> {
    let unauthorized = Target { authorization: String::new(), ..target.clone() };
    let request = unauthorized.request("POST", "/", more, body);
    let (_, body) = Connection::open(target)?.call(&request, &[200])?;
    Ok(serde_json::from_slice(&body)?)
}

/// Calls an ECR operation and returns its output.
pub fn call(target: &Target, operation: &str, input: &Value) -> Result<Value> {
    let (_, body) = Connection::open(target)?.call(&signed(target, operation, input)?, &[200])?;
    Ok(serde_json::from_slice(&body)?)
}

/// Returns the request for an operation, signed now.
pub fn signed(target: &Target, operation: &str, input: &Value) -> Result<Vec<u8>> {
    let body = input.to_string().into_bytes();
    let more = signature(target, &ApiCall::ecr(operation), &body, &KEY)?;
    let unauthorized = Target { authorization: String::new(), ..target.clone() };
    Ok(unauthorized.request("POST", "/", &more, &body))
}

/// Returns the head of a chunked request whose signer knows the access key id but not the secret.
pub fn forged(target: &Target, operation: &str) -> Result<String> {
    let more = signature(target, &ApiCall::ecr(operation), b"", &SigningKey { secret: "not the secret", ..KEY })?;
    let unauthorized = Target { authorization: String::new(), ..target.clone() };
    Ok(unauthorized.head("POST", "/", &format!("{more}transfer-encoding: chunked\r\n"), None))
}

/// How a request names its service and its operation.
struct ApiCall {
    /// The service in the signature's scope.
    service: &'static str,
    content_type: &'static str,
    /// The header X-Amz-Target, which the query protocol does not have.
    target: Option<String>,
}

impl ApiCall {
    const IAM: ApiCall =
        ApiCall { service: "iam", content_type: "application/x-www-form-urlencoded; charset=utf-8", target: None };

    fn ecr(operation: &str) -> ApiCall {
        ApiCall {
            service: "ecr",
            content_type: "application/x-amz-json-1.1",
            target: Some(format!("AmazonEC2ContainerRegistry_V20150921.{operation}")),
        }
    }
}

/// Returns the headers of a call, with its signature.
#[expect(clippy::disallowed_methods, reason = "a program of its own: no test moves its clock")]
fn signature(target: &Target, call: &ApiCall, body: &[u8], key: &SigningKey<'_>) -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let host = target.address.to_string();
    let mut headers: Vec<(&str, &[u8])> =
        vec![("host", host.as_bytes()), ("content-type", call.content_type.as_bytes())];
    let mut more = format!("content-type: {}\r\n", call.content_type);
    if let Some(operation) = &call.target {
        headers.push(("x-amz-target", operation.as_bytes()));
        more.push_str(&format!("x-amz-target: {operation}\r\n"));
    }
    let head = Head { method: "POST", path: "/", query: "", headers: &headers };
    let hash = Digest::of(Algorithm::Sha256, body).hash().try_into()?;
    for (name, value) in sign(&head, hash, key, REGION, call.service, i64::try_from(now.as_micros())?) {
        more.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok(more)
}
