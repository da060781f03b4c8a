//! The certificate settings of the https:// listeners: files, or an ACME authority.

use super::{ListenAddress, SettingsError};
use listen::addresses::Scheme;
use listen::tls::{AcmeSettings, Files};
use std::path::PathBuf;

/// The ACME directory of Let's Encrypt, which every client trusts.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The source of the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    Files(Files),
    Acme(AcmeSettings),
}

/// The settings of both kinds, merged from all sources.
pub struct CertificateSettings {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub domains: Option<Vec<String>>,
    pub contact: Option<String>,
    pub directory: Option<String>,
    pub authorities: Option<PathBuf>,
}

/// Returns the certificate setting. It is required if a listener is https://, and refused if none is.
pub fn certificate<'a>(
    given: CertificateSettings,
    mut listeners: impl Iterator<Item = &'a ListenAddress>,
) -> Result<Option<Certificate>, SettingsError> {
    let secure = listeners.find(|address| address.scheme == Scheme::Https).copied();
    let files = match (given.certificate, given.key) {
        (Some(certificate), Some(key)) => Some(Files { certificate, key }),
        (None, None) => None,
        _ => return Err(SettingsError::HalfCertificate),
    };
    let acme = match given.domains {
        Some(domains) => Some(AcmeSettings {
            domains: proven(domains)?,
            contact: given.contact.map(mailto),
            directory: given.directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
            authorities: given.authorities,
        }),
        None if given.contact.is_some() || given.directory.is_some() || given.authorities.is_some() => {
            return Err(SettingsError::NoAcmeDomains);
        }
        None => None,
    };
    match (files, acme, secure) {
        (Some(_), Some(_), _) => Err(SettingsError::TwoCertificates),
        (Some(files), None, Some(_)) => Ok(Some(Certificate::Files(files))),
        (None, Some(acme), Some(_)) => Ok(Some(Certificate::Acme(acme))),
        (Some(_), None, None) => Err(SettingsError::NoTlsListener("tls_cert")),
        (None, Some(_), None) => Err(SettingsError::NoTlsListener("acme_domains")),
        (None, None, Some(address)) => Err(SettingsError::NoCertificate(address)),
        (None, None, None) => Ok(None),
    }
}

/// Checks that TLS-ALPN-01 can prove the names and that this build supports it.
fn proven(domains: Vec<String>) -> Result<Vec<String>, SettingsError> {
    if !cfg!(feature = "acme") {
        return Err(SettingsError::NoAcme);
    }
    if domains.is_empty() {
        return Err(SettingsError::NoAcmeDomains);
    }
    match domains.iter().find(|domain| domain.contains('*')) {
        Some(wildcard) => Err(SettingsError::AcmeWildcard(wildcard.clone())),
        None => Ok(domains.iter().map(|domain| domain.to_ascii_lowercase()).collect()),
    }
}

/// Converts an e-mail address to the URL that the authority expects.
fn mailto(contact: String) -> String {
    if contact.contains(':') { contact } else { format!("mailto:{contact}") }
}
