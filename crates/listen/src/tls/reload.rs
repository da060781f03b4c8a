//! Reloads a certificate when its files change.

use super::pair::{Files, Pair, PairError};
use super::{Served, provider};
use kernel::ErrorChain;
use kernel::clock::{Clock, Time};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often the files are checked: soon enough after a renewal, and only two system calls each time.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the warnings about a certificate are repeated.
const COMPLAIN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Watches a certificate's files by polling, which detects every kind of change: edits, copies, renames, and swapped symbolic
/// links (as in Kubernetes volumes).
pub struct Reloader {
    files: Files,
    served: Served,
    clock: Arc<dyn Clock>,
    seen: Stamps,
    complained: Time,
}

/// Identifies a file's version: device, inode, size, and its ctime in seconds and nanoseconds. `None` if the file can't be read.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

type Stamps = (Stamp, Stamp);

impl Reloader {
    /// Reads the certificate for the first time, and logs the warnings about it.
    pub fn start(files: Files, clock: Arc<dyn Clock>) -> Result<Reloader, PairError> {
        // Taken before the files are read, so that a change in between is detected at the next check.
        let seen = stamps(&files);
        let pair = Pair::read(&files, &provider())?;
        let complained = clock.now();
        pair.warn(&files, complained);
        Ok(Reloader { files, served: Served::new(Some(pair)), clock, seen, complained })
    }

    /// Returns the served certificate, which `run` replaces.
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// Checks the files every [`LOOK_EVERY`] and whenever `told` is notified. Never returns.
    pub async fn run(mut self, told: Arc<Notify>) {
        loop {
            let next = self.clock.now().plus(LOOK_EVERY);
            let changed = tokio::select! {
                () = self.clock.sleep_until(next) => stamps(&self.files) != self.seen,
                () = told.notified() => true,
            };
            if changed {
                self.reload().await;
            }
            self.complain();
        }
    }

    /// Serves the certificate in the files. If it can't be served, logs why and keeps the previous one.
    pub async fn reload(&mut self) {
        self.seen = stamps(&self.files);
        let files = self.files.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || Pair::read(&files, &provider())).await else { return };
        match read {
            Ok(pair) => {
                let (certificate, expires) = (self.files.certificate.display(), pair.expires_text());
                tracing::info!(%certificate, expires, "New connections are shown the certificate as it is now");
                self.complained = self.clock.now();
                pair.warn(&self.files, self.complained);
                self.served.replace(pair);
            }
            Err(error) => {
                tracing::error!(
                    "The certificate has changed and can't be served; the one before stays: {}",
                    ErrorChain(&error)
                );
            }
        }
    }

    /// Repeats the warnings of [`Pair::warn`] once a day.
    fn complain(&mut self) {
        let now = self.clock.now();
        if now >= self.complained.plus(COMPLAIN_EVERY) {
            self.complained = now;
            if let Some(pair) = self.served.pair() {
                pair.warn(&self.files, now);
            }
        }
    }
}

fn stamps(files: &Files) -> Stamps {
    (stamp(&files.certificate), stamp(&files.key))
}

/// Follows symbolic links, to identify the file that would be read.
fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::issue::{Name, authority, server};
    use std::os::unix::fs::symlink;
    use testkit::TestClock;

    /// Another certificate and its key in that directory.
    fn write(directory: &Path) {
        let names = [Name::Dns("localhost".to_owned())];
        let issued = server(&authority("test", TestClock::START).unwrap(), &names, TestClock::START).unwrap();
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("tls.crt"), issued.certificate).unwrap();
        std::fs::write(directory.join("tls.key"), issued.key.as_bytes()).unwrap();
    }

    fn files(directory: &Path) -> Files {
        Files { certificate: directory.join("tls.crt"), key: directory.join("tls.key") }
    }

    #[tokio::test]
    async fn a_volume_that_kubernetes_swaps_is_read_again_at_the_next_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // ..data is a link to a directory with a time in its name, and the files are links through it.
        write(&path.join("..2026_1"));
        symlink("..2026_1", path.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            symlink(format!("..data/{name}"), path.join(name)).unwrap();
        }
        let clock = Arc::new(TestClock::default());
        let reloader = Reloader::start(files(path), clock.clone()).unwrap();
        let (served, mut changes) = (reloader.served().clone(), reloader.served().changes());
        let before = served.pair().unwrap();
        let running = tokio::spawn(reloader.run(Arc::new(Notify::new())));
        // It sleeps before the clock moves.
        tokio::task::yield_now().await;
        write(&path.join("..2026_2"));
        symlink("..2026_2", path.join("..data_tmp")).unwrap();
        std::fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
        clock.advance(LOOK_EVERY);
        changes.changed().await.unwrap();
        assert!(!Arc::ptr_eq(&before, &served.pair().unwrap()));
        running.abort();
    }

    #[tokio::test]
    async fn who_is_told_looks_at_once() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path());
        let reloader = Reloader::start(files(directory.path()), Arc::new(TestClock::default())).unwrap();
        let mut changes = reloader.served().changes();
        let told = Arc::new(Notify::new());
        let running = tokio::spawn(reloader.run(told.clone()));
        write(directory.path());
        told.notify_one();
        changes.changed().await.unwrap();
        running.abort();
    }

    #[tokio::test]
    async fn half_a_renewal_is_not_served_and_the_other_half_completes_it() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(old.path());
        write(new.path());
        let mut reloader = Reloader::start(files(old.path()), Arc::new(TestClock::default())).unwrap();
        let before = reloader.served().pair().unwrap();
        std::fs::copy(new.path().join("tls.crt"), old.path().join("tls.crt")).unwrap();
        reloader.reload().await;
        assert!(Arc::ptr_eq(&before, &reloader.served().pair().unwrap()));
        std::fs::copy(new.path().join("tls.key"), old.path().join("tls.key")).unwrap();
        reloader.reload().await;
        assert!(!Arc::ptr_eq(&before, &reloader.served().pair().unwrap()));
    }
}
