//! Attacks: load from many strangers or greedy callers, and how it affects a server's other clients.
//!
//! `cargo run --release -p bench -- attack` runs all attacks, `attack --list` shows them. Each attack starts its own server on
//! loopback, is bounded in connections and time, and prints its findings. A missed goal fails the run.

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

/// The longest time that another client may wait for an answer during an attack.
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
        about: "4,000 connections without credentials, each with a refused body of 1 MB",
        run: refused_bodies::run,
    },
    Attack {
        name: "unfinished-heads",
        about: "4,000 connections, each with 60 KB of an endless head",
        run: unfinished_heads::run,
    },
    Attack {
        name: "many-pushes",
        about: "2,000 concurrent pushes by one caller, each after 1 MiB",
        run: many_pushes::run,
    },
    Attack {
        name: "idle-connections",
        about: "4,096 connections that are idle after one request, then 5,000 that send nothing",
        run: idle_connections::run,
    },
    Attack {
        name: "stalled-pulls",
        about: "600 pulls of a layer of 256 MiB by clients that read nothing",
        run: stalled_pulls::run,
    },
    Attack {
        name: "slow-bodies",
        about: "400 bodies that trickle in, by someone who knows only an access key id",
        run: slow_bodies::bodies,
    },
    Attack {
        name: "few-slow-bodies",
        about: "the same with 80 bodies that send 560 B/s together",
        run: slow_bodies::few_bodies,
    },
    Attack { name: "slow-forms", about: "400 forms that trickle in, without credentials", run: slow_bodies::forms },
    Attack {
        name: "slow-readers",
        about: "100 clients that request 28 MB or 4 MB of manifests each, and read nothing",
        run: slow_bodies::readers,
    },
    Attack {
        name: "crowded-writes",
        about: "3,000 connections that write at once, more than the metadata's queue has places",
        run: crowded_writes::run,
    },
];

/// Attacks a server and measures how its other clients are affected.
#[derive(clap::Args)]
pub struct Attacks {
    /// The attacks to run [default: all; --list shows them].
    names: Vec<String>,
    /// Show the attacks.
    #[arg(long)]
    list: bool,
    /// The ecru binary to attack, instead of building this one.
    #[arg(long, value_name = "FILE")]
    ecru: Option<PathBuf>,
}

/// The goals that an attack checked, and whether they were reached.
#[derive(Default)]
pub struct Findings(Vec<Goal>);

impl Findings {
    /// Prints an observation without a goal.
    pub fn note(&mut self, text: &str) {
        println!("    {text}");
    }

    /// Prints and records a goal.
    pub fn goal(&mut self, what: &str, goal: Goal) {
        println!("    {what}: {} {}", goal.text, if goal.reached { "reached" } else { "MISSED" });
        self.0.push(goal);
    }

    /// Checks that resident memory does not exceed `goal_mib`.
    pub fn memory(&mut self, what: &str, server: &Server, goal_mib: u64) -> Result<()> {
        self.goal(what, Goal::memory(goal_mib, server.process.resident()?));
        Ok(())
    }

    /// Checks that the peak of resident memory does not exceed `goal_mib`.
    pub fn peak(&mut self, what: &str, server: &Server, goal_mib: u64) -> Result<()> {
        self.goal(what, Goal::memory(goal_mib, server.process.peak()?));
        Ok(())
    }

    /// Sends one request of another client over a new connection. The answer must have the status `wanted` and come within [`AT_ONCE`].
    pub fn others(&mut self, what: &str, target: &Target, request: &[u8], wanted: u16) -> Result<()> {
        self.others_within(what, target, request, wanted, AT_ONCE)
    }

    /// Does the same, but the answer may take up to `most`.
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
        let target = program.ancestors().nth(2).ok_or("this program is not in a target directory")?;
        let binary = self.ecru.map_or_else(|| ecru::build(target), Ok)?;
        let directory = target.join("bench");
        std::fs::create_dir_all(&directory)?;
        println!("Ecru's build: {}", ecru::about(&binary));
        let ecru = Ecru { binary, postgres: None };

        // Each attack gets a new server on an empty directory.
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
