//! Attributes a server's processor time to its parts. `perf` samples the server's stacks, and each sample counts for one part.

use crate::Result;
use crate::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The parts of the server, each with text that occurs in the names of its functions.
///
/// A stack counts for the first part that any of its functions belongs to. So a system call of SQLite counts for the metadata, and
/// formatting an access line counts for the log.
pub const PARTS: &[(&str, &[&str])] = &[
    ("log", &["tracing", "access_log"]),
    ("metadata", &["sqlite3", "rusqlite", "meta::", "tokio_postgres"]),
    ("authorization", &["policy::", "kernel::access", "registry::policies"]),
    (
        "authentication",
        &["call::sigv4", "docker::basic", "identity::login", "identity::token", "kernel::keys", "aws::sigv4", "aws_lc"],
    ),
    ("layers", &["blob::"]),
    ("network, HTTP", &["tcp_", "sock_", "epoll", "hyper::", "http::", "mio::", "listen::connection", "listen::wire"]),
    ("runtime", &["tokio::", "futex", "schedule"]),
];

/// Samples per second.
const FREQUENCY: &str = "2000";
/// How `perf` unwinds stacks, and the bytes of stack in each sample.
const STACK: &str = "dwarf,8192";
/// The longest time that `perf` may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two checks that `perf` has started, and longer than it then takes to its first sample.
const PAUSE: Duration = Duration::from_millis(200);

/// Returns true if `perf` is installed and may sample processes.
pub fn is_there() -> bool {
    let mut command = Command::new("perf");
    command.args(["record", "-e", "cpu-clock", "-o", "/dev/null", "true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Runs a workload, and returns the share of the server's processor time for each of [`PARTS`], then for the rest.
pub fn shares(server: &Process, directory: &Path, work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    // Start perf, and wait until it samples.
    let data = directory.join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "--call-graph", STACK, "-o"]).arg(&data);
    let mut record = record.args(["-p", &server.id().to_string()]).stderr(Stdio::null()).spawn()?;
    let until = Instant::now() + PATIENCE;
    while !watches(record.id())? && Instant::now() < until {
        std::thread::sleep(PAUSE);
    }
    std::thread::sleep(PAUSE);

    // Stop perf also if the workload failed.
    let worked = work();
    kill_process(Pid::from_child(&record), Signal::INT)?;
    record.wait()?;
    worked?;

    let script = Command::new("perf").args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"]).arg(&data).output()?;
    std::fs::remove_file(&data)?;
    count(&String::from_utf8_lossy(&script.stdout)).ok_or_else(|| "perf has no samples of the server".into())
}

/// Returns true if a `perf` process has opened its counters.
fn watches(perf: u32) -> Result<bool> {
    for file in std::fs::read_dir(format!("/proc/{perf}/fd"))? {
        // A file that was closed in the meantime can't be read, and is not a counter.
        let opened = std::fs::read_link(file?.path());
        if opened.is_ok_and(|opened| opened.as_os_str() == "anon_inode:[perf_event]") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Counts the stacks of each part. Empty lines separate the stacks. Returns `None` if there are none.
fn count(stacks: &str) -> Option<Vec<f64>> {
    let mut counts = vec![0_u32; PARTS.len() + 1];
    for stack in stacks.split("\n\n").filter(|stack| stack.trim().contains('\n')) {
        let part = PARTS.iter().position(|(_, names)| names.iter().any(|name| stack.contains(name)));
        counts[part.unwrap_or(PARTS.len())] += 1;
    }
    let total: u32 = counts.iter().sum();
    (total > 0).then(|| counts.into_iter().map(|count| f64::from(count) / f64::from(total)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_counts_for_the_first_part_that_one_of_its_functions_belongs_to() {
        let stacks = "ecru \n  1 tcp_sendmsg\n  2 main\n\necru \n  1 fsync\n  2 sqlite3_step\n  3 tokio::run\n\n\
            ecru \n  1 memcpy\n  2 main\n\necru \n  1 memcpy\n  2 tcp_recvmsg\n\n";
        let shares = count(stacks).unwrap();
        let of = |name| shares[PARTS.iter().position(|(part, _)| *part == name).unwrap()];
        assert_eq!((of("network, HTTP"), of("metadata"), of("runtime")), (0.5, 0.25, 0.0));
        assert_eq!(shares[PARTS.len()], 0.25);
        assert_eq!(count("\n"), None);
    }
}
