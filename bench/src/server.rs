//! A running server, whichever it is.
use crate::Result;
use crate::ecru;
use crate::http::Target;
use crate::process::Process;
use crate::sample::Sample;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a server is, as far as a work must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ecru,
    DockerRegistry,
    Bare,
}

pub struct Server {
    pub kind: Kind,
    pub target: Target,
    pub process: Process,
    /// Where its bytes lie.
    pub directory: PathBuf,
}

/// What a work did in its turn: how much, and how long each thing took where it says so.
pub struct Done {
    pub amount: f64,
    pub latencies: Vec<Duration>,
    /// Requests that were sent again because the server was too busy.
    pub refused: usize,
}

impl Done {
    pub fn bytes(bytes: u64) -> Done {
        Done { amount: bytes as f64, latencies: Vec::new(), refused: 0 }
    }

    /// What connections found: how long each thing took, and how often they were refused.
    pub fn things(found: Vec<(Vec<Duration>, usize)>) -> Done {
        let refused = found.iter().map(|(_, refused)| refused).sum();
        let latencies: Vec<Duration> = found.into_iter().flat_map(|(latencies, _)| latencies).collect();
        Done { amount: latencies.len() as f64, latencies, refused }
    }
}

impl Server {
    /// Makes a repository, where the server wants that.
    pub fn repository(&self, name: &str) -> Result<()> {
        match self.kind {
            Kind::Ecru => ecru::repository(&self.target, name),
            Kind::DockerRegistry | Kind::Bare => Ok(()),
        }
    }

    /// Runs a work, with this server's processor time and memory over it.
    pub fn measure(&self, work: impl FnOnce(&Target) -> Result<Done>) -> Result<Sample> {
        self.process.reset_peak()?;
        let (before, began) = (self.process.cpu()?, Instant::now());
        let done = work(&self.target)?;
        let seconds = began.elapsed().as_secs_f64();
        let cpu = self.process.cpu()? - before;
        let (peak, Done { amount, latencies, refused }) = (self.process.peak()?, done);
        Ok(Sample { amount, seconds, cpu, latencies, peak, refused })
    }

    /// Takes every file of it out of the page cache, as after a restart of the machine.
    pub fn forget_pages(&self) -> Result<()> {
        each_file(&self.directory, &mut |path| {
            let file = std::fs::File::open(path)?;
            // Only what is on the disk can be dropped.
            rustix::fs::fdatasync(&file)?;
            Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
        })
    }

    /// Has every file of it in the page cache.
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
