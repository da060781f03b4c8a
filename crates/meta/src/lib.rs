//! Records in transactions: one SQL text over SQLite and PostgreSQL.
//!
//! `sqlite` and `postgres` run a statement in a transaction and know nothing else; `records` holds every query of Ecru, a
//! file per record; `dialect` is where the engines' SQL differs.
//! A transaction is a synchronous closure: on SQLite it runs on the one writer thread (group commit), on PostgreSQL on a
//! blocking thread; nothing can await anything foreign inside it, and it may run more than once. What one statement finds needs
//! none: a [`Lookup`].

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
pub use id::{EventId, ImageId, InvalidUploadId, LayerId, LocationId, PushRefusalId, RepositoryId, StoreId, UploadId};
pub use sqlite::holds_records as sqlite_holds_records;
pub use statement::{Asked, Attempt, Change, Lookup};
pub use stats::Stats;
pub use value::{FromValue, Row, TakeValue, Value};
