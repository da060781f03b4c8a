//! The PostgreSQL engine. Each transaction gets a pooled connection and a blocking thread. All look-ups share a few connections.

mod connect;
mod copy;
mod fault;
mod lookups;
mod migrate;
mod pool;
mod session;
mod transaction;
mod value;

pub(crate) use session::Session;

use crate::db::PostgresConfig;
use crate::job::Job;
use crate::stats::{Counters, DatabaseStats};
use crate::{Error, Row, Value};
use connect::Target;
use lookups::Lookups;
use pool::Pool;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use transaction::{Mode, Runner};

/// The longest wait of a transaction for a free connection, or of a look-up for a permit. Then the call fails with `Busy`.
const CONNECTION_WAIT: Duration = Duration::from_secs(5);
/// The upper limit of the setting: more connections than a server should ever have.
const CONNECTIONS_MAX: u32 = 1000;
/// One connection for look-ups, one for transactions.
const CONNECTIONS_MIN: u32 = 2;

/// An open PostgreSQL database.
pub(crate) struct Store {
    target: Target,
    lookups: Lookups,
    pool: Arc<Pool>,
    /// A permit for each connection of the pool, so that `close` can wait for all of them.
    slots: Arc<Semaphore>,
    connections: u32,
    closing: AtomicBool,
    counters: Arc<Counters>,
}

impl Store {
    pub(crate) async fn open(config: PostgresConfig) -> Result<Store, Error> {
        let target = connect::target(&config.url, config.timeout)?;
        let link = connect::alone(&target).await?;
        connect::check_server(&link.client, &target).await?;
        migrate::up(link, &target, crate::migrate::MIGRATIONS, config.now_us).await?;
        Ok(Store::over(target, config.max_connections))
    }

    /// Connects to a database without a migration. Other processes may use it too.
    pub(crate) async fn attach(url: &str, max_connections: usize, timeout: Duration) -> Result<Store, Error> {
        let target = connect::target(url, timeout)?;
        let link = connect::alone(&target).await?;
        migrate::check(&link.client, &target, crate::migrate::MIGRATIONS).await?;
        Ok(Store::over(target, max_connections))
    }

    fn over(target: Target, max_connections: usize) -> Store {
        let connections = u32::try_from(max_connections).unwrap_or(u32::MAX).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
        let shared = lookups::connections(connections);
        let connections = connections - shared;
        Store {
            lookups: Lookups::new(target.clone(), shared),
            pool: Arc::new(Pool::new(target.clone())),
            target,
            slots: Arc::new(Semaphore::new(connections as usize)),
            connections,
            closing: AtomicBool::new(false),
            counters: Arc::default(),
        }
    }

    pub(crate) async fn write(&self, job: Box<dyn Job>) {
        self.run(job, Mode::Write).await;
    }

    pub(crate) async fn claim(&self, job: Box<dyn Job>) {
        self.run(job, Mode::Claim).await;
    }

    pub(crate) async fn read(&self, job: Box<dyn Job>) {
        self.run(job, Mode::Read).await;
    }

    /// Runs one reading statement on a shared connection.
    pub(crate) async fn look_up(&self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.counters.stated(1);
        self.counters.exchanged(1);
        self.lookups.run(sql, params).await
    }

    /// Starts the transaction on a blocking thread, which answers the caller at the end.
    async fn run(&self, job: Box<dyn Job>, mode: Mode) {
        let slot = match self.slot().await {
            Ok(slot) => slot,
            Err(error) => return job.answer(Some(error)),
        };
        let (pool, counters) = (self.pool.clone(), self.counters.clone());
        tokio::task::spawn_blocking(move || {
            Runner { pool: &pool, counters: &counters, mode }.run(job);
            drop(slot);
        });
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        match tokio::time::timeout(CONNECTION_WAIT, self.slots.clone().acquire_owned()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_closed)) => Err(Error::Closed),
            Err(_elapsed) => Err(Error::Busy),
        }
    }

    /// Copies a snapshot of the records into a new SQLite file.
    pub(crate) async fn copy_to(&self, to: PathBuf, now_us: i64) -> Result<(), Error> {
        copy::export(&self.target, to, now_us).await
    }

    /// Fills an empty database with the records of a SQLite file.
    pub(crate) async fn fill_from(&self, from: PathBuf) -> Result<(), Error> {
        copy::import(&self.target, from).await
    }

    pub(crate) fn stats(&self) -> DatabaseStats {
        self.counters.snapshot()
    }

    pub(crate) async fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.lookups.close().await;
        // The semaphore is fair, so earlier callers are served first. On an error another `close` has run already.
        let all = self.slots.acquire_many(self.connections).await;
        self.slots.close();
        self.pool.close();
        drop(all);
    }
}

/// A connection outside the pool, and its migrations, for tests below `Db`.
#[cfg(test)]
pub(crate) mod beneath {
    use super::connect::{Link, Target};
    use super::{connect, migrate};
    use crate::Error;
    use crate::migrate::Migration;
    use std::time::Duration;

    fn target(url: &str) -> Result<Target, Error> {
        connect::target(url, Duration::from_secs(10))
    }

    pub(crate) async fn connect(url: &str) -> Result<Link, Error> {
        connect::alone(&target(url)?).await
    }

    pub(crate) async fn migrate(url: &str, list: &[Migration], now_us: i64) -> Result<(), Error> {
        migrate::up(connect(url).await?, &target(url)?, list, now_us).await
    }
}
