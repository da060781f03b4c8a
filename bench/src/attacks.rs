//! Attacks: what strangers and greedy neighbours do to a server, in large numbers, and what its other clients notice of it.
//!
//! `cargo run --release -p bench -- attack` runs them all; `attack --list` shows them. Each starts a server of its own on loopback,
//! is bounded in connections and in time, and prints what it saw. An attack whose goal is missed fails the run.
mod crowded_writes;
mod idle_connections;
mod many_pushes;
mod refused_bodies;
mod slow_bodies;
mod stalled_pulls;
mod unfinished_heads;

use crate::bench::remove;
use crate::ecru::{self, Ecru};
use crate::http::{Connection, Target};
use crate::process::raise_open_files;
use crate::report::{Goal, mib};
use crate::server::Server;
use crate::{Failure, Result};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest that another client may wait for its answer while an attack goes on.
pub const AT_ONCE: Duration = Duration::from_secs(2);

/// One attack.
struct Attack {
    name: &'static str,
    about: &'static str,
    run: fn(&Server, &mut Findings) -> Result<()>,
}

const ALL: [Attack; 10] = [
    Attack {
        name: "refused-bodies",
        about: "4,000 connections without credentials, each with a body of 1 MB that is refused",
        run: refused_bodies::run,
    },
    Attack {
        name: "unfinished-heads",
        about: "4,000 connections, each with 60 KB of a head that does not end",
        run: unfinished_heads::run,
    },
    Attack {
        name: "many-pushes",
        about: "2,000 pushes at once by one caller, of which each has sent 1 MiB",
        run: many_pushes::run,
    },
    Attack {
        name: "idle-connections",
        about: "4,096 connections that asked once and stay, then 5,000 that say nothing",
        run: idle_connections::run,
    },
    Attack {
        name: "stalled-pulls",
        about: "600 pulls of a layer of 256 MiB that read nothing",
        run: stalled_pulls::run,
    },
    Attack {
        name: "slow-bodies",
        about: "400 bodies that trickle in, by someone who knows an access key id alone",
        run: slow_bodies::bodies,
    },
    Attack {
        name: "few-slow-bodies",
        about: "the same with 80 bodies that send 560 B/s together",
        run: slow_bodies::few_bodies,
    },
    Attack { name: "slow-forms", about: "400 forms that trickle in, by nobody", run: slow_bodies::forms },
    Attack {
        name: "slow-readers",
        about: "100 clients that ask for 28 MB or 4 MB of manifests each, and read nothing",
        run: slow_bodies::readers,
    },
    Attack {
        name: "crowded-writes",
        about: "3,000 connections that write at once, more than the metadata's queue has places",
        run: crowded_writes::run,
    },
];

/// Attacks a server and measures what its other clients notice.
#[derive(clap::Args)]
pub struct Attacks {
    /// Which attacks to run [default: all; --list shows them].
    names: Vec<String>,
    /// Show the attacks.
    #[arg(long)]
    list: bool,
    /// The ecru binary to attack, instead of building this one.
    #[arg(long, value_name = "FILE")]
    ecru: Option<PathBuf>,
}

/// What an attack saw.
#[derive(Default)]
pub struct Findings(Vec<Goal>);

impl Findings {
    /// Notes something that has no goal.
    pub fn note(&mut self, text: &str) {
        println!("    {text}");
    }

    /// Notes something that must be reached.
    pub fn goal(&mut self, what: &str, goal: Goal) {
        println!("    {what}: {} {}", goal.text, if goal.reached { "reached" } else { "MISSED" });
        self.0.push(goal);
    }

    /// Resident memory, which must not exceed so many MiB.
    pub fn memory(&mut self, what: &str, server: &Server, goal_mib: u64) -> Result<()> {
        self.goal(what, Goal::memory(goal_mib, server.process.resident()?));
        Ok(())
    }

    /// The most memory that was resident so far.
    pub fn peak(&mut self, what: &str, server: &Server, goal_mib: u64) -> Result<()> {
        self.goal(what, Goal::memory(goal_mib, server.process.peak()?));
        Ok(())
    }

    /// How long another client, over a connection of its own, waits for one answer, which must have this status.
    pub fn others(&mut self, what: &str, target: &Target, request: &[u8], wanted: u16) -> Result<()> {
        self.others_within(what, target, request, wanted, AT_ONCE)
    }

    /// The same, where the client may have to wait for longer.
    pub fn others_within(
        &mut self,
        what: &str,
        target: &Target,
        request: &[u8],
        wanted: u16,
        most: Duration,
    ) -> Result<()> {
        let began = Instant::now();
        let answered = Connection::open(target).and_then(|mut connection| connection.call(request, &[wanted]));
        let took = began.elapsed();
        match answered {
            Ok(_) => self.goal(what, Goal::within("answer", most, took)),
            Err(error) => self.goal(what, Goal { text: format!("{error} after {} s", took.as_secs()), reached: false }),
        }
        Ok(())
    }
}

impl Attacks {
    pub fn run(self) -> Result<()> {
        if self.list {
            for attack in &ALL {
                println!("{:24}{}", attack.name, attack.about);
            }
            return Ok(());
        }
        if let Some(unknown) = self.names.iter().find(|name| ALL.iter().all(|attack| attack.name != **name)) {
            return Err(format!("there is no attack '{unknown}'; --list shows them").into());
        }
        raise_open_files()?;
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).ok_or("this program lies in no target directory")?;
        let binary = self.ecru.map_or_else(|| ecru::build(target), Ok)?;
        let directory = target.join("bench");
        std::fs::create_dir_all(&directory)?;
        println!("Ecru's build: {}", ecru::about(&binary));
        let ecru = Ecru { binary, postgres: None };
        let mut missed = 0;
        for attack in ALL.iter().filter(|attack| self.names.is_empty() || self.names.iter().any(|n| n == attack.name)) {
            println!("{}: {}", attack.name, attack.about);
            let directory = directory.join("attacked");
            remove(&directory)?;
            let server = ecru.start(&directory)?;
            let mut findings = Findings::default();
            findings.note(&format!("resident before: {} MiB", mib(server.process.resident()?)));
            (attack.run)(&server, &mut findings)?;
            drop(server);
            remove(&directory)?;
            missed += findings.0.iter().filter(|goal| !goal.reached).count();
        }
        if missed > 0 { Err(Failure::from(format!("{missed} goals were missed"))) } else { Ok(()) }
    }
}
