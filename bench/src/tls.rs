//! Certificates from `ecru tls init`, and a client that trusts them.

use crate::Result;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// A certificate for localhost with its authority, and the configuration of a client that trusts it.
pub struct Tls {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Offers HTTP/1.1 only.
    pub client: Arc<ClientConfig>,
}

impl Tls {
    /// Runs `ecru tls init` to make an authority and a certificate for localhost in `directory`.
    pub fn init(ecru: &Path, directory: &Path) -> Result<Tls> {
        let mut command = Command::new(ecru);
        let status = command.args(["tls", "init", "--dir"]).arg(directory).stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err("ecru tls init failed".into());
        }
        let authority = directory.join("ca.pem");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&authority)? {
            roots.add(certificate?)?;
        }
        let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (certificate, key) = (directory.join("server.pem"), directory.join("server-key.pem"));
        Ok(Tls { authority, certificate, key, client: Arc::new(client) })
    }
}

/// Builds the TLS configuration of a bare loop from PEM files.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    Ok(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?))
}
