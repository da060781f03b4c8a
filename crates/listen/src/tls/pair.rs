//! A certificate and its private key, read from two files.

use kernel::clock::Time;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};
use zeroize::Zeroizing;

/// Maximum bytes of a file; a certificate chain has a few thousand.
const FILE_BYTES: u64 = 1024 * 1024;
/// How long before its expiry a certificate is warned about: a third of 90 days, when ACME clients renew.
pub const NEAR_EXPIRY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The permission bit that lets everybody read a file.
const WORLD_READABLE: u32 = 0o004;

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// PEM: the certificate, followed by its chain.
    pub certificate: PathBuf,
    /// PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
}

/// A certificate with its matching key, ready to be served.
pub struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// When it becomes valid.
    pub begins: Time,
    /// When it expires.
    pub expires: Time,
}

/// Why two files can't be served as a certificate. Messages never contain the key.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    #[error("{} can't be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is no PEM file", path.display())]
    Pem { path: PathBuf, source: PemError },
    #[error("{} holds no certificate (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key that is not encrypted (-----BEGIN PRIVATE KEY-----)", .0.display())]
    NoKey(PathBuf),
    #[error("the certificate in {} can't be understood", .0.display())]
    Certificate(PathBuf),
    #[error("the private key in {} can't be used", path.display())]
    Key { path: PathBuf, source: TlsError },
    #[error("the private key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
}

impl Pair {
    /// Reads both files and checks that they match.
    pub fn read(files: &Files, provider: &CryptoProvider) -> Result<Pair, PairError> {
        let Files { certificate, key } = files;
        let chain = read(certificate)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|source| PairError::Pem { path: certificate.clone(), source })?;
        let first = chain.first().ok_or_else(|| PairError::NoCertificate(certificate.clone()))?;
        let (begins, expires) = validity(first).ok_or_else(|| PairError::Certificate(certificate.clone()))?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| match error {
            PemError::NoItemsFound => PairError::NoKey(key.clone()),
            source => PairError::Pem { path: key.clone(), source },
        })?;
        let key = CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
            TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                PairError::Mismatch { certificate: certificate.clone(), key: key.clone() }
            }
            TlsError::InvalidCertificate(_) => PairError::Certificate(certificate.clone()),
            source => PairError::Key { path: key.clone(), source },
        })?;
        Ok(Pair { key: Arc::new(key), begins, expires })
    }

    /// Returns [`Pair::expires`] as text, such as `2027-11-21T10:00:00Z`.
    pub fn expires_text(&self) -> String {
        jiff::Timestamp::from_microsecond(self.expires.0).map(|time| time.to_string()).unwrap_or_default()
    }

    /// Logs warnings: about a certificate that has expired or will soon, and about a world-readable key.
    pub fn warn(&self, files: &Files, now: Time) {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        let expires = self.expires_text();
        if self.expires <= now {
            tracing::warn!(%certificate, expires, "The certificate has expired: clients refuse it");
        } else if self.expires <= now.plus(NEAR_EXPIRY) {
            tracing::warn!(%certificate, expires, "The certificate expires soon");
        }
        let mode = std::fs::metadata(&files.key).map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & WORLD_READABLE != 0) {
            tracing::warn!(%key, "Everybody on this machine can read the private key: chmod o-r {key}");
        }
    }
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Returns when a certificate becomes valid and when it expires.
fn validity(certificate: &CertificateDer<'_>) -> Option<(Time, Time)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let time = |time: ASN1Time| Time(time.timestamp().saturating_mul(1_000_000));
    Some((time(parsed.validity().not_before), time(parsed.validity().not_after)))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PairError> {
    let unreadable = |source| PairError::Unreadable { path: path.to_owned(), source };
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path).map_err(unreadable)?.take(FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::issue::{Name, SERVER_LIFE, authority, server};
    use crate::tls::provider;
    use kernel::ErrorChain;

    #[test]
    fn two_files_that_are_no_certificate_to_serve_are_refused_by_name() {
        let now = Time(1_795_255_200_000_000);
        let names = [Name::Dns("localhost".to_owned())];
        let ca = authority("test", now).unwrap();
        let (one, two) = (server(&ca, &names, now).unwrap(), server(&ca, &names, now).unwrap());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let garbage = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let no_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let torn = &one.certificate[..one.certificate.len() / 2 - 100];
        for (certificate, key, refused) in [
            (one.certificate.as_str(), one.key.as_str(), None),
            (&one.certificate, &two.key, Some("key.pem is not that of the certificate in")),
            (&one.key, &one.key, Some("cert.pem holds no certificate")),
            ("", &one.key, Some("cert.pem holds no certificate")),
            (garbage, &one.key, Some("the certificate in")),
            (torn, &one.key, Some("cert.pem is no PEM file")),
            (&one.certificate, "", Some("key.pem holds no private key")),
            (&one.certificate, &one.certificate, Some("key.pem holds no private key")),
            (&one.certificate, encrypted, Some("key.pem holds no private key that is not encrypted")),
            (&one.certificate, no_key, Some("the private key in")),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let files = Files { certificate: directory.path().join("cert.pem"), key: directory.path().join("key.pem") };
            std::fs::write(&files.certificate, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
            match (Pair::read(&files, &provider()), refused) {
                (Ok(pair), None) => {
                    assert_eq!(pair.expires, now.plus(SERVER_LIFE));
                    assert_eq!(pair.expires_text(), "2027-12-22T10:00:00Z");
                }
                (Ok(_), Some(refused)) => panic!("it was taken: {refused}"),
                (Err(error), refused) => {
                    let said = ErrorChain(&error).to_string();
                    assert!(refused.is_some_and(|refused| said.contains(refused)), "{said}");
                }
            }
            std::fs::remove_file(&files.key).unwrap();
            assert!(Pair::read(&files, &provider()).is_err());
        }
    }
}
