//! `ecru tls init`: a private certificate authority, and the server's certificate from it.

use super::names::{LOCALHOST, Wanted, host_name};
use super::trust::Trust;
use crate::config::DEFAULT_REGION;
use aws::Region;
use kernel::clock::Time;
use listen::addresses::Domain;
use listen::tls::issue::{self, IssueError, Issued, Name};
use listen::whole_file;
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The authority's certificate.
pub const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const SERVER: &str = "server.pem";
const SERVER_KEY: &str = "server-key.pem";
/// File modes: everybody may read certificates, only the owner keys.
const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o755;

/// Makes a private certificate authority and this server's certificate, and says how clients come to trust it.
///
/// Run again, it keeps the authority and renews the certificate, for the names that it had and those that are asked for.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// Where the files are, or will be.
    #[arg(long, value_name = "DIR", default_value = "./ecru-tls")]
    pub dir: PathBuf,
    /// A domain under which registries have names as on AWS, as `ecru serve --domain` has it; several times or with commas.
    #[arg(long = "domain", value_name = "DOMAIN", value_delimiter = ',')]
    pub domains: Vec<Domain>,
    /// A region whose registries' names are covered; several times or with commas.
    #[arg(long = "region", value_name = "REGION", value_delimiter = ',', default_value = DEFAULT_REGION)]
    pub regions: Vec<Region>,
    /// One more name or address of this server; several times or with commas.
    #[arg(long = "name", value_name = "NAME-OR-IP", value_delimiter = ',')]
    pub names: Vec<Name>,
    /// A name or address that the certificate before was for and the new one is not; several times or with commas.
    #[arg(long = "drop", value_name = "NAME-OR-IP", value_delimiter = ',')]
    pub dropped: Vec<Name>,
}

