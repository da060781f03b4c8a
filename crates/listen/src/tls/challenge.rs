//! Answers an ACME server's checks that this server controls a name: TLS-ALPN-01 (RFC 8737).

use kernel::lock;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The ALPN protocol of such a check. It ends after the handshake.
pub const PROTOCOL: &[u8] = b"acme-tls/1";

/// Certificates for the checks in progress, by name. Clones share them.
#[derive(Clone, Default)]
pub struct Challenges(Arc<Mutex<BTreeMap<String, Arc<CertifiedKey>>>>);

impl Challenges {
    /// Answers checks of a name until the result is dropped.
    pub fn put(&self, name: &str, key: CertifiedKey) -> Answered {
        self.lock().insert(name.to_owned(), Arc::new(key));
        Answered { challenges: self.clone(), name: name.to_owned() }
    }

    pub fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.lock().get(hello.server_name()?).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<CertifiedKey>>> {
        lock(&self.0)
    }
}

/// A challenge that is answered until this is dropped.
pub struct Answered {
    challenges: Challenges,
    name: String,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.challenges.lock().remove(&self.name);
    }
}

/// Whether a client is such a check: it offers only this protocol (RFC 8737 3).
pub fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(PROTOCOL) && offered.next().is_none())
}
