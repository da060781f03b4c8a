//! The peer: Debian's docker-registry. It runs with its packaged settings, but without a login, and in a directory and at an address
//! of its own.

use crate::Result;
use crate::http::Target;
use crate::process::{Process, answers, free_address};
use crate::server::{Server, ServerKind};
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "docker-registry";

/// Returns the name and version, such as `docker-registry 2.8.2+ds1`.
pub fn version() -> Result<String> {
    let output = Command::new(PROGRAM).arg("--version").output().map_err(|_| {
        format!("{PROGRAM} is not installed: `apt-get install docker-registry` on Debian, or run with --peer none")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "docker-registry github.com/docker/distribution 2.8.2+ds1"
    Ok(format!("{PROGRAM} {}", text.split_whitespace().last().unwrap_or("of an unknown version")))
}

/// Starts docker-registry on a directory, and returns when it answers.
pub fn start(directory: &Path) -> Result<Server> {
    let address = free_address()?;
    std::fs::create_dir_all(directory)?;
    let settings = directory.with_extension("yml");
    std::fs::write(&settings, config(directory, &address.to_string()))?;
    let log = directory.with_extension("log");
    let mut process = Process::start(Command::new(PROGRAM).arg("serve").arg(settings), &log)?;
    let target = Target { address, authorization: String::new(), tls: None };
    let ready = target.request("GET", "/v2/", "", b"");
    process.wait_until(&log, || answers(&target, &ready))?;
    Ok(Server { kind: ServerKind::DockerRegistry, target, process, directory: directory.to_owned() })
}

/// Returns the package's /etc/docker/registry/config.yml without `auth`, for this directory and address.
fn config(directory: &Path, address: &str) -> String {
    let directory = directory.display();
    format!(
        "version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {directory}
  delete:
    enabled: true
http:
  addr: {address}
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
"
    )
}
