//! Tests of attaching to a missing database, and to one of another program.

use meta::{Db, Error};

#[tokio::test]
async fn attaching_creates_no_sqlite_database_and_refuses_a_foreign_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ecru.db");
    assert!(matches!(Db::attach_sqlite(path.clone()).await, Err(Error::Absent)));
    assert!(!path.exists());
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (id INTEGER)").unwrap();
    assert!(matches!(Db::attach_sqlite(path).await, Err(Error::Absent)));
}

#[tokio::test]
async fn attaching_to_an_empty_postgresql_database_fails_as_absent() {
    let Some(database) = crate::database::Database::create().await else { return };
    assert!(matches!(
        Db::attach_postgres(&database.url(), 2, std::time::Duration::from_secs(10)).await,
        Err(Error::Absent)
    ));
    database.remove().await;
}
