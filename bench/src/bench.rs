//! The harness of every workload: it starts the servers and alternates between them.

use crate::Result;
use crate::bare::{self, BareLoop};
use crate::docker_registry;
use crate::ecru::Ecru;
use crate::sample::{Sample, Samples};
use crate::server::Server;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The settings of a run.
pub struct Bench {
    pub rounds: usize,
    /// Runs smaller workloads, for a first look.
    pub quick: bool,
    /// The directory for everything that is written. It is on the file system of the source tree.
    pub directory: PathBuf,
    pub ecru: Ecru,
    pub peer: Peer,
}

/// The server that Ecru is compared with.
pub enum Peer {
    /// docker-registry, with its version.
    DockerRegistry(String),
    /// Another build of Ecru.
    Ecru(Ecru),
    None,
}

/// One of the compared servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ecru,
    Peer,
    Bare(BareLoop),
}

/// All samples of a workload, by server.
#[derive(Default)]
pub struct WorkloadSamples {
    pub ecru: Samples,
    /// Empty if there is no peer.
    pub peer: Samples,
    /// Empty if no bare loop does the same work.
    pub bare: Samples,
    /// The samples of the bare loop with direct writes, for pushes only.
    pub bare_direct: Samples,
}

impl Bench {
    /// Returns Ecru, and the peer if there is one.
    pub fn sides(&self) -> Vec<Side> {
        match self.peer {
            Peer::None => vec![Side::Ecru],
            _ => vec![Side::Ecru, Side::Peer],
        }
    }

    /// Returns the name of the peer for tables.
    pub fn peer_name(&self) -> String {
        match &self.peer {
            Peer::DockerRegistry(version) => version.clone(),
            Peer::Ecru(ecru) => ecru.binary.file_name().unwrap_or_default().display().to_string(),
            Peer::None => "no peer".to_owned(),
        }
    }

    /// Starts a side's server on a new directory.
    pub fn start(&self, side: Side) -> Result<Server> {
        let name = match side {
            Side::Ecru => "ecru",
            Side::Peer => "peer",
            Side::Bare(_) => "bare",
        };
        let directory = self.directory.join(name);
        remove(&directory)?;
        match (side, &self.peer) {
            (Side::Ecru, _) => self.ecru.start(&directory),
            (Side::Peer, Peer::Ecru(ecru)) => ecru.start(&directory),
            (Side::Peer, Peer::DockerRegistry(_)) => docker_registry::start(&directory),
            (Side::Peer, Peer::None) => Err("there is no peer".into()),
            (Side::Bare(run), _) => bare::start(run, &directory, None),
        }
    }

    /// Starts the servers of a workload that keeps them running through all rounds.
    pub fn start_all(&self, sides: &[Side]) -> Result<Vec<(Side, Server)>> {
        sides.iter().map(|side| Ok((*side, self.start(*side)?))).collect()
    }

    /// Measures each side once in every round. The order is reversed in every second round.
    pub fn rounds(
        &self,
        sides: &[Side],
        mut turn: impl FnMut(Side, usize) -> Result<Sample>,
    ) -> Result<WorkloadSamples> {
        let mut turns = WorkloadSamples::default();
        for round in 0..self.rounds {
            let mut order = sides.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                // No server may pay for the unwritten data of the previous one.
                self.settle()?;
                let sample = turn(side, round)?;
                let samples = match side {
                    Side::Ecru => &mut turns.ecru,
                    Side::Peer => &mut turns.peer,
                    Side::Bare(BareLoop::ReceiveDirect) => &mut turns.bare_direct,
                    Side::Bare(BareLoop::Receive | BareLoop::Send) => &mut turns.bare,
                };
                samples.0.push(sample);
            }
        }
        Ok(turns)
    }

    /// Does the same with servers that keep running through all rounds.
    pub fn rounds_of(
        &self,
        servers: &[(Side, Server)],
        mut turn: impl FnMut(&Server, usize) -> Result<Sample>,
    ) -> Result<WorkloadSamples> {
        let sides: Vec<Side> = servers.iter().map(|(side, _)| *side).collect();
        self.rounds(&sides, |side, round| {
            let server = servers.iter().find(|(of, _)| *of == side).ok_or("a side without a server")?;
            turn(&server.1, round)
        })
    }

    /// Waits until all written data is on the disk.
    fn settle(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.directory)?)?)
    }
}

/// Removes a directory if it exists.
pub fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
