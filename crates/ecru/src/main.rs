//! The program `ecru`.

use clap::{CommandFactory as _, Parser, Subcommand};
use ecru::cli::account::Account;
use ecru::cli::backup::{Backup, Report};
use ecru::cli::completion::Completion;
use ecru::cli::env::{self, Env};
use ecru::cli::gc::Gc;
use ecru::cli::health::Health;
use ecru::cli::identities::{Key, Policy, Role, User};
use ecru::cli::image::Image;
use ecru::cli::jobs::Jobs;
use ecru::cli::man::Man;
use ecru::cli::push_log::PushLog;
use ecru::cli::repository::Repository;
use ecru::cli::restore::Restore;
use ecru::cli::serve::Serve;
use ecru::cli::status::Status;
use ecru::cli::tls::init::Init;
use ecru::cli::transfer::export::Export;
use ecru::cli::transfer::import::Import;
use ecru::cli::verify::Verify;
use kernel::ErrorChain;
use kernel::clock::{Clock as _, SystemClock};
use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Amazon ECR on your own machines: the AWS API and the Docker and OCI API over one store.
#[derive(Parser)]
#[command(name = "ecru", version, arg_required_else_help = true)]
struct Ecru {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the registry.
    Serve(Box<Serve>),
    /// Print exports for the AWS CLI and the SDKs: eval "$(ecru env)".
    Env(Env),
    /// Ask a running server how it is.
    Status(Status),
    /// Ask whether a server on this machine is ready, without keys.
    Health(Health),
    /// Copy a store into a directory, beside the server that uses it.
    Backup(Backup),
    /// Make a data directory from a backup.
    Restore(Restore),
    /// Show what was pushed to a repository and what was refused, and why.
    PushLog(PushLog),
    /// Show the background jobs of a running server, and run those again that were given up.
    Jobs(Jobs),
    /// Create, list and delete accounts, and limit them by service control policies.
    #[command(subcommand)]
    Account(Account),
    /// Create, list and delete users.
    #[command(subcommand)]
    User(User),
    /// Create, list and delete roles.
    #[command(subcommand)]
    Role(Role),
    /// Create, list, deactivate and delete access keys of users.
    #[command(subcommand)]
    Key(Key),
    /// Attach policies to users, groups and roles.
    #[command(subcommand)]
    Policy(Policy),
    /// List deleted images, restore them, and end their window.
    #[command(subcommand)]
    Image(Image),
    /// Restore deleted repositories, and protect repositories from deletion.
    #[command(subcommand)]
    Repository(Repository),
    /// Show what a server could free, and free it.
    Gc(Gc),
    /// Look whether the layers of a store are whole, beside its server.
    Verify(Verify),
    /// Copy images from files and other registries into a repository.
    Import(Box<Import>),
    /// Copy images of a repository into a file.
    Export(Export),
    /// Make TLS certificates for the https:// listeners.
    #[command(subcommand)]
    Tls(Tls),
    /// Print a shell's completion for ecru.
    Completion(Completion),
    /// Print the manual page, or write all pages into a directory.
    Man(Man),
}

#[derive(Subcommand)]
enum Tls {
    Init(Init),
}

/// 0: done. 1: failed, with one sentence on stderr. 2: called wrongly (clap's own).
fn main() -> ExitCode {
    let called = Ecru::try_parse().unwrap_or_else(|error| {
        // Nobody asked for the exports of `ecru env --help`.
        if error.use_stderr() && std::env::args().nth(1).as_deref() == Some("env") {
            fail_in_eval();
        }
        error.exit()
    });
    match run(called.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ecru: {}", ErrorChain(error.as_ref()).to_string().replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).ok();
    match command {
        // These need no runtime: they only print.
        Command::Env(env) => print(env.run(&variable).inspect_err(|_| fail_in_eval())?),
        Command::Tls(Tls::Init(init)) => print(init.run(SystemClock.now())?),
        Command::Completion(completion) => print(completion.run(Ecru::command())),
        Command::Man(man) => print(man.run(Ecru::command())?),
        // These run until they are done or stopped.
        Command::Serve(serve) => on_runtime(async { Ok(serve.run().await.map(|()| ExitCode::SUCCESS)?) }),
        Command::Import(import) => on_runtime(async { Ok(import.run().await.map(|()| ExitCode::SUCCESS)?) }),
        Command::Export(export) => on_runtime(async { Ok(export.run().await.map(|()| ExitCode::SUCCESS)?) }),
        // These open the stores, beside their server. A finding is a failure, for scripts.
        Command::Backup(backup) => on_runtime(async { report(backup.run(&variable).await?) }),
        Command::Restore(restore) => on_runtime(async { report(restore.run(&variable).await?) }),
        Command::Verify(verify) => on_runtime(async {
            let well = verify.run(&variable, &mut std::io::stdout()).await?;
            Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }),
        // These call a server and print what it answers.
        Command::Status(status) => on_runtime(async {
            let status = status.run().await?;
            print(status.text)?;
            Ok(if status.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }),
        Command::Health(health) => on_runtime(async { print(health.run().await?) }),
        Command::Jobs(jobs) => on_runtime(async { print(jobs.run().await?) }),
        Command::Account(account) => on_runtime(async { print(account.run().await?) }),
        Command::User(user) => on_runtime(async { print(user.run().await?) }),
        Command::Role(role) => on_runtime(async { print(role.run().await?) }),
        Command::Key(key) => on_runtime(async { print(key.run().await?) }),
        Command::Policy(policy) => on_runtime(async { print(policy.run().await?) }),
        Command::Image(image) => on_runtime(async { print(image.run().await?) }),
        Command::Repository(repository) => on_runtime(async { print(repository.run().await?) }),
        Command::Gc(gc) => on_runtime(async { print(gc.run().await?) }),
        Command::PushLog(log) => on_runtime(async { print(log.run().await?) }),
    }
}

/// Prints what a command found or did.
fn print(text: impl AsRef<[u8]>) -> Result<ExitCode, Box<dyn Error>> {
    std::io::stdout().write_all(text.as_ref())?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a report. A copy that lacks something is a failure, for scripts.
fn report(report: Report) -> Result<ExitCode, Box<dyn Error>> {
    print(report.text)?;
    Ok(if report.complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Makes `eval "$(ecru env)"` fail as `ecru env` did; a person at a terminal reads the message alone.
fn fail_in_eval() {
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        // The exit code says the same where stdout is closed.
        let _ = out.write_all(env::FAILED.as_bytes());
    }
}

fn on_runtime<T>(work: impl Future<Output = Result<T, Box<dyn Error>>>) -> Result<T, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // What a second signal cut off is not waited for.
    runtime.shutdown_background();
    result
}
