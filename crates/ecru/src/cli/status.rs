//! `ecru status`: how a running server is.

use super::client::{ClientError, ServerArgs};
use super::health::Wait;
use admin::ServerStatusOutput;
use http::Uri;

/// Asks a running server how it is, with the caller's AWS credentials.
#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub wait: Wait,
}

/// A server's answer, and whether it is ready.
pub struct Report {
    pub text: String,
    pub ready: bool,
}

impl Status {
    /// Asks, until the server is ready or the wait is over, and puts the answer into lines that a person reads.
    pub async fn run(self) -> Result<Report, ClientError> {
        let ready = || async {
            match self.ask().await {
                Ok(report) if report.ready => Ok(report),
                other => Err(other),
            }
        };
        self.wait.until_ok(ready).await.or_else(|last| last)
    }

    async fn ask(&self) -> Result<Report, ClientError> {
        let client = self.server.client(&|name| std::env::var(name).ok())?;
        let status: ServerStatusOutput = client.call("ServerStatus", &serde_json::json!({})).await?;
        Ok(Report { text: lines(client.endpoint(), &status), ready: status.ready })
    }
}

/// The first line says which server was asked: several settings can name one.
fn lines(endpoint: &Uri, status: &ServerStatusOutput) -> String {
    let state = if status.ready { "ready" } else { "not ready" };
    let endpoint = endpoint.to_string();
    let mut text = format!(
        "ecru {} at {}: {state}\nup: {}\nmetadata: {}\n",
        status.version,
        endpoint.trim_end_matches('/'),
        uptime(status.uptime_seconds),
        status.metadata_engine
    );
    for problem in &status.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}

/// `3 days 04:05:06`
fn uptime(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day {clock}"),
        _ => format!("{days} days {clock}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uptime_is_told_in_days_and_as_a_clock() {
        for (seconds, text) in [
            (0, "00:00:00"),
            (3_661, "01:01:01"),
            (86_399, "23:59:59"),
            (86_400, "1 day 00:00:00"),
            (273_906, "3 days 04:05:06"),
        ] {
            assert_eq!(uptime(seconds), text);
        }
    }

    #[test]
    fn a_report_says_what_is_wrong() {
        let status = ServerStatusOutput {
            version: "1.2.3".to_owned(),
            started_at: aws::Timestamp(0),
            uptime_seconds: 61,
            ready: false,
            problems: vec!["no space left for layers".to_owned()],
            metadata_engine: "sqlite".to_owned(),
            call_body_bytes_free: 1,
        };
        assert_eq!(
            lines(&Uri::from_static("http://localhost:5050/"), &status),
            "ecru 1.2.3 at http://localhost:5050: not ready\nup: 00:01:01\nmetadata: sqlite\nproblem: no space left for layers\n"
        );
    }
}
