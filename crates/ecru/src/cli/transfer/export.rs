//! `ecru export`: images of a repository into a file.

use super::TransferError;
use super::copy::{Copier, counted};
use super::import::{copy_all, our_registry};
use super::plan::{self, TagPatterns};
use super::progress::Progress;
use super::reference::OurRepository;
use super::sink::{ArchiveSink, LayoutSink, Sink};
use super::source::Source;
use crate::cli::client::ServerArgs;
use crate::cli::progress::bytes;

/// Copies images of a repository into an OCI layout, or into an archive that `docker load` takes.
///
/// Digests stay what they are; every platform and everything that refers to an image comes along.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The repository and perhaps a tag or digest, such as team/app:v1; without one all tags.
    #[arg(value_name = "REPO[:TAG|@DIGEST]", value_parser = OurRepository::parse)]
    pub from: OurRepository,
    /// oci:DIR or docker-archive:FILE
    #[arg(value_name = "TARGET")]
    pub to: String,
    /// Only tags like this; * stands for any characters, ? for one. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    pub tags: Vec<String>,
    /// For images of several platforms: the architecture that docker before 25 loads [default: this machine's].
    #[arg(long, value_name = "ARCH")]
    pub architecture: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Export {
    /// Copies the images and prints a summary on stdout.
    pub async fn run(mut self) -> Result<(), TransferError> {
        let environment = |name: &str| std::env::var(name).ok();
        let progress = Progress::new();
        let patterns = TagPatterns::new(std::mem::take(&mut self.tags));
        let client = self.server.client(&environment)?;
        self.from.refuse_host(client.endpoint()).map_err(TransferError::Usage)?;
        let registry = our_registry(client, &self.from);
        // Refuse an invalid target before any request.
        let sink = self.sink()?;
        let wanted = plan::of_registry(&registry, 0, self.from.reference.as_ref(), &patterns).await?;
        let sources = [Source::Registry(Box::new(registry))];
        // cosign's tags of what is exported, unless all tags are.
        let companions = [self.from.reference.is_some() || !patterns.is_empty()];
        let mut copier = Copier::new(&sink, &progress);
        let done = copy_all(&mut copier, &sources, &wanted, &companions, &progress).await?;
        sink.finish()?;
        let copied = format!("{} copied ({})", counted(done.0.copied, "blob"), bytes(done.0.copied_bytes));
        progress.line(&format!("{} in {}: {copied}", plan::summary(&wanted), self.to));
        Ok(())
    }

    fn sink(&self) -> Result<Sink, TransferError> {
        let usage = || {
            let kind = if self.to.contains(".tar") { "docker-archive" } else { "oci" };
            let text =
                format!("'{to}' is not a target: write {kind}:{to} (oci:DIR or docker-archive:FILE)", to = self.to);
            TransferError::Usage(text)
        };
        match self.to.split_once(':').ok_or_else(usage)? {
            ("oci", path) if !path.is_empty() => LayoutSink::open(path.into()).map(Sink::Layout),
            ("docker-archive", path) if !path.is_empty() => {
                let architecture = self.architecture.clone().unwrap_or_else(|| machine().to_owned());
                ArchiveSink::create(path.into(), self.from.name.clone(), architecture)
                    .map(|sink| Sink::Archive(Box::new(sink)))
            }
            _ => Err(usage()),
        }
    }
}

/// This machine's architecture as OCI spells it (image-spec "Image Index", GOARCH).
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
