//! Opens connections, and configures them.

use super::fault;
use crate::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

/// The longest time to open a connection, unless the general limit is shorter.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// The time after which a dead peer is noticed, for an idle connection and for unacknowledged bytes.
const PEER_WAIT: Duration = Duration::from_secs(30);

/// The settings of every connection:
/// - The timeout bounds the locks of a node that vanished in a transaction.
/// - A sequential scan locks its whole table for a serializable transaction, so indexes are preferred even for small tables. The planner
///   then assigns such a high cost to a remaining scan that it would compile the query, so `jit` is off.
/// - Every statement has one plan for all values, so that it is planned only once.
/// - With `synchronous_commit = off` a crash of the server would lose acknowledged commits. A stronger setting of the operator stays.
const SETTINGS: &str = "\
SET idle_in_transaction_session_timeout = '60s';
SET enable_seqscan = off;
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

const NO_URL: &str = "the URL is not valid for PostgreSQL; the form is postgres://USER:PASSWORD@HOST/DATABASE";
const DEMANDS_TLS: &str = "the URL requires TLS (sslmode), which ecru does not support for PostgreSQL; remove sslmode, or set sslmode=disable";
pub(super) const CONNECTING: &str = "connecting to PostgreSQL";

/// The server to connect to, and the limit of every wait for it.
#[derive(Clone)]
pub(super) struct Target {
    config: Arc<Config>,
    limit: Duration,
}

/// A connection's client. Dropping it closes the connection at once, even if an answer is pending.
pub(crate) struct Link {
    pub(crate) client: Client,
    driver: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Target {
    /// Waits for the server. After the limit the caller must close the connection, because the answer may still come.
    pub(super) async fn limited<T>(&self, doing: &str, wait: impl Future<Output = T>) -> Result<T, Error> {
        within(self.limit, doing, wait).await
    }
}

/// Waits for the server, at most for `limit`.
pub(super) async fn within<T>(limit: Duration, doing: &str, wait: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, wait).await.map_err(|_elapsed| Error::no_answer(doing, limit))
}

/// Parses the URL. Errors show no part of it, because it may contain a password.
pub(super) fn target(url: &str, limit: Duration) -> Result<Target, Error> {
    let Ok(mut config) = url.parse::<Config>() else {
        return Err(Error::refused(CONNECTING, if url.contains("sslmode=") { DEMANDS_TLS } else { NO_URL }));
    };
    if !matches!(config.get_ssl_mode(), SslMode::Disable | SslMode::Prefer) {
        return Err(Error::refused(CONNECTING, DEMANDS_TLS));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_WAIT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(PEER_WAIT);
    }
    if config.get_application_name().is_none() {
        config.application_name("ecru");
    }
    config.keepalives_idle(PEER_WAIT);
    Ok(Target { config: Arc::new(config), limit })
}

/// Opens a connection that this runtime drives.
pub(super) async fn alone(target: &Target) -> Result<Link, Error> {
    let connected = within(target.limit.min(CONNECT_WAIT), CONNECTING, connect(target)).await?;
    connected.map_err(Error::of_connecting)
}

async fn connect(target: &Target) -> Result<Link, Error> {
    let failed = |error| fault::error(CONNECTING, error);
    let (client, connection) = target.config.connect(NoTls).await.map_err(failed)?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Callers that wait for an answer get the error too.
            tracing::debug!(error = &error as &dyn std::error::Error, "A PostgreSQL connection broke");
        }
    });
    let link = Link { client, driver: driver.abort_handle() };
    // The server ends a slow statement when its caller gives up, so that the connection can be reused.
    let limit = format!("SET statement_timeout = {};", target.limit.as_millis());
    link.client.batch_execute(&(limit + SETTINGS)).await.map_err(failed)?;
    Ok(link)
}

/// Fails if the database can't store Ecru's text, and logs a warning if the server does not sync its commits.
pub(super) async fn check_server(client: &Client, target: &Target) -> Result<(), Error> {
    let name = "checking the PostgreSQL server";
    let row = client.query_one("SELECT current_setting('server_encoding'), current_setting('fsync')", &[]);
    let row = target.limited(name, row).await?.map_err(|error| fault::error(name, error))?;
    let setting = |column| row.try_get::<_, &str>(column).map_err(|error| fault::error(name, error));
    if setting(0)? != "UTF8" {
        return Err(Error::refused(name, "the database's encoding is not UTF8"));
    }
    if setting(1)? == "off" {
        tracing::warn!("The PostgreSQL server runs with fsync = off: a crash of its machine loses acknowledged pushes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PostgresConfig;

    #[test]
    fn a_url_that_requires_tls_or_is_invalid_is_refused_and_no_error_shows_a_part_of_it() {
        for (url, tls) in [
            ("postgres://ecru:hush@db/ecru?sslmode=require", true),
            ("postgres://ecru:hush@db/ecru?sslmode=verify-full", true),
            ("postgres://ecru:hush@db/ecru?hush=1", false),
            ("mysql://ecru:hush@db/ecru", false),
            ("host=db password='hush", false),
            ("hush", false),
        ] {
            let Err(error) = target(url, CONNECT_WAIT) else { panic!("{url} was accepted") };
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!((source.contains("TLS"), source.contains("postgres://USER")), (tls, !tls), "{url}: {source}");
            for shown in [error.to_string(), source, format!("{error:?}")] {
                assert!(!shown.contains("hush"), "{shown}");
            }
        }
    }

    #[test]
    fn debug_of_a_config_does_not_show_its_url() {
        let url = "postgres://ecru:hush@db/ecru".to_owned();
        let shown = format!("{:?}", PostgresConfig { url, max_connections: 1, timeout: CONNECT_WAIT, now_us: 0 });
        assert!(!shown.contains("hush") && !shown.contains("db/ecru"), "{shown}");
    }
}
