//! Log lines: what happened, on stderr, as text for a person or as JSON for a collector.
use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl std::str::FromStr for LogFormat {
    type Err = InvalidLogFormat;

    fn from_str(text: &str) -> Result<LogFormat, InvalidLogFormat> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(InvalidLogFormat),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be text or json")]
pub struct InvalidLogFormat;

/// Something in this process logs already.
#[derive(Debug, thiserror::Error)]
#[error("the log can't be started")]
pub struct LoggingError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Sends the log of the whole process to stderr, in colour only to a terminal.
pub fn start(format: LogFormat, level: LevelFilter) -> Result<(), LoggingError> {
    let stderr = std::io::stderr;
    let lines = match format {
        LogFormat::Text => {
            fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false).boxed()
        }
        LogFormat::Json => fmt::layer()
            .with_writer(stderr)
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(filter(level))).try_init();
    started.map_err(|error| LoggingError(error.into()))
}

/// PostgreSQL's notices come as INFO, and say at each start that the tables exist already.
fn filter(level: LevelFilter) -> Targets {
    let notices = if level == LevelFilter::INFO { LevelFilter::WARN } else { level };
    Targets::new().with_default(level).with_target("tokio_postgres", notices)
}
