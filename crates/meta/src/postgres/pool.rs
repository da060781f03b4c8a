//! Connections that are open: made when none is idle, kept for the next transaction.
use super::connect::Target;
use super::session::Session;
use crate::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) struct Pool {
    target: Target,
    /// `None` once the store is closing. No more than there are slots, since each in use holds one.
    idle: Mutex<Option<Vec<Session>>>,
}

impl Pool {
    pub(super) fn new(target: Target) -> Pool {
        Pool { target, idle: Mutex::new(Some(Vec::new())) }
    }

    /// A connection, the last used first; connects if there is none. It may be lost without anybody having noticed.
    pub(super) fn take(&self) -> Result<Session, Error> {
        let idle = self.lock().as_mut().ok_or(Error::Closed)?.pop();
        idle.map_or_else(|| self.connect(), Ok)
    }

    pub(super) fn connect(&self) -> Result<Session, Error> {
        Session::open(&self.target)
    }

    /// Takes a connection back, unless its state is unknown: then it is closed.
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

    /// Closes the idle connections, and every further one that is put back.
    pub(super) fn close(&self) {
        let idle = self.lock().take();
        drop(idle);
    }

    /// Nothing that holds this lock can panic halfway through a change, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Session>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
