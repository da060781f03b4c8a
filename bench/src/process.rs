//! A server process: started, measured from outside, and stopped when it is dropped.

use crate::Result;
use crate::http::{Connection, Target};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest time that a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two checks of a process that starts or stops. It is short against the measured start-up of some 50 ms.
const PAUSE: Duration = Duration::from_micros(500);

/// A running server process, stopped when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a program. Its standard output and standard error go to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Process> {
        let output = File::create(log)?;
        let errors = output.try_clone()?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.map_err(|error| format!("{} can't be run: {error}", command.get_program().display()))?;
        Ok(Process { child })
    }

    /// Waits until `ready` returns true. Fails if the process ends before that.
    pub fn wait_until(&mut self, log: &Path, mut ready: impl FnMut() -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("a server ended with {status}; its output is in {}", log.display()).into());
            }
            if Instant::now() > until {
                return Err(format!("a server did not start; its output is in {}", log.display()).into());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the user and system time of all threads, in seconds, exact to 10 ms.
    pub fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        ticks(&stat).map(|ticks| ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Returns the resident memory in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Returns the peak of resident memory since [`Process::reset_peak`], in bytes.
    pub fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    pub fn reset_peak(&self) -> Result<()> {
        // proc(5): 5 resets the peak resident set size to the current one.
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("/proc has no such line")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Sends SIGTERM and waits until the process has ended.
    fn stop(&mut self) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let until = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                self.child.kill()?;
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("bench: a server could not be stopped: {error}");
        }
    }
}

/// Reads utime plus stime from /proc/PID/stat: the 14th and 15th field. It skips the name first, which may contain anything.
fn ticks(stat: &str) -> Result<u64> {
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest).ok_or("/proc/PID/stat has no name")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut next = || fields.next().ok_or("/proc/PID/stat is too short");
    Ok(next()?.parse::<u64>()? + next()?.parse::<u64>()?)
}

/// Returns a loopback address where nothing listens now.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Returns true if a server answers a request with 200.
pub fn answers(target: &Target, request: &[u8]) -> bool {
    Connection::open(target).and_then(|mut connection| connection.ask(request, &[200])).is_ok()
}

/// Returns true if something accepts connections at the address.
pub fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Raises this process's limit of open files to the maximum, because each connection needs one.
pub fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_a_name_with_spaces() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 70 30 5 6 20 0 3 0 999";
        assert_eq!(ticks(stat).unwrap(), 100);
        ticks("42 (short) S 1").unwrap_err();
    }

    #[test]
    fn a_process_is_measured_while_it_runs_and_stopped_when_it_is_dropped() {
        let process = Process { child: Command::new("sleep").arg("60").spawn().unwrap() };
        process.reset_peak().unwrap();
        // Read the peak last, because the process may still grow. The kernel counts pages in batches, so the numbers may differ a little.
        let resident = process.resident().unwrap();
        assert!(process.peak().unwrap() >= resident / 2);
        assert!(process.cpu().unwrap() >= 0.0);
    }
}
