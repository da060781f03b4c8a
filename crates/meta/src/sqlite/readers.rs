//! Read connections: opened when none is idle, kept for the next reader.
use super::connection::{Connection, Role};
use super::place::Place;
use crate::Error;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Idle connections that are kept. As many can be in use as threads read at once.
const IDLE_READERS: usize = 16;

pub(super) struct Readers {
    path: PathBuf,
    place: Place,
    /// `None` once the store is closing.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, place: Place) -> Readers {
        Readers { path, place, idle: Mutex::new(Some(Vec::with_capacity(IDLE_READERS))) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection to the database, if that is still where it was.
    pub(super) fn take(&self) -> Result<Connection, Error> {
        self.place.check()?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().ok_or(Error::Closed)?.pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.path, Role::Reader),
        }
    }

    /// Takes a connection back; one too many is closed.
    pub(super) fn put(&self, connection: Connection) {
        let surplus = match self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(idle) if idle.len() < IDLE_READERS => {
                idle.push(connection);
                None
            }
            _ => Some(connection),
        };
        drop(surplus);
    }

    pub(super) fn close(&self) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(idle);
    }
}
