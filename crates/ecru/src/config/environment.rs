//! Settings from the environment: `ECRU_*`.

use super::{SettingsError, SettingsSource};
use std::fmt::Display;
use std::str::FromStr;

/// The variables that this module reads.
const SETTINGS: [&str; 23] = [
    "ECRU_DATA",
    "ECRU_LISTEN",
    "ECRU_TLS_CERT",
    "ECRU_TLS_KEY",
    "ECRU_ACME_DOMAINS",
    "ECRU_ACME_CONTACT",
    "ECRU_ACME_DIRECTORY",
    "ECRU_ACME_CA",
    "ECRU_HTTP2",
    "ECRU_URL",
    "ECRU_DOMAIN",
    "ECRU_REGIONS",
    "ECRU_DEV",
    "ECRU_POSTGRES",
    "ECRU_POSTGRES_CONNECTIONS",
    "ECRU_POSTGRES_TIMEOUT",
    "ECRU_ROOT_KEY",
    "ECRU_ROOT_KEY_FILE",
    "ECRU_METRICS_LISTEN",
    "ECRU_REDIRECT_LAYERS",
    "ECRU_TRUSTED_PROXIES",
    "ECRU_LOG_FORMAT",
    "ECRU_LOG_LEVEL",
];
/// Variables that are read elsewhere, or by the project's tests.
const OTHERS: [&str; 3] = ["ECRU_CONFIG", super::ADMIN_ID, super::ADMIN_SECRET];
const TESTS: &str = "ECRU_TEST_";

/// Looks up a variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads all settings from the environment. An empty variable counts as not set.
pub fn read(variables: Variables<'_>) -> Result<SettingsSource, SettingsError> {
    Ok(SettingsSource {
        data: one(variables, "ECRU_DATA")?,
        listen: many(variables, "ECRU_LISTEN")?,
        tls_cert: one(variables, "ECRU_TLS_CERT")?,
        tls_key: one(variables, "ECRU_TLS_KEY")?,
        acme_domains: many(variables, "ECRU_ACME_DOMAINS")?,
        acme_contact: one(variables, "ECRU_ACME_CONTACT")?,
        acme_directory: one(variables, "ECRU_ACME_DIRECTORY")?,
        acme_ca: one(variables, "ECRU_ACME_CA")?,
        http2: switch(variables, "ECRU_HTTP2")?,
        url: one(variables, "ECRU_URL")?,
        domain: one(variables, "ECRU_DOMAIN")?,
        regions: many(variables, "ECRU_REGIONS")?,
        dev: switch(variables, "ECRU_DEV")?,
        postgres: one(variables, "ECRU_POSTGRES")?,
        postgres_connections: one(variables, "ECRU_POSTGRES_CONNECTIONS")?,
        postgres_timeout: one(variables, "ECRU_POSTGRES_TIMEOUT")?,
        root_key: one(variables, "ECRU_ROOT_KEY")?,
        root_key_file: one(variables, "ECRU_ROOT_KEY_FILE")?,
        metrics_listen: one(variables, "ECRU_METRICS_LISTEN")?,
        redirect_layers: switch(variables, "ECRU_REDIRECT_LAYERS")?,
        trusted_proxies: many(variables, "ECRU_TRUSTED_PROXIES")?,
        log_format: one(variables, "ECRU_LOG_FORMAT")?,
        log_level: one(variables, "ECRU_LOG_LEVEL")?,
        ..SettingsSource::default()
    })
}

/// Returns the variables named `ECRU_*` that nothing reads. They are not an error, because others may set them: Kubernetes makes
/// `ECRU_PORT` and `ECRU_SERVICE_HOST` for a Service named `ecru`.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = |name: &str| SETTINGS.contains(&name) || OTHERS.contains(&name) || name.starts_with(TESTS);
    let mut unknown: Vec<String> = names.filter(|name| name.starts_with("ECRU_") && !known(name)).collect();
    unknown.sort();
    unknown
}

/// Returns a variable's value if it is not empty.
pub fn set(variables: Variables<'_>, name: &str) -> Option<String> {
    variables(name).filter(|value| !value.is_empty())
}

fn one<T: FromStr<Err: Display>>(variables: Variables<'_>, name: &'static str) -> Result<Option<T>, SettingsError> {
    set(variables, name).map(|text| parse(name, &text)).transpose()
}

fn many<T: FromStr<Err: Display>>(
    variables: Variables<'_>,
    name: &'static str,
) -> Result<Option<Vec<T>>, SettingsError> {
    let Some(text) = set(variables, name) else { return Ok(None) };
    text.split(',').map(|part| parse(name, part.trim())).collect::<Result<_, _>>().map(Some)
}

fn switch(variables: Variables<'_>, name: &'static str) -> Result<Option<bool>, SettingsError> {
    match set(variables, name).as_deref() {
        None => Ok(None),
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        Some(_) => Err(SettingsError::Variable { name, reason: "it must be true or false".to_owned() }),
    }
}

/// Parses a variable. The error names the variable but not its value, which may be a secret.
fn parse<T: FromStr<Err: Display>>(name: &'static str, text: &str) -> Result<T, SettingsError> {
    text.parse().map_err(|error: T::Err| SettingsError::Variable { name, reason: error.to_string() })
}
