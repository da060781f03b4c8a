//! Ensures one writer for each session on this node: a newer request ends the older one and waits for it.

use super::UploadId;
use crate::{RegistryId, System, lock};
use oci::RepositoryName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The upload sessions that are being written on this node.
///
/// The `turn` of the session's row decides between nodes. On one node, this registry ends the older request at once, so that a client that
/// retries need not wait.
#[derive(Default)]
pub(super) struct Writers(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    /// The number of issued tickets. A higher ticket is newer.
    tickets: u64,
    by_session: HashMap<SessionKey, Writer>,
}

/// A session as a call names it. It includes the repository, because the id is not verified yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionKey {
    pub registry: RegistryId,
    pub repository: RepositoryName,
    pub id: UploadId,
}

struct Writer {
    ticket: u64,
    /// True tells the writer to end. Closed when the writer has ended.
    stop: Arc<watch::Sender<bool>>,
}

/// A newer request has taken over the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superseded;

impl Writers {
    fn of(system: &System) -> &Writers {
        system.state()
    }

    /// Ends the session's current writer, waits for it, and becomes the writer. Fails if a later call has taken over.
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

/// Ends the session's current writer on this node, waits for it, and becomes the writer. Fails if a later call has taken over.
pub(super) async fn take(system: &System, session: SessionKey) -> Result<SessionLease, Superseded> {
    Writers::of(system).take(session).await
}

/// The right to write a session on this node, until it is dropped.
pub(super) struct SessionLease {
    writers: Arc<Mutex<Running>>,
    session: SessionKey,
    ticket: u64,
    /// Dropped last, so that a waiting request finds the entry removed.
    stopped: watch::Receiver<bool>,
}

impl SessionLease {
    /// Waits until a newer request takes over the session.
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
        let registry = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
        SessionKey { registry, repository: repository.parse().unwrap(), id: UploadId([id; 16]) }
    }

    #[tokio::test]
    async fn a_newer_request_ends_the_older_one_and_waits_for_it() {
        let writers = Arc::new(Writers::default());
        let mut older = writers.take(session("app", 1)).await.unwrap();
        let newer = tokio::spawn({
            let writers = writers.clone();
            async move { writers.take(session("app", 1)).await.map(drop) }
        });
        older.superseded().await;
        tokio::task::yield_now().await;
        assert!(!newer.is_finished(), "the newer request did not wait for the older one");
        drop(older);
        assert_eq!(newer.await.unwrap(), Ok(()));
        assert!(lock(&writers.0).by_session.is_empty());
    }

    #[tokio::test]
    async fn the_newest_of_several_waiting_requests_wins() {
        let writers = Arc::new(Writers::default());
        let oldest = writers.take(session("app", 1)).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let writers = writers.clone();
            waiting.push(tokio::spawn(async move {
                let taken = writers.take(session("app", 1)).await;
                match taken {
                    // Keep the lease until a newer request comes. The newest request keeps it forever.
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
    async fn sessions_are_independent() {
        let writers = Writers::default();
        let mut leases = Vec::new();
        // The same id in another repository is another session, because the id is not verified yet.
        for (repository, id) in [("app", 1), ("app", 2), ("other", 1)] {
            leases.push(writers.take(session(repository, id)).await.unwrap());
        }
        assert!(leases.iter().all(|lease| !*lease.stopped.borrow()));
    }
}
