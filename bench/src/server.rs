//! A running server of any kind.

use crate::Result;
use crate::ecru;
use crate::http::Target;
use crate::process::Process;
use crate::sample::Sample;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kind of a server, as far as a workload depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    Ecru,
    DockerRegistry,
    Bare,
}

/// A running server, which stops when it is dropped.
pub struct Server {
    pub kind: ServerKind,
    pub target: Target,
    pub process: Process,
    /// The directory with the server's data.
    pub directory: PathBuf,
}

/// The work that a workload did in one run.
pub struct WorkloadResult {
    /// Bytes moved, or operations done.
    pub amount: f64,
    /// The latency of each operation, if the workload measures it.
    pub latencies: Vec<Duration>,
    /// Requests that were sent again because the server was busy.
    pub refused: usize,
}

impl WorkloadResult {
    pub fn bytes(bytes: u64) -> WorkloadResult {
        WorkloadResult { amount: bytes as f64, latencies: Vec::new(), refused: 0 }
    }

    /// Combines the results of several connections: the latencies, and the number of refused requests.
    pub fn things(found: Vec<(Vec<Duration>, usize)>) -> WorkloadResult {
        let refused = found.iter().map(|(_, refused)| refused).sum();
        let latencies: Vec<Duration> = found.into_iter().flat_map(|(latencies, _)| latencies).collect();
        WorkloadResult { amount: latencies.len() as f64, latencies, refused }
    }
}

impl Server {
    /// Creates a repository, if the server requires that.
    pub fn repository(&self, name: &str) -> Result<()> {
        match self.kind {
            ServerKind::Ecru => ecru::repository(&self.target, name),
            ServerKind::DockerRegistry | ServerKind::Bare => Ok(()),
        }
    }

    /// Runs a workload, and measures this server's processor time and memory meanwhile.
    pub fn measure(&self, work: impl FnOnce(&Target) -> Result<WorkloadResult>) -> Result<Sample> {
        self.process.reset_peak()?;
        let (before, began) = (self.process.cpu()?, Instant::now());
        let done = work(&self.target)?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu = self.process.cpu()? - before;
        let (peak, WorkloadResult { amount, latencies, refused }) = (self.process.peak()?, done);
        Ok(Sample { amount, seconds, cpu, latencies, peak, refused })
    }

    /// Drops the server's files from the page cache, as a restart of the machine does.
    pub fn forget_pages(&self) -> Result<()> {
        each_file(&self.directory, &mut |path| {
            let file = std::fs::File::open(path)?;
            // The kernel drops only pages that are on the disk.
            rustix::fs::fdatasync(&file)?;
            Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
        })
    }

    /// Reads the server's files into the page cache.
    pub fn recall_pages(&self) -> Result<()> {
        each_file(&self.directory, &mut |path| {
            std::io::copy(&mut std::fs::File::open(path)?, &mut std::io::sink())?;
            Ok(())
        })
    }
}

fn each_file(directory: &Path, what: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            each_file(&entry.path(), what)?;
        } else if entry.file_type()?.is_file() {
            what(&entry.path())?;
        }
    }
    Ok(())
}
