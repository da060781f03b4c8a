//! The pool of connections for transactions. A connection is opened if none is idle, and kept for the next transaction.

use super::connect::Target;
use super::session::Session;
use crate::Error;
use crate::lock;
use std::sync::{Mutex, MutexGuard};

pub(super) struct Pool {
    target: Target,
    /// `None` once the store is closing. Bounded by the number of slots, because each connection in use holds one.
    idle: Mutex<Option<Vec<Session>>>,
}

impl Pool {
    pub(super) fn new(target: Target) -> Pool {
        Pool { target, idle: Mutex::new(Some(Vec::new())) }
    }

    /// Takes the last used connection, or opens one. The connection may be lost already.
    pub(super) fn take(&self) -> Result<Session, Error> {
        let idle = self.lock().as_mut().ok_or(Error::Closed)?.pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    pub(super) fn connect(&self) -> Result<Session, Error> {
        Session::open(&self.target)
    }

    /// Returns a connection to the pool, or closes it if its state is unknown.
    pub(super) fn put(&self, session: Session) {
        match self.lock().as_mut() {
            Some(idle) if session.is_sound() => idle.push(session),
            _ => {}
        }
    }

    /// Closes the idle connections.
    pub(super) fn clear(&self) {
        let lost = self.lock().as_mut().map(std::mem::take);
        drop(lost);
    }

    /// Closes the idle connections, and every connection that is returned later.
    pub(super) fn close(&self) {
        let idle = self.lock().take();
        drop(idle);
    }

    /// Ignores poisoning, because no holder of this lock can panic during a change.
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Session>>> {
        lock(&self.idle)
    }
}
