//! The frame of every work: which servers there are, and whose turn it is.
use crate::Result;
use crate::bare::{self, Loop};
use crate::docker_registry;
use crate::ecru::Ecru;
use crate::sample::{Sample, Samples};
use crate::server::Server;
use std::fs::File;
use std::path::{Path, PathBuf};

pub struct Bench {
    pub rounds: usize,
    /// Smaller works, for a first look.
    pub quick: bool,
    /// Everything that is written lies below it, on the file system of the repository.
    pub directory: PathBuf,
    pub ecru: Ecru,
    pub peer: Peer,
}

/// Who Ecru is compared with.
pub enum Peer {
    /// With its version.
    DockerRegistry(String),
    /// Another build of Ecru.
    Ecru(Ecru),
    None,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Ecru,
    Peer,
    Bare(Loop),
}

/// All turns of a work.
#[derive(Default)]
pub struct Turns {
    pub ecru: Samples,
    /// Empty without a peer.
    pub peer: Samples,
    /// Empty where no bare loop does the like.
    pub bare: Samples,
    /// The same past the page cache; for pushes alone.
    pub bare_direct: Samples,
}

impl Bench {
    /// Ecru, and the peer if there is one.
    pub fn sides(&self) -> Vec<Side> {
        match self.peer {
            Peer::None => vec![Side::Ecru],
            _ => vec![Side::Ecru, Side::Peer],
        }
    }

    /// What the peer is called in tables.
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

    /// Starts the servers of a work that lets them run through all rounds.
    pub fn start_all(&self, sides: &[Side]) -> Result<Vec<(Side, Server)>> {
        sides.iter().map(|side| Ok((*side, self.start(*side)?))).collect()
    }

    /// Gives each side its turn, round after round, in an order that alternates.
    pub fn rounds(&self, sides: &[Side], mut turn: impl FnMut(Side, usize) -> Result<Sample>) -> Result<Turns> {
        let mut turns = Turns::default();
        for round in 0..self.rounds {
            let mut order = sides.to_vec();
            if round % 2 == 1 {
                order.reverse();
            }
            for side in order {
                // Nobody pays for what another left unwritten.
                self.settle()?;
                let sample = turn(side, round)?;
                let samples = match side {
                    Side::Ecru => &mut turns.ecru,
                    Side::Peer => &mut turns.peer,
                    Side::Bare(Loop::ReceiveDirect) => &mut turns.bare_direct,
                    Side::Bare(Loop::Receive | Loop::Send) => &mut turns.bare,
                };
                samples.0.push(sample);
            }
        }
        Ok(turns)
    }

    /// The same with servers that run through all rounds.
    pub fn rounds_of(
        &self,
        servers: &[(Side, Server)],
        mut turn: impl FnMut(&Server, usize) -> Result<Sample>,
    ) -> Result<Turns> {
        let sides: Vec<Side> = servers.iter().map(|(side, _)| *side).collect();
        self.rounds(&sides, |side, round| {
            let server = servers.iter().find(|(of, _)| *of == side).ok_or("a side without a server")?;
            turn(&server.1, round)
        })
    }

    /// Waits until everything that was written is on the disk.
    fn settle(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.directory)?)?)
    }
}

/// Removes a directory that may be there.
pub fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
