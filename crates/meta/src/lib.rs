//! Records in transactions: one SQL text over SQLite and PostgreSQL.
//!
//! `engine` runs a statement in a transaction and knows nothing else; `records` holds every query of Ecru, a file per record.
//! A transaction is a synchronous closure: on SQLite it runs on the one writer thread (group commit), on PostgreSQL on a
//! blocking thread; nothing can await anything foreign inside it, and it may run more than once.

mod db;
mod error;
mod value;

pub mod records;

pub use db::{Db, PostgresConfig, SqliteConfig, Tx};
pub use error::Error;
pub use value::{FromValue, Row, Value};
