//! The load client and the comparison with other registries: `cargo run --release -p bench`.
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
mod works;

use crate::bench::{Bench, Peer};
use crate::ecru::Ecru;
use crate::postgres::Postgres;
use crate::report::Report;
use clap::Parser;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// A failure ends the run and is told to whoever started it; nothing acts on its kind.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Failure>;

/// Measures Ecru and another registry in turn, on this machine, and prints medians, ratios and the machine's own limits.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    apart: Option<Apart>,
    /// Which works to run [default: all; --list shows them].
    works: Vec<String>,
    /// Show the works.
    #[arg(long)]
    list: bool,
    /// Turns of each server at each work [default: 5; with --quick 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Smaller works, for a first look.
    #[arg(long)]
    quick: bool,
    /// Whom to compare with: docker-registry, none, or another ecru binary's path.
    #[arg(long, default_value = "docker-registry")]
    peer: String,
    /// Keep Ecru's records in PostgreSQL, of a server that is started for it.
    #[arg(long)]
    postgres: bool,
    /// The ecru binary to measure, instead of building this one.
    #[arg(long, value_name = "FILE")]
    ecru: Option<PathBuf>,
    /// A document whose marked part is replaced by this run's result, such as docs/performance.md.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Apart {
    /// Attacks a server and measures what its other clients notice.
    Attack(attacks::Attacks),
    /// What a registry must do at least, as a server to measure.
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
    match arguments.apart {
        Some(Apart::Attack(attacks)) => return attacks.run().map(|()| ExitCode::SUCCESS),
        Some(Apart::Bare(bare)) => return bare.run().map(|()| ExitCode::SUCCESS),
        None => {}
    }
    if arguments.list {
        for work in works::ALL {
            println!("{:16}{}", work.name, work.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.postgres && Postgres::around().is_none() {
        return postgres::run_again();
    }
    measure(arguments).map(|()| ExitCode::SUCCESS)
}

fn measure(arguments: Arguments) -> Result<()> {
    let works = works::named(&arguments.works, arguments.postgres)?;
    let postgres = Postgres::around().filter(|_| arguments.postgres);
    let peer = match arguments.peer.as_str() {
        "none" => Peer::None,
        "docker-registry" => Peer::DockerRegistry(docker_registry::version()?),
        path => Peer::Ecru(Ecru { binary: path.into(), postgres: postgres.clone() }),
    };
    // This program lies in target/PROFILE.
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or("this program lies in no target directory")?;
    let binary = arguments.ecru.map_or_else(|| ecru::build(target), Ok)?;
    let directory = target.join("bench");
    std::fs::create_dir_all(&directory)?;
    let rounds = arguments.rounds.unwrap_or(if arguments.quick { 3 } else { 5 });
    let bench = Bench { rounds, quick: arguments.quick, directory, ecru: Ecru { binary, postgres }, peer };

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
    for work in works {
        eprintln!("{}", work.about);
        (work.run)(&bench, &mut report)?;
    }
    println!("{}", report.markdown());
    if let Some(document) = arguments.write {
        let name = if arguments.postgres { "PostgreSQL" } else { "SQLite" };
        report::write(&document, name, &format!("{}\n{}", headline()?, report.markdown()))?;
    }
    Ok(())
}

/// When this was measured, of which commit, and by which command.
#[expect(clippy::disallowed_methods, reason = "a program of its own: no test moves its clock")]
fn headline() -> Result<String> {
    let today = jiff::Timestamp::now().strftime("%F").to_string();
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output()?;
    let commit = String::from_utf8(commit.stdout)?;
    // Where a file lay on this machine says nothing to a reader.
    let short = |argument: &str| match argument.rsplit_once('/') {
        Some((_, name)) if argument.starts_with('/') => name.to_owned(),
        _ => argument.to_owned(),
    };
    let arguments: Vec<String> = std::env::args().skip(1).map(|argument| short(&argument)).collect();
    let command = format!("cargo run --release -p bench -- {}", arguments.join(" "));
    Ok(format!("{today}, commit {}:\n\n```sh\n{}\n```\n", commit.trim(), command.trim_end_matches([' ', '-'])))
}
