//! Records in transactions: one SQL text for SQLite and PostgreSQL.
//!
//! `sqlite` and `postgres` only run statements and transactions. `records` has every query of Ecru, a file for each record. `dialect`
//! handles the differences of the engines' SQL.
//!
//! A transaction is a synchronous closure. On SQLite it runs on the only writer thread (group commit), on PostgreSQL on a blocking
//! thread. It can't await, and it may run more than once. A query of one statement needs no transaction: it is a [`Lookup`].

mod copy;
mod db;
mod dialect;
mod error;
mod id;
mod job;
mod migrate;
mod postgres;
mod sqlite;
mod statement;
mod stats;
mod value;

#[cfg(test)]
#[path = "../tests/suite/database.rs"]
mod database;

pub mod records;

pub use copy::RecordsFile;
pub use db::{Db, PostgresConfig, SqliteConfig, Tx};
pub use error::Error;
pub use id::{
    EventId, HoldId, ImageId, InvalidUploadId, LayerId, LocationId, PushRefusalId, RepositoryId, StoreId, UploadId,
};
pub use sqlite::holds_records as sqlite_holds_records;
pub use statement::{Change, Lookup, PendingChange, PendingRow};
pub use stats::DatabaseStats;
pub use value::{FromValue, Row, TakeValue, Value};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a holder has panicked. In this crate the data stays consistent if a thread panics while it holds the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
