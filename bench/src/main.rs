//! The load client, and the comparison with other registries: `cargo run --release -p bench`.

mod attacks;
mod bare;
mod bench;
mod content;
mod crowd;
mod docker_registry;
mod ecru;
mod http;
mod machine;
mod perf;
mod postgres;
mod process;
mod report;
mod sample;
mod server;
mod threads;
mod tls;
mod workloads;

use crate::bench::{Bench, Peer};
use crate::ecru::Ecru;
use crate::postgres::Postgres;
use crate::report::Report;
use clap::Parser;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// Why the run ended early. Nothing handles a failure by its kind, so it is only printed.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// Measures Ecru and another registry alternately on this machine, and prints medians, ratios and the machine's own limits.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    subcommand: Option<Subcommand>,
    /// The workloads to run [default: all; --list shows them].
    workloads: Vec<String>,
    /// Show the workloads.
    #[arg(long)]
    list: bool,
    /// Rounds of each workload; in a round each server runs once [default: 5; with --quick 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Run smaller workloads, for a first look.
    #[arg(long)]
    quick: bool,
    /// The server to compare with: docker-registry, none, or the path of another ecru binary.
    #[arg(long, default_value = "docker-registry")]
    peer: String,
    /// Keep Ecru's records in PostgreSQL; a server is started for the run.
    #[arg(long)]
    postgres: bool,
    /// The ecru binary to measure, instead of building this one.
    #[arg(long, value_name = "FILE")]
    ecru: Option<PathBuf>,
    /// A document whose marked part is replaced by the result of this run, such as docs/performance.md.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// Attacks a server and measures how its other clients are affected.
    Attack(attacks::Attacks),
    /// Runs the bare loop, the minimal server that others are compared with.
    #[command(hide = true)]
    Bare(bare::Bare),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.subcommand {
        Some(Subcommand::Attack(attacks)) => return attacks.run().map(|()| ExitCode::SUCCESS),
        Some(Subcommand::Bare(bare)) => return bare.run().map(|()| ExitCode::SUCCESS),
        None => {}
    }
    if arguments.list {
        for workload in workloads::ALL {
            println!("{:16}{}", workload.name, workload.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.postgres && Postgres::around().is_none() {
        return postgres::run_again();
    }
    measure(arguments).map(|()| ExitCode::SUCCESS)
}

fn measure(arguments: Arguments) -> Result<()> {
    // Find the servers to measure.
    let workloads = workloads::named(&arguments.workloads, arguments.postgres)?;
    let postgres = Postgres::around().filter(|_| arguments.postgres);
    let peer = match arguments.peer.as_str() {
        "none" => Peer::None,
        "docker-registry" => Peer::DockerRegistry(docker_registry::version()?),
        path => Peer::Ecru(Ecru { binary: path.into(), postgres: postgres.clone() }),
    };

    // This program is in target/PROFILE, and everything it writes goes below target.
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("this program is not in a target directory")?;
    let binary = arguments.ecru.map_or_else(|| ecru::build(target), Ok)?;
    let directory = target.join("bench");
    std::fs::create_dir_all(&directory)?;
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 5 });
    let bench = Bench { rounds, quick: arguments.quick, directory, ecru: Ecru { binary, postgres }, peer };

    // Measure the machine's limits first, so that every result can be compared with them.
    let mut machine = machine::limits(&bench.directory, bench.quick)?;
    machine.rows.push(vec!["Ecru's build".to_owned(), ecru::about(&bench.ecru.binary)]);
    if let Peer::Ecru(peer) = &bench.peer {
        machine.rows.push(vec!["the other Ecru's build".to_owned(), ecru::about(&peer.binary)]);
    }
    if let Some(postgres) = &bench.ecru.postgres {
        machine.rows.push(vec!["PostgreSQL".to_owned(), postgres.about()?]);
    }
    println!("{}", machine.markdown());

    let mut report = Report::new(machine, &bench.peer_name());
    for workload in workloads {
        eprintln!("{}", workload.about);
        (workload.run)(&bench, &mut report)?;
    }
    println!("{}", report.markdown());
    if let Some(document) = arguments.write {
        let name = if arguments.postgres { "PostgreSQL" } else { "SQLite" };
        report::write(&document, name, &format!("{}\n{}", headline()?, report.markdown()))?;
    }
    Ok(())
}

/// Returns the date, the commit and the command of this run.
#[expect(clippy::disallowed_methods, reason = "a program of its own: no test moves its clock")]
fn headline() -> Result<String> {
    let today = jiff::Timestamp::now().strftime("%F").to_string();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output()?;
    let commit = String::from_utf8(commit.stdout)?;
    // Leave out the directories of this machine, which mean nothing to a reader.
    let short = |argument: &str| match argument.rsplit_once('/') {
        Some((_, name)) if argument.starts_with('/') => name.to_owned(),
        _ => argument.to_owned(),
    };
    let arguments: Vec<String> = std::env::args().skip(1).map(|argument| short(&argument)).collect();
    let command = format!("cargo run --release -p bench -- {}", arguments.join(" "));
    Ok(format!("{today}, commit {}:\n\n```sh\n{}\n```\n", commit.trim(), command.trim_end_matches([' ', '-'])))
}
