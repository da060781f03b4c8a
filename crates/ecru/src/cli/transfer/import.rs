//! `ecru import`: images from files and other registries into a repository.

use super::copy::{Copier, Counts, counted};
use super::docker_config::{self, SourceCredentials};
use super::ecr_host::EcrHost;
use super::files::Files;
use super::login::Login;
use super::plan::{self, TagPatterns, Wanted};
use super::progress::Progress;
use super::reference::{OurRepository, Place, RemoteRepository};
use super::registry::Registry;
use super::sink::{OurSink, Sink};
use super::source::Source;
use super::upload_notes::UploadNotes;
use super::{TransferError, docker_archive, layout};
use crate::cli::ClientError;
use crate::cli::client::{Client, ServerArgs};
use crate::cli::credentials;
use crate::cli::progress::bytes;
use http::{Request, Uri};
use listen::outbound::agent::{self, Agent};
use listen::outbound::{Authorities, OutboundError};
use oci::Reference;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest password that is read from stdin, in bytes.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// Copies images into a repository: from archives of `docker save`, OCI layouts and any registry, Amazon ECR too.
///
/// Digests stay what they are, every platform and everything that refers to an image comes along, and what is there is not
/// fetched: run the command again to go on after a cut, or to bring what is new.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// docker-archive:FILE[:NAME:TAG], oci:DIR[:TAG] or HOST/REPOSITORY[:TAG|@DIGEST]; a registry without a tag gives all.
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// The repository, such as team/app; team/app:v1 gives a single image another tag.
    #[arg(long, value_name = "REPO[:TAG]", value_parser = OurRepository::parse)]
    pub to: OurRepository,
    /// Only tags like this; * stands for any characters, ? for one. May be given several times.
    #[arg(long, value_name = "PATTERN")]
    pub tags: Vec<String>,
    /// Makes the repository where it does not exist.
    #[arg(long)]
    pub create: bool,
    /// The AWS profile whose keys open the source, a registry of Amazon ECR.
    #[arg(long, value_name = "PROFILE", conflicts_with = "from_username")]
    pub from_profile: Option<String>,
    /// The user name for the source; docker's configuration is not looked at.
    #[arg(long, value_name = "NAME", requires = "from_password_stdin")]
    pub from_username: Option<String>,
    /// Reads the source's password from stdin.
    #[arg(long, requires = "from_username")]
    pub from_password_stdin: bool,
    /// Certificate authorities of the source, in PEM, beside the system's.
    #[arg(long, value_name = "FILE")]
    pub from_ca: Option<PathBuf>,
    /// Speaks to the source without TLS. At localhost that is tried anyway.
    #[arg(long)]
    pub from_plain_http: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Import {
    /// Copies, and says on stdout what was done. Fails when one of the images did, after all others were copied.
    pub async fn run(mut self) -> Result<(), TransferError> {
        let environment = |name: &str| std::env::var(name).ok();
        let progress = Progress::new();
        let patterns = TagPatterns::new(std::mem::take(&mut self.tags));
        if matches!(self.to.reference, Some(Reference::Digest(_))) {
            return Err(TransferError::Usage(
                "--to names a repository or a tag: a digest follows from its content".to_owned(),
            ));
        }
        let places = self.sources.iter().map(|text| Place::parse(text)).collect::<Result<Vec<_>, _>>()?;
        // Our side.
        let client = self.server.client(&environment)?;
        self.to.refuse_host(client.endpoint()).map_err(|reason| TransferError::Usage(format!("--to: {reason}")))?;
        let our_key = client.access_key_id().to_owned();
        let exists = self.find_repository(&client).await?;
        // The other side.
        let mut logins = SourceLogins::new(&self, &places, our_key)?;
        let (mut sources, mut wanted) = (Vec::new(), Vec::new());
        for (place, chosen) in &places {
            let source = match place {
                Place::Registry(remote) => Source::Registry(Box::new(self.registry(remote, &mut logins).await?)),
                Place::Layout(path) => Source::Files(Box::new(open_layout(path).await?)),
                Place::DockerArchive(path) => Source::Files(Box::new(docker_archive::open(path).await?)),
            };
            let at = sources.len();
            wanted.extend(match (&source, place) {
                (Source::Registry(registry), Place::Registry(remote)) => {
                    plan::of_registry(registry, at, remote.reference.as_ref(), &patterns).await?
                }
                (Source::Files(files), _) => plan::of_file(files.chosen(chosen.as_deref())?, at, &patterns, &progress),
                (Source::Registry(_), _) => Vec::new(),
            });
            sources.push(source);
        }
        self.rename(&mut wanted, &sources)?;
        plan::without_conflicts(&wanted)?;
        // Nothing is made on our side before there is something to bring.
        if !exists {
            client.call_ecr::<Value>("CreateRepository", &json!({ "repositoryName": self.to.name.as_str() })).await?;
        }
        let target = format!("{}{}", client.endpoint(), self.to.name);
        let notes = UploadNotes::new(&environment, target);
        let ours = our_registry(client, &self.to);
        let sink = Sink::Ours(Box::new(OurSink::new(ours, notes, &progress).await?));
        let mut copier = Copier::new(&sink, &progress);
        set_times(&mut copier, &sink, &sources, &mut wanted, &progress).await?;
        plan::oldest_first(&mut wanted);
        // Where every tag comes along, cosign's do too.
        let companions: Vec<bool> = places
            .iter()
            .map(|(place, chosen)| {
                let whole = matches!(place, Place::Registry(RemoteRepository { reference: None, .. }))
                    || !matches!(place, Place::Registry(_)) && chosen.is_none();
                !(whole && patterns.is_empty())
            })
            .collect();
        let done = copy_all(&mut copier, &sources, &wanted, &companions, &progress).await;
        let moved = progress.moved_in_all();
        let (counts, unchanged) = done?;
        progress.line(&format!(
            "{} in {}: {} new or moved, {} there before; {} copied ({} sent), {} mounted",
            plan::summary(&wanted),
            self.to.name,
            wanted.len() - unchanged,
            unchanged,
            counted(counts.copied, "blob"),
            bytes(moved),
            counts.mounted,
        ));
        Ok(())
    }

    /// Returns false if the repository does not exist and is to be made.
    async fn find_repository(&self, client: &Client) -> Result<bool, TransferError> {
        let name = self.to.name.as_str();
        let found: Result<Value, ClientError> =
            client.call_ecr("DescribeRepositories", &json!({ "repositoryNames": [name] })).await;
        match found {
            Ok(_) => Ok(true),
            Err(ClientError::Refused { name: error, .. }) if error.ends_with("RepositoryNotFoundException") => {
                if self.create {
                    return Ok(false);
                }
                Err(TransferError::Usage(format!(
                    "the repository {name} does not exist: make it with `aws ecr create-repository --repository-name {name}`, or import with --create"
                )))
            }
            // Someone who may push need not be allowed to describe; the push itself tells.
            Err(ClientError::Refused { name: error, .. }) if error.ends_with("AccessDeniedException") => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the one image the tag that `--to` names.
    fn rename(&self, wanted: &mut Vec<Wanted>, sources: &[Source]) -> Result<(), TransferError> {
        if let [source] = sources
            && wanted.is_empty()
        {
            let what = "image that was asked for".to_owned();
            return Err(TransferError::Missing { from: source.display(), what });
        }
        let Some(tag) = self.to.tag() else { return Ok(()) };
        // One image may have several names.
        wanted.dedup_by_key(|image| (image.source, image.digest));
        match wanted.as_mut_slice() {
            [one] => {
                one.tag = Some(tag.clone());
                Ok(())
            }
            several => Err(TransferError::Usage(format!(
                "--to {}:{tag} names one image, and the source has {}: choose one, or leave the tag out",
                self.to.name,
                several.len()
            ))),
        }
    }

    async fn registry(&self, remote: &RemoteRepository, logins: &mut SourceLogins) -> Result<Registry, TransferError> {
        let authorities = self.from_ca.clone().map_or(Authorities::System, Authorities::SystemAnd);
        let host = remote.api_host();
        let login = logins.of(&remote.host, &authorities).await?;
        let scheme = match self.from_plain_http {
            true => "http",
            false if is_loopback(host) => loopback_scheme(host, &authorities).await?,
            false => "https",
        };
        let base = format!("{scheme}://{host}/").parse();
        let base = base.map_err(|_| TransferError::Usage(format!("'{host}' is not a host")))?;
        Ok(Registry::new(base, remote.host.clone(), remote.name.clone(), login, authorities))
    }
}

/// What opens the sources. Nothing of our side is in it.
struct SourceLogins {
    profile: Option<String>,
    password: Option<SourceCredentials>,
    docker: Option<PathBuf>,
    credentials_file: Option<PathBuf>,
    our_key: String,
}

impl SourceLogins {
    fn new(
        import: &Import,
        places: &[(Place, Option<String>)],
        our_key: String,
    ) -> Result<SourceLogins, TransferError> {
        let hosts: HashSet<&str> = places
            .iter()
            .filter_map(|(place, _)| match place {
                Place::Registry(remote) => Some(remote.host.as_str()),
                Place::Layout(_) | Place::DockerArchive(_) => None,
            })
            .collect();
        let given = import.from_profile.is_some() || import.from_username.is_some();
        if given && hosts.len() != 1 {
            let text = "credentials are given for one registry: import from one host at a time";
            return Err(TransferError::Usage(text.to_owned()));
        }
        let environment = |name: &str| std::env::var(name).ok();
        let password = match &import.from_username {
            Some(user) => Some(SourceCredentials::Password { user: user.clone(), secret: password()? }),
            None => None,
        };
        Ok(SourceLogins {
            profile: import.from_profile.clone(),
            password,
            docker: docker_config::path(&environment),
            credentials_file: credentials::file(&environment),
            our_key,
        })
    }

    /// The one way into a registry that its user chose, or what docker's configuration has for it.
    async fn of(&mut self, host: &str, authorities: &Authorities) -> Result<Login, TransferError> {
        if let Some(profile) = &self.profile {
            return self.of_profile(profile, host, authorities);
        }
        if let Some(password) = &self.password {
            return Ok(Login::docker(Some(password.clone())));
        }
        match &self.docker {
            Some(path) => Ok(Login::docker(docker_config::find(path, host).await?)),
            None => Ok(Login::docker(None)),
        }
    }

    fn of_profile(&self, profile: &str, host: &str, authorities: &Authorities) -> Result<Login, TransferError> {
        let ecr = EcrHost::parse(host).ok_or_else(|| {
            TransferError::Usage(format!(
                "--from-profile opens registries of Amazon ECR, and {host} is none: they are named ACCOUNT.dkr.ecr.REGION.amazonaws.com"
            ))
        })?;
        let path = self.credentials_file.as_ref().ok_or_else(|| {
            TransferError::Usage("--from-profile reads ~/.aws/credentials, and there is no HOME".to_owned())
        })?;
        let keys = credentials::of_profile(path, profile)?;
        if keys.access_key_id == self.our_key {
            return Err(TransferError::Usage(format!(
                "the profile '{profile}' in {} has the keys of our own side, which never go to another registry",
                path.display()
            )));
        }
        Ok(Login::ecr(Client::at(ecr.api, ecr.region, keys, authorities.clone())))
    }
}

fn password() -> Result<Zeroizing<String>, TransferError> {
    let mut text = Zeroizing::new(String::new());
    let stdin = std::io::stdin().lock();
    stdin.take(MAX_PASSWORD_BYTES).read_to_string(&mut text).map_err(TransferError::io(Path::new("stdin")))?;
    let trimmed = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    match trimmed.is_empty() {
        true => Err(TransferError::Usage("there is no password on stdin".to_owned())),
        false => Ok(trimmed),
    }
}

/// A repository of our server.
pub fn our_registry(client: Client, repository: &OurRepository) -> Registry {
    let base = client.endpoint().clone();
    let host = base.authority().map(ToString::to_string).unwrap_or_default();
    let authorities = client.authorities().clone();
    Registry::new(base, host, repository.name.to_string(), Login::ecr(client), authorities)
}

async fn open_layout(path: &Path) -> Result<super::files::FileSource, TransferError> {
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || layout::open(Files::open(&owned)?));
    opened.await.map_err(|_| TransferError::archive(path, "reading it was cut off"))?
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What a registry at localhost speaks: plain HTTP only where what answers a TLS handshake is no TLS.
async fn loopback_scheme(host: &str, authorities: &Authorities) -> Result<&'static str, TransferError> {
    let uri: Uri =
        format!("https://{host}/v2/").parse().map_err(|_| TransferError::Usage(format!("'{host}' is not a host")))?;
    let request = Request::builder().uri(uri).body(agent::whole(""));
    let request = request.map_err(|error| TransferError::Usage(error.to_string()))?;
    match Agent::new(authorities.clone()).send(request).await {
        Ok(_) => Ok("https"),
        Err(OutboundError::Handshake { source, .. }) => {
            let tls = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
            match tls {
                // A certificate that is not trusted is no reason to go on without one.
                Some(rustls::Error::InvalidMessage(_)) | None => Ok("http"),
                Some(_) => Err(OutboundError::Handshake { uri: Uri::default(), source }.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Says when each image that has to be pushed was pushed to its source, else when it was made.
async fn set_times(
    copier: &mut Copier<'_>,
    sink: &Sink,
    sources: &[Source],
    wanted: &mut [Wanted],
    progress: &Progress,
) -> Result<(), TransferError> {
    if wanted.len() < 2 {
        return Ok(());
    }
    let mut pushed = Vec::new();
    for source in sources {
        pushed.push(match source {
            Source::Registry(registry) => match plan::pushed_times(registry).await {
                Ok(times) => times,
                Err(TransferError::Client(ClientError::Refused { name, message })) => {
                    progress
                        .warn(&format!("images are ordered by when they were made: DescribeImages: {name}: {message}"));
                    Default::default()
                }
                Err(error) => return Err(error),
            },
            Source::Files(_) => Default::default(),
        });
    }
    for image in wanted {
        let role = image.tag.as_ref().map_or(super::sink::Role::Untagged, super::sink::Role::Tagged);
        // Its place in the order is of no matter.
        if sink.holds(&image.digest, role).await? {
            continue;
        }
        let Some(source) = sources.get(image.source) else { continue };
        image.at = match pushed.get(image.source).and_then(|times| times.get(&image.digest)) {
            Some(at) => Some(*at),
            None => match copier.created(source, &image.digest).await {
                Ok(at) => at,
                // Its copy says what is wrong with it.
                Err(error) if error.is_of_one_image() => None,
                Err(error) => return Err(error),
            },
        };
    }
    Ok(())
}

/// Copies one image after the other and says what became of each. Returns the sums, and how many were there before.
pub async fn copy_all(
    copier: &mut Copier<'_>,
    sources: &[Source],
    wanted: &[Wanted],
    companions: &[bool],
    progress: &Progress,
) -> Result<(Counts, usize), TransferError> {
    let (mut sum, mut unchanged, mut failed) = (Counts::default(), 0, 0);
    for (at, image) in wanted.iter().enumerate() {
        let Some(source) = sources.get(image.source) else { continue };
        // Copy one image. A failure that concerns it alone does not stop the others.
        let label = format!("{}/{} {}", at + 1, wanted.len(), image.display());
        let with_companions = companions.get(image.source).copied().unwrap_or_default();
        match copier.image(source, image, &label, with_companions).await {
            Ok(counts) => {
                unchanged += usize::from(counts.manifests == 0);
                sum.add(counts);
                progress.line(&format!("{label}: {} ({})", counts.display(), image.digest));
            }
            Err(error) if error.is_of_one_image() => {
                failed += 1;
                progress.warn(&format!("{label}: {}", kernel::ErrorChain(&error)));
            }
            Err(error) => {
                progress.end();
                return Err(error);
            }
        }
    }
    progress.end();
    match failed {
        0 => Ok((sum, unchanged)),
        failed => Err(TransferError::Some { failed, total: wanted.len() }),
    }
}
