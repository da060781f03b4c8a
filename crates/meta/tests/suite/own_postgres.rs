//! A separate PostgreSQL server for a test, which can be stopped, restarted and frozen. The tests of `ecru` use this file too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The server's superuser.
const USER: &str = "test";

/// A PostgreSQL server, stopped on drop.
pub struct OwnPostgres {
    directory: TempDir,
    programs: PathBuf,
    port: u16,
}

impl OwnPostgres {
    /// Starts a server. Returns `None` if `ECRU_TEST_SQLITE_ONLY` is set.
    pub fn start() -> Option<OwnPostgres> {
        if std::env::var("ECRU_TEST_SQLITE_ONLY").is_ok_and(|value| value == "1") {
            return None;
        }
        let server = OwnPostgres { directory: TempDir::new().unwrap(), programs: programs(), port: free_port() };
        if is_root() {
            run(Command::new("chown").arg("postgres:").arg(server.directory.path()));
        }
        let data = server.data();
        run(server.program("initdb").args(["-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync", "-D"]).arg(data));
        server.start_again();
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server after [`OwnPostgres::stop`], and waits until it answers.
    pub fn start_again(&self) {
        let sockets = self.directory.path().display();
        let options =
            format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={sockets} -c fsync=off", self.port);
        self.control(&["start", "-w", "-s", "-o", &options]);
    }

    /// Stops the server as a crash would, and waits for its end.
    pub fn stop(&self) {
        self.control(&["stop", "-w", "-s", "-m", "immediate"]);
    }

    /// Suspends all of its processes. They answer nothing, and every connection stays open.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Resumes its processes.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        for process in self.processes() {
            // A process of the server may have ended meanwhile.
            let killed = Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).output();
            assert!(killed.is_ok(), "{killed:?}");
        }
    }

    /// Returns the postmaster, and then its child processes.
    fn processes(&self) -> Vec<u32> {
        let Ok(file) = std::fs::read_to_string(self.data().join("postmaster.pid")) else { return Vec::new() };
        let postmaster: u32 = file.lines().next().unwrap().parse().unwrap();
        let mut all = vec![postmaster];
        for entry in std::fs::read_dir("/proc").unwrap() {
            let path = entry.unwrap().path();
            let Ok(stat) = std::fs::read_to_string(path.join("stat")) else { continue };
            // "PID (NAME) STATE PARENT …"
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            if parent == Some(postmaster) {
                all.push(path.file_name().unwrap().to_str().unwrap().parse().unwrap());
            }
        }
        all
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn control(&self, arguments: &[&str]) {
        let log = self.directory.path().join("server.log");
        run(self.program("pg_ctl").arg("-D").arg(self.data()).arg("-l").arg(log).args(arguments));
    }

    /// Returns the command for one of the server's programs, which refuse to run as root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--inh-caps=-all"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        self.thaw();
        let stopped =
            self.program("pg_ctl").arg("-D").arg(self.data()).args(["stop", "-s", "-m", "immediate"]).output();
        if !stopped.is_ok_and(|output| output.status.success()) {
            eprintln!("the server in {} did not run at the end", self.directory.path().display());
        }
    }
}

/// Returns the directory of the newest server's programs.
fn programs() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().expect("a PostgreSQL server is installed (apt-get install postgresql)").1
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(Path::new("/proc/self")).unwrap()) == 0
}

fn run(command: &mut Command) {
    // Use no pipe, because the server would keep it open.
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