/// Why no certificate was made or renewed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("{} is there without {}: bring both, or name another directory with --dir", there.display(), missing.display())]
    HalfAuthority { there: PathBuf, missing: PathBuf },
    #[error("{} holds a {SERVER} that no authority here made; name another directory with --dir", .0.display())]
    Foreign(PathBuf),
    #[error("the authority in {} can't sign: move {CA} and {CA_KEY} away to make a new one, which every client has to trust anew", path.display())]
    Authority { path: PathBuf, source: IssueError },
    #[error("the certificate can't be made")]
    Issue(#[from] IssueError),
    #[error("{0} can't be dropped: every certificate is for it, or it is asked for by --name, --domain or --region")]
    Wanted(Name),
    #[error("this machine's addresses can't be found")]
    Addresses(#[source] io::Error),
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

impl Init {
    /// Writes the files, and returns the report about them.
    pub fn run(self, now: Time) -> Result<String, InitError> {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(&self.dir)
            .map_err(io_error("making the directory", &self.dir))?;
        let dir = self.dir.canonicalize().map_err(io_error("opening the directory", &self.dir))?;
        let wanted = Wanted { domains: &self.domains, regions: &self.regions, names: &self.names };
        let mut names = wanted.all().map_err(InitError::Addresses)?;
        if let Some(name) = self.dropped.iter().find(|name| names.contains(name)) {
            return Err(InitError::Wanted(name.clone()));
        }
        let kept = kept_authority(&dir)?;
        let is_kept = kept.is_some();
        let before = read(&dir.join(SERVER))?.map(|text| issue::names(&text)).unwrap_or_default();
        // Keep the previous certificate's names: a running server loads the new one at once, and its clients use those names.
        let more: Vec<Name> =
            before.iter().filter(|name| !names.contains(name) && !self.dropped.contains(name)).cloned().collect();
        names.extend(more.iter().cloned());
        names.sort();
        let authority = match kept {
            Some(authority) => authority,
            None => issue::authority(&host_name(), now)?,
        };
        let server = issue::server(&authority, &names, now).map_err(|source| match is_kept {
            true => InitError::Authority { path: dir.clone(), source },
            false => InitError::Issue(source),
        })?;
        if !is_kept {
            write_whole(&dir, CA_KEY, &authority.key, KEY_MODE)?;
            write_whole(&dir, CA, &authority.certificate, CERTIFICATE_MODE)?;
        }
        write_whole(&dir, SERVER_KEY, &server.key, KEY_MODE)?;
        write_whole(&dir, SERVER, &server.certificate, CERTIFICATE_MODE)?;
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = self.report(&mut text, &dir, is_kept, &names, &before, &more);
        Ok(text)
    }

    /// Writes the report. `more` are the names that only the previous certificate had.
    fn report(
        &self,
        text: &mut String,
        dir: &Path,
        kept: bool,
        names: &[Name],
        before: &[Name],
        more: &[Name],
    ) -> std::fmt::Result {
        // Name the files.
        let authority = if kept { "kept" } else { "new; keep its key to yourself" };
        let server = if before.is_empty() { "new" } else { "renewed" };
        let days = issue::SERVER_LIFE.as_secs() / 86_400;
        writeln!(text, "In {}:", dir.display())?;
        writeln!(text, "  {CA}, {CA_KEY}          the authority ({authority})")?;
        writeln!(
            text,
            "  {SERVER}, {SERVER_KEY}  this server's certificate ({server}; {days} days, run this again before)"
        )?;
        // List the names, and how they differ from those of the previous certificate.
        writeln!(text, "\nThe certificate is for:")?;
        for name in names {
            writeln!(text, "  {name}")?;
        }
        if !more.is_empty() {
            let more: Vec<_> = more.iter().map(ToString::to_string).collect();
            writeln!(text, "Kept from the one before: {} (--drop NAME ends that).", more.join(", "))?;
        }
        let lost: Vec<_> = before.iter().filter(|name| !names.contains(name)).map(ToString::to_string).collect();
        if !lost.is_empty() {
            writeln!(text, "Dropped: {}.", lost.join(", "))?;
        }
        // Say how to use the files, with the names that were given, else with names that were kept.
        let kept_domain = more.iter().find_map(domain_of);
        let kept_name = more.iter().find(|name| !is_service(name));
        let trust = Trust {
            ca: &dir.join(CA),
            certificate: &dir.join(SERVER),
            key: &dir.join(SERVER_KEY),
            domain: self.domains.first().or(kept_domain.as_ref()),
            regions: &self.regions,
            name: self.names.first().or(kept_name),
        };
        trust.write(text)
    }
}

/// Returns the registries' domain if the name is that of ECR Public within it.
fn domain_of(name: &Name) -> Option<Domain> {
    match name {
        Name::Dns(name) => name.strip_prefix("public.ecr.").filter(|domain| *domain != LOCALHOST)?.parse().ok(),
        Name::Ip(_) => None,
    }
}

/// Whether a name is a registry's or a service's, rather than a machine's.
fn is_service(name: &Name) -> bool {
    matches!(name, Name::Dns(name) if ["ecr.", "sts."].iter().any(|part| name.starts_with(part)) || name.contains(".ecr."))
}

/// Reads the existing authority; `None` if the directory has neither an authority nor a server certificate.
fn kept_authority(dir: &Path) -> Result<Option<Issued>, InitError> {
    let half =
        |there: &str, missing: &str| InitError::HalfAuthority { there: dir.join(there), missing: dir.join(missing) };
    match (read(&dir.join(CA))?, read(&dir.join(CA_KEY))?) {
        (Some(certificate), Some(key)) => Ok(Some(Issued { certificate: certificate.to_string(), key })),
        (Some(_), None) => Err(half(CA, CA_KEY)),
        (None, Some(_)) => Err(half(CA_KEY, CA)),
        (None, None) if dir.join(SERVER).exists() || dir.join(SERVER_KEY).exists() => {
            Err(InitError::Foreign(dir.to_owned()))
        }
        (None, None) => Ok(None),
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, InitError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InitError::Io { doing: "reading", path: path.to_owned(), source }),
    }
}

/// Replaces a file atomically and durably.
fn write_whole(dir: &Path, name: &str, text: &str, mode: u32) -> Result<(), InitError> {
    let path = dir.join(name);
    whole_file::write(&path, text.as_bytes(), mode).map_err(io_error("writing", &path))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InitError {
    move |source| InitError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: Time = Time(1_795_255_200_000_000);

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        init: Init,
    }

    fn names_of(directory: &Path) -> Vec<Name> {
        issue::names(&std::fs::read_to_string(directory.join(SERVER)).unwrap())
    }

    fn init(directory: &Path, flags: &[&str]) -> Result<String, InitError> {
        let directory = directory.display().to_string();
        let arguments = ["init", "--dir", &directory].into_iter().chain(flags.iter().copied());
        <Flags as clap::Parser>::try_parse_from(arguments).unwrap().init.run(NOW)
    }

    #[test]
    fn the_files_are_made_with_keys_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/tls");
        init(&path, &[]).unwrap();
        for (name, mode) in [(CA, 0o644), (CA_KEY, 0o600), (SERVER, 0o644), (SERVER_KEY, 0o600)] {
            let metadata = std::fs::metadata(path.join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
        }
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 4);
        let chain = std::fs::read_to_string(path.join(SERVER)).unwrap();
        assert!(chain.ends_with(&std::fs::read_to_string(path.join(CA)).unwrap()), "{chain}");
    }

    #[test]
    fn run_again_it_keeps_the_authority_and_the_names_and_renews_the_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let read = |name: &str| std::fs::read(path.join(name)).unwrap();
        let first = init(path, &["--name", "registry.corp"]).unwrap();
        assert!(first.contains("the authority (new;") && first.contains("certificate (new;"), "{first}");
        let before = [CA, CA_KEY, SERVER, SERVER_KEY].map(read);
        let second = init(path, &["--name", "registry.corp"]).unwrap();
        assert!(second.contains("the authority (kept)") && second.contains("certificate (renewed;"), "{second}");
        assert!(!second.contains("Kept from") && !second.contains("Dropped"), "{second}");
        let after = [CA, CA_KEY, SERVER, SERVER_KEY].map(read);
        assert_eq!(before[..2], after[..2]);
        assert!(before[2] != after[2] && before[3] != after[3]);
        let third = init(path, &[]).unwrap();
        assert!(third.contains("Kept from the one before: registry.corp (--drop NAME ends that).\n"), "{third}");
        // The recipes stay those of the name.
        assert!(third.contains("--url https://registry.corp:5050\n"), "{third}");
        assert!(names_of(path).contains(&"registry.corp".parse().unwrap()));
        let fourth = init(path, &["--drop", "registry.corp,never.there", "--name", "other.corp"]).unwrap();
        assert!(fourth.contains("Dropped: registry.corp.\n") && fourth.contains("https://other.corp:5050"), "{fourth}");
        assert!(!names_of(path).contains(&"registry.corp".parse().unwrap()));
        assert!(init(path, &[]).unwrap().contains("Kept from the one before: other.corp ("));
        for wanted in [&["--drop", "localhost"][..], &["--name", "other.corp", "--drop", "other.corp"]] {
            assert!(matches!(init(path, wanted), Err(InitError::Wanted(_))));
        }
    }

    #[test]
    fn the_names_of_a_domain_and_of_regions_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        init(directory.path(), &["--domain", "corp.example", "--region", "eu-west-1"]).unwrap();
        let again = init(directory.path(), &["--region", "eu-west-1"]).unwrap();
        assert!(again.contains("server-key.pem --domain corp.example --regions eu-west-1\n"), "{again}");
        for name in ["api.ecr.eu-west-1.corp.example", "public.ecr.corp.example"] {
            assert!(names_of(directory.path()).contains(&name.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn what_is_there_and_is_no_whole_authority_is_left_alone() {
        for (there, refused) in [
            (&[CA][..], "ca.pem is there without"),
            (&[CA_KEY], "ca-key.pem is there without"),
            (&[SERVER], "holds a server.pem that no authority here made"),
            (&[SERVER_KEY], "holds a server.pem that no authority here made"),
            (&[CA, CA_KEY], "can't sign: move ca.pem and ca-key.pem away"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            for name in there {
                std::fs::write(directory.path().join(name), "mine").unwrap();
            }
            let said = init(directory.path(), &[]).unwrap_err().to_string();
            assert!(said.contains(refused), "{said}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), there.len());
            for name in there {
                assert_eq!(std::fs::read(directory.path().join(name)).unwrap(), b"mine");
            }
        }
    }

    #[test]
    fn the_text_fits_the_names_that_were_asked_for() {
        for (flags, expected) in [
            (
                &[][..],
                [
                    "ecru serve --listen https://127.0.0.1:5050 --listen 'https://[::1]:5050' --tls-cert ",
                    "/etc/docker/certs.d/localhost:5050/ca.crt\n",
                    "export AWS_ENDPOINT_URL=https://localhost:5050\n",
                ],
            ),
            (
                &["--name", "registry.corp", "--name", "10.0.0.1", "--region", "eu-west-1,eu-west-2"],
                [
                    "ecru serve --listen https://0.0.0.0:5050 --listen 'https://[::]:5050' --tls-cert ",
                    "/etc/containers/certs.d/registry.corp:5050/ca.crt\n",
                    "server-key.pem --url https://registry.corp:5050 --regions eu-west-1,eu-west-2\n",
                ],
            ),
            (
                &["--name", "fd00::1"],
                [
                    "--url 'https://[fd00::1]:5050'\n",
                    "'/etc/docker/certs.d/[fd00::1]:5050/ca.crt'\n",
                    "export AWS_ENDPOINT_URL='https://[fd00::1]:5050'\n",
                ],
            ),
            (
                &["--domain", "amazonaws.com"],
                [
                    "ecru serve --listen https://0.0.0.0:443 --listen 'https://[::]:443' --tls-cert ",
                    "server-key.pem --domain amazonaws.com\n",
                    "/etc/containerd/certs.d/000000000000.dkr.ecr.us-east-1.amazonaws.com/hosts.toml\n",
                ],
            ),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let text = init(directory.path(), flags).unwrap();
            for line in expected {
                assert!(text.contains(line), "{line} is not in:\n{text}");
            }
            let ca = directory.path().canonicalize().unwrap().join(CA);
            assert!(text.contains(&format!("export AWS_CA_BUNDLE={}\n", ca.display())), "{text}");
            assert_eq!(text.contains("AWS_ENDPOINT_URL"), !flags.contains(&"--domain"));
        }
    }
}
