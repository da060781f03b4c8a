//! Runs look-ups on a few shared connections.
//!
//! A look-up is one statement, so it needs neither a transaction nor its own connection. Look-ups are pipelined: each is sent as it comes,
//! and the server answers them in order. No thread waits, and under load one write and one read of a socket carry many. In a separate
//! transaction and thread a look-up cost twice as much. Only queries by a key run here, so that no slow query delays the others.

use super::CONNECTION_WAIT;
use super::connect::{self, CONNECTING, Target};
use super::fault::{self, Class};
use super::session::{key, values};
use crate::error::statement;
use crate::lock;
use crate::{Error, Row, Value};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::{OnceCell, Semaphore};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

/// The most connections for look-ups. Each keeps one process of the server busy.
const CONNECTIONS: u32 = 4;
/// If there are few connections, one in so many is for look-ups.
const SHARE: u32 = 4;
/// The most look-ups in progress. Further ones wait.
const UNDER_WAY: u32 = 1024;

/// A single statement runs in a transaction with the server's default mode, which the operator may have changed, so set the mode.
const SETTINGS: &str = "\
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = on;
";

/// Returns how many of all connections are for look-ups.
pub(super) fn connections(all: u32) -> u32 {
    (all / SHARE).clamp(1, CONNECTIONS)
}

pub(super) struct Lookups {
    target: Target,
    lines: Vec<Line>,
    /// A permit for each look-up, so that `close` can wait for all of them.
    places: Semaphore,
}

/// A slot for a connection, which is opened when it is first needed, and again after it was lost.
#[derive(Default)]
struct Line {
    link: Mutex<Arc<OnceCell<Link>>>,
    /// The number of look-ups that wait for an answer on this connection.
    waiting: AtomicUsize,
}

/// A connection, driven by a task of the runtime that opened it.
struct Link {
    connection: connect::Link,
    /// The statements that the server has prepared.
    prepared: Mutex<HashMap<(usize, usize), Statement>>,
}

type Failure = (Class, Error);

impl Lookups {
    pub(super) fn new(target: Target, connections: u32) -> Lookups {
        let lines = (0..connections).map(|_| Line::default()).collect();
        Lookups { target, lines, places: Semaphore::new(UNDER_WAY as usize) }
    }

    /// Runs a reading statement and returns its rows. If its connection is lost, runs it once more on another one.
    pub(super) async fn run(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let place = match tokio::time::timeout(CONNECTION_WAIT, self.places.acquire()).await {
            Ok(place) => place.map_err(|_closed| Error::Closed)?,
            Err(_elapsed) => return Err(Error::Busy),
        };
        let line = self.lines.iter().min_by_key(|line| line.waiting.load(Ordering::Relaxed)).ok_or(Error::Closed)?;
        let _counted = Counted::new(&line.waiting);
        let rows = match self.attempt(line, sql, params).await {
            Err((Class::Lost, _)) => self.attempt(line, sql, params).await,
            other => other,
        };
        drop(place);
        rows.map_err(|(_, error)| error)
    }

    /// Runs a statement on the connection of a line, within the general limit. The limit includes the opening of a connection: concurrent
    /// callers open it one after the other while it fails.
    async fn attempt(&self, line: &Line, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Failure> {
        let cell = line.cell();
        let answer = async {
            let link = cell.get_or_try_init(|| Link::open(&self.target)).await;
            link.map_err(|error| (Class::Other, error))?.query(sql, params).await
        };
        let answer = self.target.limited("looking something up", answer).await;
        let rows = answer.unwrap_or_else(|late| Err((Class::Late, late)));
        if let Err((Class::Lost | Class::Late, _)) = &rows {
            line.renew(&cell);
        }
        rows
    }

    /// Waits for the look-ups in progress, and refuses further ones.
    pub(super) async fn close(&self) {
        // The semaphore is fair. On an error another `close` has run already.
        let all = self.places.acquire_many(UNDER_WAY).await;
        self.places.close();
        self.lines.iter().for_each(|line| line.renew(&line.cell()));
        drop(all);
    }
}

impl Line {
    /// Returns the cell of the connection, which concurrent callers initialize only once.
    fn cell(&self) -> Arc<OnceCell<Link>> {
        let mut current = lock(&self.link);
        if current.get().is_some_and(|link| link.connection.client.is_closed()) {
            *current = Arc::default();
        }
        current.clone()
    }

    /// Makes the next look-up open a new connection, unless another look-up that lost the same connection did so already.
    fn renew(&self, lost: &Arc<OnceCell<Link>>) {
        let mut current = lock(&self.link);
        if Arc::ptr_eq(&current, lost) {
            *current = Arc::default();
        }
    }
}

impl Link {
    async fn open(target: &Target) -> Result<Link, Error> {
        let connection = connect::alone(target).await?;
        let set = target.limited(CONNECTING, connection.client.batch_execute(SETTINGS)).await?;
        set.map_err(|error| fault::error(CONNECTING, error).of_connecting())?;
        Ok(Link { connection, prepared: Mutex::default() })
    }

    async fn query(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Failure> {
        let failed = |error| (fault::class(&error), fault::error(&statement(sql), error));
        let known = lock(&self.prepared).get(&key(sql)).cloned();
        let prepared = match known {
            Some(prepared) => prepared,
            None => {
                let new = self.connection.client.prepare(sql).await.map_err(failed)?;
                lock(&self.prepared).insert(key(sql), new.clone());
                new
            }
        };
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        let rows = self.connection.client.query(&prepared, &params).await.map_err(failed)?;
        rows.iter().map(|row| values(sql, row)).collect::<Result<_, _>>().map_err(|error| (Class::Other, error))
    }
}

/// Counts a look-up until it is dropped, also if its caller stops waiting.
struct Counted<'a>(&'a AtomicUsize);

impl Counted<'_> {
    fn new(count: &AtomicUsize) -> Counted<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_and_transactions_both_get_connections() {
        for (all, expected) in [(2, 1), (4, 1), (7, 1), (8, 2), (16, CONNECTIONS), (1000, CONNECTIONS)] {
            assert_eq!(connections(all), expected, "of {all}");
        }
    }
}
