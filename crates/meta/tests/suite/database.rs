//! A separate PostgreSQL database for a test. The crate's unit tests use this file too.

use std::sync::atomic::{AtomicU32, Ordering};

/// The PostgreSQL database of a test.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Creates a database. Returns `None` if `ECRU_TEST_SQLITE_ONLY` is set.
    pub async fn create() -> Option<Database> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("ECRU_TEST_POSTGRES") else {
            let sqlite_only = std::env::var("ECRU_TEST_SQLITE_ONLY").is_ok_and(|value| value == "1");
            assert!(
                sqlite_only,
                "ECRU_TEST_POSTGRES names no server: run the tests through scripts/with-postgres, \
                 or set ECRU_TEST_SQLITE_ONLY=1 to leave PostgreSQL out"
            );
            return None;
        };
        let name = format!("ecru_{}_{}", std::process::id(), CREATED.fetch_add(1, Ordering::Relaxed));
        let database = Database { server, name };
        database.administer(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", database.name)).await;
        database.administer(&format!("CREATE DATABASE {} TEMPLATE template0", database.name)).await;
        Some(database)
    }

    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    pub async fn remove(self) {
        self.administer(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }

    async fn administer(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(&self.server, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute(sql).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
    }
}
