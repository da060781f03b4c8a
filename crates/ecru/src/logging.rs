//! The log on stderr, as text for people or as JSON for collectors.

mod fields;
mod lines;
mod repeats;
mod short;

pub use lines::Gathering;

use fields::Fields;
use lines::Lines;
use repeats::Repeats;
use short::Short;
use std::io::IsTerminal as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt as _, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// The format of log lines.
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

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("something in this process logs already")]
    Started(#[from] TryInitError),
    #[error("the log's thread can't be started")]
    Thread(#[from] std::io::Error),
}

/// Starts the log of the process on stderr. On a terminal, text is coloured and each request is one short line; elsewhere it has
/// every field. Repeated warnings and errors are counted. Dropping the result flushes waiting lines; later lines are written at
/// once.
pub fn start(format: LogFormat, level: LevelFilter) -> Result<Gathering, LoggingError> {
    let terminal = std::io::stderr().is_terminal();
    let (lines, gathering) = Lines::to(std::io::stderr())?;
    let repeats = Repeats::start()?;
    let layer = match format {
        LogFormat::Text if terminal => {
            fmt::layer().with_writer(lines).with_ansi(colours()).event_format(Short::new()).boxed()
        }
        LogFormat::Text => {
            fmt::layer().with_writer(lines).with_ansi(false).with_target(false).fmt_fields(Fields).boxed()
        }
        LogFormat::Json => fmt::layer()
            .with_writer(lines)
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
    };
    let layer = layer.with_filter(filter(level).and(repeats.clone()));
    tracing_subscriber::registry().with(layer).try_init()?;
    Ok(gathering.after(move || repeats.close()))
}

/// Whether to use colours on a terminal: not with NO_COLOR (no-color.org) or a terminal without colours.
fn colours() -> bool {
    let set = |name: &str| std::env::var(name).unwrap_or_default();
    set("NO_COLOR").is_empty() && set("TERM") != "dumb"
}

/// Filters by level, and drops PostgreSQL's notices: they are logged as INFO and say at each start that the tables exist.
fn filter(level: LevelFilter) -> Targets {
    let notices = if level == LevelFilter::INFO { LevelFilter::WARN } else { level };
    Targets::new().with_default(level).with_target("tokio_postgres", notices)
}
