//! One writer per session on this node: a newer request ends the older one and waits for it.
use super::UploadId;
use crate::{RegistryId, System, lock};
use oci::RepositoryName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Which upload sessions are being written on this node.
///
/// Across nodes the `turn` of the session's row decides; here it spares a client that retries from waiting for that.
#[derive(Default)]
pub(super) struct Writers(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    /// Tickets that were given out; a higher one is newer.
    tickets: u64,
    by_session: HashMap<SessionKey, Writer>,
}

/// A session as a call names it: with its repository, since an id alone does not show yet that the caller may write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    pub registry: RegistryId,
    pub repository: RepositoryName,
    pub id: UploadId,
}

struct Writer {
    ticket: u64,
    /// True tells the writer to end; it is closed when the writer has ended.
    stop: Arc<watch::Sender<bool>>,
}

/// A newer request has the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superseded;

impl Writers {
    fn of(system: &System) -> &Writers {
        system.state()
    }

    /// Ends whoever writes the session, waits until that is so, and becomes its writer. A call that came later wins.
    async fn take(&self, session: SessionKey) -> Result<SessionLease, Superseded> {
        let ticket = {
            let mut running = lock(&self.0);
            running.tickets += 1;
            running.tickets
        };
        loop {
            let older = {
                let mut running = lock(&self.0);
                match running.by_session.get(&session) {
                    Some(writer) if writer.ticket > ticket => return Err(Superseded),
                    Some(writer) => writer.stop.clone(),
                    None => {
                        let (stop, stopped) = watch::channel(false);
                        running.by_session.insert(session.clone(), Writer { ticket, stop: Arc::new(stop) });
                        return Ok(SessionLease { writers: self.0.clone(), session, ticket, stopped });
                    }
                }
            };
            older.send_replace(true);
            older.closed().await;
        }
    }
}

/// Ends whoever writes the session on this node, waits until that is so, and becomes its writer. A call that came later wins.
pub(super) async fn take(system: &System, session: SessionKey) -> Result<SessionLease, Superseded> {
    Writers::of(system).take(session).await
}

/// The right to write a session on this node, until it is dropped.
pub(super) struct SessionLease {
    writers: Arc<Mutex<Running>>,
    session: SessionKey,
    ticket: u64,
    /// Dropped last: whoever waits for that finds the entry gone.
    stopped: watch::Receiver<bool>,
}

impl SessionLease {
    /// Resolves when a newer request wants the session.
    pub(super) async fn superseded(&mut self) {
        // The sender goes only with the entry, which only this lease removes.
        if self.stopped.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for SessionLease {
    fn drop(&mut self) {
        let mut running = lock(&self.writers);
        if running.by_session.get(&self.session).is_some_and(|writer| writer.ticket == self.ticket) {
            running.by_session.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(repository: &str, id: u8) -> SessionKey {
        let registry = RegistryId { account: aws::AccountId::DEFAULT, region: "us-east-1".parse().unwrap() };
        SessionKey { registry, repository: repository.parse().unwrap(), id: UploadId([id; 16]) }
    }

    #[tokio::test]
    async fn a_newer_request_ends_the_older_and_waits_for_it() {
        let writers = Arc::new(Writers::default());
        let mut older = writers.take(session("app", 1)).await.unwrap();
        let newer = tokio::spawn({
            let writers = writers.clone();
            async move { writers.take(session("app", 1)).await.map(drop) }
        });
        older.superseded().await;
        tokio::task::yield_now().await;
        assert!(!newer.is_finished(), "the older one still writes");
        drop(older);
        assert_eq!(newer.await.unwrap(), Ok(()));
        assert!(lock(&writers.0).by_session.is_empty());
    }

    #[tokio::test]
    async fn of_several_that_wait_the_newest_wins() {
        let writers = Arc::new(Writers::default());
        let oldest = writers.take(session("app", 1)).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let writers = writers.clone();
            waiting.push(tokio::spawn(async move {
                let taken = writers.take(session("app", 1)).await;
                match taken {
                    // Holds it until a newer one comes; nobody disturbs the newest.
                    Ok(mut lease) => tokio::select! {
                        () = lease.superseded() => Err(Superseded),
                        () = std::future::pending() => Ok(()),
                    },
                    Err(superseded) => Err(superseded),
                }
            }));
            tokio::task::yield_now().await;
        }
        drop(oldest);
        let newest = waiting.pop().unwrap();
        for older in waiting {
            assert_eq!(older.await.unwrap(), Err(Superseded));
        }
        assert!(!newest.is_finished());
        newest.abort();
    }

    #[tokio::test]
    async fn sessions_do_not_disturb_each_other() {
        let writers = Writers::default();
        let mut leases = Vec::new();
        // An id that was made for another repository is another session, as far as anybody knows.
        for (repository, id) in [("app", 1), ("app", 2), ("other", 1)] {
            leases.push(writers.take(session(repository, id)).await.unwrap());
        }
        assert!(leases.iter().all(|lease| !*lease.stopped.borrow()));
    }
}
