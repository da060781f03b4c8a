//! PostgreSQL databases for single tests, on the server that `scripts/with-postgres` starts.

use kernel::clock::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_postgres::NoTls;

/// A database that is dropped with its test.
pub struct TestDatabase {
    server: String,
    name: String,
    /// Whether dropping this value drops the database.
    owned: bool,
}

impl TestDatabase {
    /// Creates a database if ECRU_TEST_ENGINE asks for PostgreSQL.
    pub async fn wanted() -> Option<TestDatabase> {
        match std::env::var("ECRU_TEST_ENGINE").as_deref() {
            Ok("postgres") => Some(TestDatabase::new().await),
            Ok("sqlite") | Err(_) => None,
            Ok(other) => panic!("ECRU_TEST_ENGINE is sqlite or postgres, not {other}"),
        }
    }

    /// Creates a database. The test must run under scripts/with-postgres.
    pub async fn new() -> TestDatabase {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let server = std::env::var("ECRU_TEST_POSTGRES").expect("ECRU_TEST_POSTGRES: run under scripts/with-postgres");
        let name = format!("ecru_it_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // An earlier process may have had the same id.
        execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        TestDatabase { server, name, owned: true }
    }

    /// Returns the same database for another node of the test. Only the first value drops it.
    pub fn again(&self) -> TestDatabase {
        TestDatabase { server: self.server.clone(), name: self.name.clone(), owned: false }
    }

    /// Returns the database's URL.
    pub fn url(&self) -> String {
        let (server, query) = self.server.split_once('?').map_or((self.server.as_str(), None), |(s, q)| (s, Some(q)));
        let (base, _) = server.rsplit_once('/').expect("ECRU_TEST_POSTGRES names a database");
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        format!("{base}/{}{query}", self.name)
    }

    pub async fn open(&self, clock: &dyn Clock) -> meta::Db {
        // A long timeout, because a paused clock runs ahead while the database works.
        let (url, timeout) = (self.url(), std::time::Duration::from_secs(24 * 3600));
        let config = meta::PostgresConfig { url, max_connections: 8, timeout, now_us: clock.now().0 };
        meta::Db::postgres(config).await.expect("PostgreSQL")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !self.owned {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // Uses a separate runtime, because this may be dropped by the test's own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        });
        if dropped.join().is_err() && !std::thread::panicking() {
            panic!("the test's database could not be dropped");
        }
    }
}

async fn execute(server: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.expect("the PostgreSQL server");
    let connection = tokio::spawn(connection);
    client.batch_execute(statement).await.expect("a statement");
    drop(client);
    connection.await.expect("the connection's task").expect("the connection");
}
