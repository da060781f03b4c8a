//! Where a server's processor time goes, as `perf` sees it: samples of its stacks, each counted for the first part that it names.
use crate::Result;
use crate::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The parts, and what a function's name has that belongs to one. A stack belongs to the first part that any of its functions does:
/// what SQLite asks of the kernel is of the metadata, and what the access line formats is of the log.
pub const PARTS: &[(&str, &[&str])] = &[
    ("log", &["tracing", "access_log"]),
    ("metadata", &["sqlite3", "rusqlite", "meta::", "tokio_postgres"]),
    ("authorization", &["policy::", "registry::access"]),
    (
        "authentication",
        &["server::authenticate", "registry::login", "registry::token", "registry::keys", "aws::sigv4", "aws_lc"],
    ),
    ("layers", &["blob::"]),
    ("network, HTTP", &["tcp_", "sock_", "epoll", "hyper::", "http::", "mio::", "server::connection", "server::wire"]),
    ("runtime", &["tokio::", "futex", "schedule"]),
];

/// Samples a second; each carries so many bytes of stack.
const FREQUENCY: &str = "2000";
const STACK: &str = "dwarf,8192";
/// The longest that `perf` may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks whether it has begun, and more than it takes from there to its first sample.
const PAUSE: Duration = Duration::from_millis(200);

/// Whether there is a `perf` that may look at processes.
pub fn is_there() -> bool {
    let mut command = Command::new("perf");
    command.args(["record", "-e", "cpu-clock", "-o", "/dev/null", "true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The share of each of [`PARTS`], then of the rest, of what a server does during a work.
pub fn shares(server: &Process, directory: &Path, work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let data = directory.join("perf.data");
    let mut record = Command::new("perf");
    record.args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "--call-graph", STACK, "-o"]).arg(&data);
    let mut record = record.args(["-p", &server.id().to_string()]).stderr(Stdio::null()).spawn()?;
    let until = Instant::now() + PATIENCE;
    while !watches(record.id())? && Instant::now() < until {
        std::thread::sleep(PAUSE);
    }
    std::thread::sleep(PAUSE);
    let worked = work();
    kill_process(Pid::from_child(&record), Signal::INT)?;
    record.wait()?;
    worked?;
    let script = Command::new("perf").args(["script", "--no-inline", "-F", "comm,ip,sym", "-i"]).arg(&data).output()?;
    std::fs::remove_file(&data)?;
    count(&String::from_utf8_lossy(&script.stdout)).ok_or_else(|| "perf saw nothing of the server".into())
}

/// Whether a `perf` has opened the counters that it was started for.
fn watches(perf: u32) -> Result<bool> {
    for file in std::fs::read_dir(format!("/proc/{perf}/fd"))? {
        // A file that was closed meanwhile is none of those.
        let opened = std::fs::read_link(file?.path());
        if opened.is_ok_and(|opened| opened.as_os_str() == "anon_inode:[perf_event]") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Counts stacks, which empty lines separate; `None` where there is none.
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
    fn a_stack_counts_for_the_first_part_that_it_names() {
        let stacks = "ecru \n  1 tcp_sendmsg\n  2 main\n\necru \n  1 fsync\n  2 sqlite3_step\n  3 tokio::run\n\n\
            ecru \n  1 memcpy\n  2 main\n\necru \n  1 memcpy\n  2 tcp_recvmsg\n\n";
        let shares = count(stacks).unwrap();
        let of = |name| shares[PARTS.iter().position(|(part, _)| *part == name).unwrap()];
        assert_eq!((of("network, HTTP"), of("metadata"), of("runtime")), (0.5, 0.25, 0.0));
        assert_eq!(shares[PARTS.len()], 0.25);
        assert_eq!(count("\n"), None);
    }
}
