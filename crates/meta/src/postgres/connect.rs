//! Connections: where to, and under which settings.
use super::fault;
use crate::Error;
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

/// How long making a connection may take, unless the URL says `connect_timeout`.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// After how long a dead peer is noticed: idle, and with bytes unacknowledged.
const PEER_WAIT: Duration = Duration::from_secs(30);

/// What every connection sets. `off` would acknowledge what a crash of the server loses; anything stronger stays as the
/// operator chose it. A sequential scan locks its whole table for a serializable transaction, so indexes are preferred
/// however small the table; the planner charges so much for one left over that it would compile the query (`jit`). Every
/// statement has one plan whatever its values, so it is planned once and not for each execution. The timeouts bound a
/// statement, and what a node that vanished mid-transaction can hold.
const SETTINGS: &str = "\
SET statement_timeout = '30s';
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

/// Reads the URL. No error shows a part of it, since it may hold a password.
pub(super) fn target(url: &str) -> Result<Config, Error> {
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
    Ok(config)
}

/// A connection, driven by this runtime. It ends when the client is dropped.
pub(super) async fn alone(target: &Config) -> Result<Client, Error> {
    match tokio::time::timeout(CONNECT_WAIT, connect(target)).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(Error::refused(CONNECTING, "it took too long")),
    }
}

async fn connect(target: &Config) -> Result<Client, Error> {
    let (client, connection) = target.connect(NoTls).await.map_err(|error| fault::error(CONNECTING, error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a PostgreSQL connection broke");
        }
    });
    client.batch_execute(SETTINGS).await.map_err(|error| fault::error(CONNECTING, error))?;
    Ok(client)
}

/// Refuses a database that can't hold our text, and says so when the server does not sync what it commits.
pub(super) async fn check_server(client: &Client) -> Result<(), Error> {
    let name = "checking the PostgreSQL server";
    let row = client.query_one("SELECT current_setting('server_encoding'), current_setting('fsync')", &[]).await;
    let row = row.map_err(|error| fault::error(name, error))?;
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
            let error = target(url).unwrap_err();
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
        let shown = format!("{:?}", crate::PostgresConfig { url, max_connections: 1, now_us: 0 });
        assert!(!shown.contains("hush") && !shown.contains("db/ecru"), "{shown}");
    }
}
