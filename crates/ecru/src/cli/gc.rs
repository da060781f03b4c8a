//! `ecru gc`: what of a server's storage nothing needs any more, and its collection at once.

use super::client::{Client, ClientError, ServerArgs};
use super::progress::bytes;
use admin::{CollectUnusedOutput, DescribeUnusedOutput};
use serde_json::json;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Shows what a running server could free, or frees at once what is due. The server does so by itself every hour.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// Free what is due now.
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
    /// Only show what --now would free [default].
    #[arg(long)]
    pub dry_run: bool,
    /// How long to wait still: only 0, for nothing. What is deleted can't be restored then, and layers lose their grace.
    #[arg(long, value_name = "HOURS", value_parser = ["0"])]
    pub grace: Option<String>,
    /// Do not ask before images become unrecoverable.
    #[arg(long)]
    pub yes: bool,
    /// What there is, or what was freed, as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Gc {
    /// Asks a running server, and returns what a person or a script reads.
    pub async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&|name| std::env::var(name).ok())?;
        let at_once = self.grace.is_some();
        let found: DescribeUnusedOutput = client.call("DescribeUnused", &json!({ "atOnce": at_once })).await?;
        if !self.now {
            return Ok(if self.json { format!("{:#}\n", json!(found)) } else { described(&found) });
        }
        if at_once && !self.yes && found.due_images + found.due_repositories > 0 && !agreed(&found)? {
            return Ok("Nothing was freed.\n".to_owned());
        }
        collect(&client, at_once, self.json).await
    }
}

async fn collect(client: &Client, at_once: bool, json: bool) -> Result<String, ClientError> {
    let done: CollectUnusedOutput = client.call("CollectUnused", &json!({ "atOnce": at_once })).await?;
    if json {
        return Ok(format!("{:#}\n", json!(done)));
    }
    let CollectUnusedOutput { images, repositories, layers, layer_bytes, strays, events: _, held } = done;
    let mut text = format!(
        "Freed {layers} layers ({}) and {strays} files without a record; {images} deleted images and {repositories} deleted \
         repositories are gone for good.\n",
        bytes(layer_bytes)
    );
    if held {
        text.push_str("A backup is running: layers are freed when it has ended.\n");
    }
    Ok(text)
}

fn described(found: &DescribeUnusedOutput) -> String {
    format!(
        "Recoverable:   {} deleted images, {} deleted repositories\n\
         Unreferenced:  {} layers ({})\n\
         Due now:       {} deleted images, {} deleted repositories, {} layers ({})\n",
        found.recoverable_images,
        found.recoverable_repositories,
        found.unreferenced_layers,
        bytes(found.unreferenced_bytes),
        found.due_images,
        found.due_repositories,
        found.due_layers,
        bytes(found.due_bytes),
    )
}

/// Asks at a terminal whether images may become unrecoverable. Without one the answer is an error that names --yes.
fn agreed(found: &DescribeUnusedOutput) -> Result<bool, ClientError> {
    let what = format!(
        "{} deleted images and {} deleted repositories become unrecoverable",
        found.due_images, found.due_repositories
    );
    let mut terminal = std::io::stdin().lock();
    if !terminal.is_terminal() {
        return Err(ClientError::NotAgreed(what));
    }
    eprint!("{what}. Go on? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stderr().flush().and_then(|()| terminal.read_line(&mut answer));
    read.map_err(|_| ClientError::NotAgreed(what))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
