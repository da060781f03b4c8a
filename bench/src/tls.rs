//! Certificates as `ecru tls init` makes them, and a client that trusts them.
use crate::Result;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

pub struct Tls {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Speaks HTTP/1.1.
    pub client: Arc<ClientConfig>,
}

impl Tls {
    /// Has `ecru` make an authority and a certificate of localhost, in a directory of their own.
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

/// What a bare loop speaks, from PEM files.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    Ok(Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?))
}
