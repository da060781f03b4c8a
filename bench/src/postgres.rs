//! PostgreSQL instead of SQLite: `scripts/with-postgres` starts a server, and each start of Ecru gets a new database.

use crate::Result;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The variable in which `scripts/with-postgres` passes the URL of the server's Unix socket, the fastest way on the same machine.
const VARIABLE: &str = "ECRU_TEST_POSTGRES_SOCKET";

/// A running PostgreSQL server, by the URL of its superuser.
#[derive(Clone)]
pub struct Postgres(String);

impl Postgres {
    /// Returns the server that `scripts/with-postgres` has started for this program, if there is one.
    pub fn around() -> Option<Postgres> {
        std::env::var(VARIABLE).ok().map(Postgres)
    }

    /// Returns the version and the setting of fsync, because a server without fsync does not make commits durable.
    pub fn about(&self) -> Result<String> {
        let asked = "SELECT split_part(version(), ' ', 2) || ', fsync ' || current_setting('fsync')";
        Ok(self.sql(asked)?.trim().to_owned())
    }

    /// Creates a database and returns its URL.
    pub fn database(&self) -> Result<String> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("bench_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"))?;
        let (base, _) = self.0.rsplit_once('/').ok_or("the URL of PostgreSQL names no database")?;
        Ok(format!("{base}/{name}"))
    }

    fn sql(&self, statement: &str) -> Result<String> {
        let output = Command::new("psql").args([&self.0, "-Atqc", statement]).output();
        let output = output.map_err(|error| format!("psql can't be run: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Runs this program again under `scripts/with-postgres`, with fsync on.
pub fn run_again() -> Result<ExitCode> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("scripts").join("with-postgres");
    let mut command = Command::new(script);
    command.arg(std::env::current_exe()?).args(std::env::args_os().skip(1)).env("WITH_POSTGRES_FSYNC", "on");
    let status = command.status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
