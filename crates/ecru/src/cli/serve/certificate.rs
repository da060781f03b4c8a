//! Loads the certificate of the https:// listeners and keeps it new.

use super::ServeError;
use super::signals::Signals;
use crate::cli::tls::init::CA;
use crate::config::{Certificate, Settings};
use kernel::clock::SystemClock;
#[cfg(feature = "acme")]
use listen::tls::acme::Acme;
use listen::tls::{Reloader, Served, Tls};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Returns the file of the private authority that signed the certificate: `ca.pem` beside it, as `ecru tls init` writes it, if
/// the certificate's chain ends with that file's certificate.
pub fn authority_file(certificate: &Certificate) -> Option<String> {
    let Certificate::Files(files) = certificate else { return None };
    let path = files.certificate.canonicalize().ok()?.with_file_name(CA);
    let chain = std::fs::read_to_string(&files.certificate).ok()?;
    let authority = std::fs::read_to_string(&path).ok()?;
    let ends_so = !authority.trim().is_empty() && chain.trim_end().ends_with(authority.trim_end());
    path.into_os_string().into_string().ok().filter(|_| ends_so)
}

/// Keeps the certificate new while the server runs: reloads its files, or renews it by ACME.
pub enum Keeper {
    Files(Reloader),
    #[cfg(feature = "acme")]
    Acme(Acme),
}

impl Keeper {
    /// Loads the certificate of the settings; `None` if no listener needs one.
    pub fn start(settings: &Settings) -> Result<Option<Keeper>, ServeError> {
        match &settings.certificate {
            None => Ok(None),
            Some(Certificate::Files(files)) => {
                Ok(Some(Keeper::Files(Reloader::start(files.clone(), Arc::new(SystemClock))?)))
            }
            #[cfg(feature = "acme")]
            Some(Certificate::Acme(acme)) => {
                let kept = settings.data.join("acme");
                Ok(Some(Keeper::Acme(Acme::start(acme.clone(), &kept, Arc::new(SystemClock))?)))
            }
            #[cfg(not(feature = "acme"))]
            Some(Certificate::Acme(_)) => Err(crate::config::SettingsError::NoAcme.into()),
        }
    }

    pub fn served(&self) -> &Served {
        match self {
            Keeper::Files(reloader) => reloader.served(),
            #[cfg(feature = "acme")]
            Keeper::Acme(acme) => acme.served(),
        }
    }

    /// Creates TLS with the certificate.
    pub fn tls(&self, http2: bool) -> Result<Tls, ServeError> {
        Ok(Tls::new(self.served(), http2, Arc::new(SystemClock))?)
    }

    /// Keeps the certificate new until the result is dropped: reloads its files when they change and at SIGHUP, or renews it in
    /// time.
    pub fn run(self, signals: &mut Signals) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        match self {
            Keeper::Files(reloader) => {
                let told = Arc::new(Notify::new());
                tasks.spawn(reloader.run(told.clone()));
                if let Some(mut hang_up) = signals.take_hang_up() {
                    tasks.spawn(async move {
                        while hang_up.recv().await.is_some() {
                            told.notify_one();
                        }
                    });
                }
            }
            #[cfg(feature = "acme")]
            Keeper::Acme(acme) => {
                tasks.spawn(acme.run());
            }
        }
        tasks
    }
}
