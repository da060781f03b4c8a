//! Prints commands that make clients trust a private authority; `docs/tls.md` explains them.

use crate::cli::shell::word;
use crate::config::{DEFAULT_PORT, DEFAULT_REGION};
use aws::{AccountId, Region};
use listen::addresses::Domain;
use listen::tls::issue::Name;
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;

/// The written files, and the names by which clients reach the server.
pub struct Trust<'a> {
    pub ca: &'a Path,
    pub certificate: &'a Path,
    pub key: &'a Path,
    pub domain: Option<&'a Domain>,
    /// At least one region.
    pub regions: &'a [Region],
    pub name: Option<&'a Name>,
}

impl Trust<'_> {
    pub fn write(&self, text: &mut String) -> std::fmt::Result {
        let ca = word(&self.ca.display().to_string());
        let registry = self.registry();
        let system = "/etc/ssl/certs/ca-certificates.crt";
        // How to serve with the certificate.
        writeln!(text, "\nServe with it; a running server takes a renewed certificate by itself:")?;
        writeln!(text, "  {}", self.serve_command())?;
        if let Some(domain) = self.domain {
            writeln!(text, "  (in DNS or /etc/hosts, the names under {domain} must lead to this machine)")?;
        }
        // How each client trusts the authority, the most common clients first.
        writeln!(text, "\nOn every machine whose clients should trust it, with {ca} copied there:")?;
        writeln!(text, "docker (no restart needed):")?;
        writeln!(text, "  {}", install(&ca, "/etc/docker", &registry))?;
        writeln!(text, "podman, buildah and skopeo (without root: ~/.config/containers instead of /etc/containers):")?;
        writeln!(text, "  {}", install(&ca, "/etc/containers", &registry))?;
        writeln!(
            text,
            "containerd, with config_path = \"/etc/containerd/certs.d\" in its configuration (ctr: --hosts-dir):"
        )?;
        writeln!(text, "  {}", install(&ca, "/etc/containerd", &registry))?;
        writeln!(text, "  {}", hosts_toml(&registry))?;
        writeln!(text, "the AWS CLI and boto3:")?;
        writeln!(text, "  export AWS_CA_BUNDLE={ca}")?;
        if self.domain.is_none() {
            writeln!(text, "  export AWS_ENDPOINT_URL={}", word(&format!("https://{registry}")))?;
        }
        let go = "crane, oras, helm, cosign, docker-credential-ecr-login";
        writeln!(text, "Go programs ({go}; SSL_CERT_FILE replaces the system's authorities):")?;
        writeln!(text, "  cat {system} {ca} > ca-bundle.pem && export SSL_CERT_FILE=$PWD/ca-bundle.pem")?;
        writeln!(text, "curl:")?;
        writeln!(text, "  curl --cacert {ca} {}", word(&format!("https://{registry}/livez")))?;
        writeln!(text, "everything on Debian or Ubuntu at once:")?;
        writeln!(
            text,
            "  sudo install -m 0644 {ca} /usr/local/share/ca-certificates/ecru.crt && sudo update-ca-certificates"
        )
    }

    /// Returns the host of image names, with the port if it is not the default.
    fn registry(&self) -> String {
        match (self.domain, self.name) {
            (Some(domain), _) => {
                let (region, domain) = match self.regions.first() {
                    Some(region) => (region.as_str(), domain.of(region).to_owned()),
                    None => (DEFAULT_REGION, domain.to_string()),
                };
                format!("{}.dkr.ecr.{region}.{domain}", AccountId::DEFAULT)
            }
            (None, Some(Name::Ip(IpAddr::V6(address)))) => format!("[{address}]:{DEFAULT_PORT}"),
            (None, Some(name)) => format!("{name}:{DEFAULT_PORT}"),
            (None, None) => format!("localhost:{DEFAULT_PORT}"),
        }
    }

    fn serve_command(&self) -> String {
        let (addresses, port) = match (self.domain, self.name) {
            (Some(_), _) => (["0.0.0.0", "[::]"], 443),
            (None, Some(_)) => (["0.0.0.0", "[::]"], DEFAULT_PORT),
            (None, None) => (["127.0.0.1", "[::1]"], DEFAULT_PORT),
        };
        let mut command = "ecru serve".to_owned();
        for address in addresses {
            command += &format!(" --listen {}", word(&format!("https://{address}:{port}")));
        }
        for (flag, file) in [("--tls-cert", self.certificate), ("--tls-key", self.key)] {
            command += &format!(" {flag} {}", word(&file.display().to_string()));
        }
        match (self.domain, self.name) {
            (Some(domain), _) => command += &format!(" --domain {domain}"),
            (None, Some(_)) => command += &format!(" --url {}", word(&format!("https://{}", self.registry()))),
            (None, None) => {}
        }
        let regions: Vec<_> = self.regions.iter().map(ToString::to_string).collect();
        if regions != [DEFAULT_REGION] {
            command += &format!(" --regions {}", regions.join(","));
        }
        command
    }
}

fn install(ca: &str, etc: &str, registry: &str) -> String {
    format!("sudo install -D -m 0644 {ca} {}", word(&format!("{etc}/certs.d/{registry}/ca.crt")))
}

/// Returns the hosts.toml that containerd needs in addition to the certificate.
fn hosts_toml(registry: &str) -> String {
    let directory = format!("/etc/containerd/certs.d/{registry}");
    let lines = [
        format!("server = \"https://{registry}\""),
        format!("[host.\"https://{registry}\"]"),
        format!("ca = \"{directory}/ca.crt\""),
    ];
    let lines: Vec<_> = lines.iter().map(|line| format!("'{line}'")).collect();
    format!("printf '%s\\n' {} | sudo tee {}", lines.join(" "), word(&format!("{directory}/hosts.toml")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_printed_stands_in_the_documentation() {
        let documentation = include_str!("../../../../../docs/tls.md");
        let trust = Trust {
            ca: Path::new("/etc/ecru-tls/ca.pem"),
            certificate: Path::new("server.pem"),
            key: Path::new("server-key.pem"),
            domain: None,
            regions: &["us-east-1".parse().unwrap()],
            name: Some(&"registry.example.com".parse().unwrap()),
        };
        let mut text = String::new();
        trust.write(&mut text).unwrap();
        let (_, commands) = text.split_once("copied there:").unwrap();
        let commands: Vec<_> = commands.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert!(commands.len() > 8, "{text}");
        for command in commands {
            assert!(documentation.contains(&format!("\n{command}\n")), "docs/tls.md lacks: {command}");
        }
    }
}
