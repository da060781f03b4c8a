//! The pool of read connections. A connection is opened if none is idle, and kept for the next reader.

use super::connection::{Connection, Role};
use super::place::Place;
use crate::Error;
use crate::lock;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The most idle connections. The number of connections in use is bounded by the number of reading threads.
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

    /// Takes a connection. Fails if the database was removed.
    pub(super) fn take(&self) -> Result<Connection, Error> {
        self.place.check()?;
        let idle = lock(&self.idle).as_mut().ok_or(Error::Closed)?.pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Connection::open(&self.path, Role::Reader),
        }
    }

    /// Returns a connection to the pool, or closes it if the pool is full.
    pub(super) fn put(&self, connection: Connection) {
        let surplus = match lock(&self.idle).as_mut() {
            Some(idle) if idle.len() < IDLE_READERS => {
                idle.push(connection);
                None
            }
            _ => Some(connection),
        };
        drop(surplus);
    }

    pub(super) fn close(&self) {
        let idle = lock(&self.idle).take();
        drop(idle);
    }
}
