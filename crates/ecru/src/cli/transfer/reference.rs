//! What `ecru import` reads from and what `ecru export` writes to, as the command line names them.

use super::TransferError;
use http::Uri;
use oci::{Reference, RepositoryName, Tag};
use std::path::{Path, PathBuf};

/// A place that images come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `docker-archive:FILE`
    DockerArchive(PathBuf),
    /// `oci:DIR`
    Layout(PathBuf),
    /// `HOST/REPO[:TAG|@DIGEST]`
    Registry(RemoteRepository),
}

/// A repository of another registry, and which of its images is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRepository {
    /// The host and port as they were written: the key of docker's configuration.
    pub host: String,
    /// The repository's path, which is not bound to ECR's grammar.
    pub name: String,
    /// `None` for all tags.
    pub reference: Option<Reference>,
}

/// Docker Hub: as it is written, and the host of its registry.
const HUB: &str = "docker.io";
const HUB_REGISTRY: &str = "registry-1.docker.io";

impl RemoteRepository {
    /// Where the registry's API is: Docker Hub's is at another host than its images are named by.
    pub fn api_host(&self) -> &str {
        if self.host == HUB { HUB_REGISTRY } else { &self.host }
    }
}

impl Place {
    /// Reads a source as the command line names it. The second value is the image that is chosen in a file, such as `:v1` behind it.
    pub fn parse(text: &str) -> Result<(Place, Option<String>), TransferError> {
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (path, chosen) = split_file(rest);
            return Ok((Place::DockerArchive(path), chosen));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, chosen) = split_file(rest);
            return Ok((Place::Layout(path), chosen));
        }
        Ok((Place::Registry(remote(text)?), None))
    }
}

/// A path, or a path with an image behind a colon where there is no file of the whole name.
fn split_file(text: &str) -> (PathBuf, Option<String>) {
    if !Path::new(text).exists() {
        // The image may hold colons of its own; the path is what exists.
        for (at, _) in text.match_indices(':') {
            if Path::new(&text[..at]).exists() {
                return (PathBuf::from(&text[..at]), Some(text[at + 1..].to_owned()));
            }
        }
    }
    (PathBuf::from(text), None)
}

fn remote(text: &str) -> Result<RemoteRepository, TransferError> {
    let usage = |reason: &str| {
        let shapes = "docker-archive:FILE, oci:DIR or HOST/REPOSITORY[:TAG|@DIGEST]";
        TransferError::Usage(format!("'{text}' is not a source: {reason}. A source is {shapes}"))
    };
    if text.contains("://") {
        return Err(usage("a registry is named without a scheme"));
    }
    // Text that looks like a path means a file.
    if text.starts_with(['.', '/', '~']) || Path::new(text).exists() {
        let is_archive = Path::new(text).is_file() || text.contains(".tar");
        let kind = if is_archive { "docker-archive" } else { "oci" };
        return Err(usage(&format!("for a file or directory write {kind}:{text}")));
    }
    let (host, path) = text.split_once('/').unwrap_or(("", text));
    // As docker tells a host from a path.
    if host.is_empty() || !(host.contains(['.', ':']) || host == "localhost") {
        return Err(usage("it names no host (images of Docker Hub are docker.io/library/NAME)"));
    }
    if host.contains('@') || format!("https://{host}/").parse::<Uri>().is_err() {
        return Err(usage("its host can't be read"));
    }
    let (name, reference) = match path.split_once('@') {
        Some((name, digest)) if digest.contains(':') => (without_tag(name), Some(digest)),
        Some(_) => return Err(usage("a digest such as sha256:… stands behind @")),
        None => match path.rsplit_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        },
    };
    let reference = reference.map(str::parse).transpose().map_err(|_| usage("it has no valid tag or digest"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let component = |part: &str| !part.is_empty() && part.chars().all(plain) && part != "." && part != "..";
    if !name.split('/').all(component) {
        return Err(usage("its repository can't be read"));
    }
    let name = match (host, name.contains('/')) {
        (HUB, false) => format!("library/{name}"),
        _ => name.to_owned(),
    };
    Ok(RemoteRepository { host: host.to_owned(), name, reference })
}

/// `app` of `app:v1`, which stands before a digest.
fn without_tag(name: &str) -> &str {
    name.split_once(':').map_or(name, |(name, _)| name)
}

/// A repository of ours, and perhaps one of its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OurRepository {
    pub name: RepositoryName,
    pub reference: Option<Reference>,
}

impl OurRepository {
    /// Reads `REPO`, `REPO:TAG` or `REPO@DIGEST`.
    pub fn parse(text: &str) -> Result<OurRepository, String> {
        if let Some((host, name)) = text.split_once('/')
            && host.contains(':')
        {
            return Err(with_a_host(name));
        }
        let (name, reference) = match (text.split_once('@'), text.split_once(':')) {
            (Some((name, digest)), _) => (without_tag(name), Some(digest)),
            (None, Some((name, tag))) => (name, Some(tag)),
            (None, None) => (text, None),
        };
        let name = name.parse().map_err(|error: oci::InvalidName| error.to_string())?;
        let reference = reference.map(str::parse).transpose().map_err(|error: oci::InvalidTag| error.to_string())?;
        Ok(OurRepository { name, reference })
    }

