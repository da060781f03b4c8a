//! Connections: where to, and under which settings.
use super::fault;
use crate::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

/// How long making a connection may take, unless the limit of all waits is shorter.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// After how long a dead peer is noticed: idle, and with bytes unacknowledged.
const PEER_WAIT: Duration = Duration::from_secs(30);

/// What every connection sets. `off` would acknowledge what a crash of the server loses; anything stronger stays as the
/// operator chose it. A sequential scan locks its whole table for a serializable transaction, so indexes are preferred
/// however small the table; the planner charges so much for one left over that it would compile the query (`jit`). Every
/// statement has one plan whatever its values, so it is planned once and not for each execution. The timeout bounds what a
/// node that vanished mid-transaction can hold.
const SETTINGS: &str = "\
SET idle_in_transaction_session_timeout = '60s';
SET enable_seqscan = off;
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';
";

const NO_URL: &str = "the URL is not one that PostgreSQL's clients read: postgres://USER:PASSWORD@HOST/DATABASE is";
const DEMANDS_TLS: &str =
    "the URL demands TLS (sslmode), which ecru does not speak to PostgreSQL; leave sslmode out, or set sslmode=disable";
pub(super) const CONNECTING: &str = "connecting to PostgreSQL";

/// Where to connect, and how long every wait for the server may take.
#[derive(Clone)]
pub(super) struct Target {
    config: Arc<Config>,
    limit: Duration,
}

/// A connection's client. Dropping it gives the connection up at once, whatever the server still owes.
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
    /// Waits for the server. After the limit the connection must be given up: the answer may still come.
    pub(super) async fn limited<T>(&self, doing: &str, wait: impl Future<Output = T>) -> Result<T, Error> {
        within(self.limit, doing, wait).await
    }
}

/// Waits for the server for so long at most.
pub(super) async fn within<T>(limit: Duration, doing: &str, wait: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(limit, wait).await.map_err(|_elapsed| Error::no_answer(doing, limit))
}

/// Reads the URL. No error shows a part of it, since it may hold a password.
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

/// A connection, driven by this runtime.
pub(super) async fn alone(target: &Target) -> Result<Link, Error> {
    let connected = within(target.limit.min(CONNECT_WAIT), CONNECTING, connect(target)).await?;
    connected.map_err(Error::of_connecting)
}

async fn connect(target: &Target) -> Result<Link, Error> {
    let failed = |error| fault::error(CONNECTING, error);
    let (client, connection) = target.config.connect(NoTls).await.map_err(failed)?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            // Whoever waits for an answer hears of it too.
            tracing::debug!(error = &error as &dyn std::error::Error, "a PostgreSQL connection broke");
        }
    });
    let link = Link { client, driver: driver.abort_handle() };
    // The server ends a slow statement by itself when its caller does, so that the connection can be used again.
    let limit = format!("SET statement_timeout = {};", target.limit.as_millis());
    link.client.batch_execute(&(limit + SETTINGS)).await.map_err(failed)?;
    Ok(link)
}

/// Refuses a database that can't hold our text, and says so when the server does not sync what it commits.
pub(super) async fn check_server(client: &Client, target: &Target) -> Result<(), Error> {
    let name = "checking the PostgreSQL server";
    let row = client.query_one("SELECT current_setting('server_encoding'), current_setting('fsync')", &[]);
    let row = target.limited(name, row).await?.map_err(|error| fault::error(name, error))?;
    let setting = |column| row.try_get::<_, &str>(column).map_err(|error| fault::error(name, error));
    if setting(0)? != "UTF8" {
        return Err(Error::refused(name, "the database's encoding is not UTF8"));
    }
    if setting(1)? == "off" {
        tracing::warn!("the PostgreSQL server runs with fsync = off: a crash of its machine loses acknowledged pushes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PostgresConfig;

    #[test]
    fn a_url_that_demands_tls_or_is_none_is_refused_and_no_error_shows_a_part_of_the_url() {
        for (url, tls) in [
            ("postgres://ecru:hush@db/ecru?sslmode=require", true),
            ("postgres://ecru:hush@db/ecru?sslmode=verify-full", true),
            ("postgres://ecru:hush@db/ecru?hush=1", false),
            ("mysql://ecru:hush@db/ecru", false),
            ("host=db password='hush", false),
            ("hush", false),
        ] {
            let Err(error) = target(url, CONNECT_WAIT) else { panic!("{url} was taken") };
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!((source.contains("TLS"), source.contains("postgres://USER")), (tls, !tls), "{url}: {source}");
            for shown in [error.to_string(), source, format!("{error:?}")] {
                assert!(!shown.contains("hush"), "{shown}");
            }
        }
    }

    #[test]
    fn a_config_s_debug_does_not_show_its_url() {
        let url = "postgres://ecru:hush@db/ecru".to_owned();
        let shown = format!("{:?}", PostgresConfig { url, max_connections: 1, timeout: CONNECT_WAIT, now_us: 0 });
        assert!(!shown.contains("hush") && !shown.contains("db/ecru"), "{shown}");
    }
}