    /// Refuses a name that begins with the host of the server that is asked, such as `registry.example.com/app`.
    pub fn refuse_host(&self, server: &Uri) -> Result<(), String> {
        match self.name.as_str().split_once('/') {
            Some((host, name)) if server.host() == Some(host) => Err(with_a_host(name)),
            _ => Ok(()),
        }
    }

    /// The tag, where it names one.
    pub fn tag(&self) -> Option<&Tag> {
        match &self.reference {
            Some(Reference::Tag(tag)) => Some(tag),
            _ => None,
        }
    }
}

fn with_a_host(name: &str) -> String {
    format!(
        "it names the repository without a host: write {name}; --endpoint-url, --data or AWS_ENDPOINT_URL says which server"
    )
}

/// The tag of an image's name as tools write it into files: `v1`, `app:v1` or `docker.io/library/app:v1`.
pub fn tag_of(name: &str) -> Option<Tag> {
    let behind_path = name.rsplit('/').next().unwrap_or(name);
    behind_path.rsplit(':').next().unwrap_or(behind_path).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RemoteRepository {
        match Place::parse(text) {
            Ok((Place::Registry(remote), None)) => remote,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_registrys_repository_is_named_as_docker_names_it() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, host, api, name, reference) in [
            ("docker.io/nginx:1.27", "docker.io", "registry-1.docker.io", "library/nginx", Some("1.27".to_owned())),
            ("docker.io/grafana/grafana", "docker.io", "registry-1.docker.io", "grafana/grafana", None),
            ("localhost:5000/a/b", "localhost:5000", "localhost:5000", "a/b", None),
            ("ghcr.io/o/app:v1", "ghcr.io", "ghcr.io", "o/app", Some("v1".to_owned())),
            (&format!("r.example:443/app@{digest}"), "r.example:443", "r.example:443", "app", Some(digest.clone())),
            (&format!("r.example/app:v1@{digest}"), "r.example", "r.example", "app", Some(digest.clone())),
            ("[::1]:5000/app", "[::1]:5000", "[::1]:5000", "app", None),
        ] {
            let remote = read(text);
            assert_eq!((remote.host.as_str(), remote.api_host(), remote.name.as_str()), (host, api, name), "{text}");
            assert_eq!(remote.reference.map(|reference| reference.to_string()), reference, "{text}");
        }
    }

    #[test]
    fn what_is_no_source_says_what_one_is() {
        for text in [
            "nginx",
            "library/nginx:1",
            "https://ghcr.io/a",
            "ghcr.io/",
            "ghcr.io/a:b c",
            "ghcr.io/a@v1",
            "ghcr.io/../a",
            "user@ghcr.io/a",
            "ghcr.io/a?x=1",
            "ghcr.io/a/%2e%2e/b",
            "",
        ] {
            let error = Place::parse(text).unwrap_err().to_string();
            assert!(error.contains("HOST/REPOSITORY[:TAG|@DIGEST]"), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_may_have_an_image_behind_a_colon() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a:b.tar");
        std::fs::write(&path, "").unwrap();
        let text = path.display().to_string();
        for (suffix, chosen) in [("", None), (":app:v1", Some("app:v1".to_owned()))] {
            let place = Place::parse(&format!("docker-archive:{text}{suffix}")).unwrap();
            assert_eq!(place, (Place::DockerArchive(path.clone()), chosen));
        }
        assert_eq!(Place::parse("oci:nothing/there").unwrap(), (Place::Layout("nothing/there".into()), None));
    }

    #[test]
    fn a_repository_of_ours_has_no_host() {
        assert_eq!(OurRepository::parse("team/app:v1").unwrap().tag().unwrap().as_str(), "v1");
        assert_eq!(OurRepository::parse("team/app").unwrap().reference, None);
        assert!(OurRepository::parse(&format!("app@sha256:{}", "a".repeat(64))).unwrap().tag().is_none());
        let said = OurRepository::parse("localhost:5050/team/app:v1").unwrap_err();
        assert!(said.starts_with("it names the repository without a host: write team/app:v1;"), "{said}");
        let server = Uri::from_static("https://registry.example.com/");
        for (name, is_fine) in
            [("registry.example.com/app", false), ("my.team/app", true), ("registry.example.com", true)]
        {
            assert_eq!(OurRepository::parse(name).unwrap().refuse_host(&server).is_ok(), is_fine, "{name}");
        }
    }

    #[test]
    fn a_path_without_its_kind_is_refused_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("app.tar");
        std::fs::write(&file, "").unwrap();
        for (text, cure) in [
            ("./layout".to_owned(), "write oci:./layout".to_owned()),
            ("/none/app.tar.gz".to_owned(), "write docker-archive:/none/app.tar.gz".to_owned()),
            (file.display().to_string(), format!("write docker-archive:{}", file.display())),
        ] {
            let said = Place::parse(&text).unwrap_err().to_string();
            assert!(said.contains(&cure), "{said}");
        }
    }

    #[test]
    fn a_tag_is_found_in_the_names_that_tools_write() {
        for (name, tag) in [
            ("v1", Some("v1")),
            ("docker.io/library/app:v1", Some("v1")),
            ("localhost:5000/app:v2", Some("v2")),
            ("a b", None),
        ] {
            assert_eq!(tag_of(name).as_ref().map(Tag::as_str), tag, "{name}");
        }
    }
}
