//! `ecru jobs`: the queue of background jobs, and how a job that was given up runs again.

use super::client::{Client, ClientError, ServerArgs};
use admin::{JobStateOut, ListJobsJob, ListJobsOutput, RetryJobsOutput};
use jiff::Timestamp;
use serde_json::json;

/// Jobs of one answer at most: ListJobs' own limit.
const PAGE: u32 = 200;

/// Shows the background jobs of a running server, with the caller's AWS credentials.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Jobs {
    #[command(subcommand)]
    pub action: Option<Action>,
    #[command(flatten)]
    pub list: List,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    Retry(Retry),
}

/// Which jobs to show.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Only jobs that were given up after too many failed attempts.
    #[arg(long)]
    pub dead: bool,
    /// Jobs at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// The jobs as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Runs jobs again that were given up, with all their attempts.
#[derive(Debug, clap::Args)]
pub struct Retry {
    /// The jobs' kind, as `ecru jobs` shows it.
    pub kind: String,
    /// The job's key; without it all dead jobs of the kind run again.
    pub key: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

impl Jobs {
    /// Asks a running server, and returns what a person or a script reads.
    pub async fn run(self) -> Result<String, ClientError> {
        match self.action {
            Some(Action::Retry(retry)) => retry.run().await,
            None => self.list.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&|name| std::env::var(name).ok())?;
        let (jobs, more) = self.jobs(&client).await?;
        if self.json {
            return Ok(format!("{:#}\n", json!({ "jobs": jobs })));
        }
        let nothing = if self.dead { "No job is dead.\n" } else { "There are no jobs.\n" };
        let mut text = if jobs.is_empty() { nothing.to_owned() } else { table(&jobs) };
        if more {
            text.push_str(&format!("There are more than {}: see --limit.\n", self.limit));
        }
        Ok(text)
    }

    /// As many jobs as there are, up to the limit, and whether there are more.
    async fn jobs(&self, client: &Client) -> Result<(Vec<ListJobsJob>, bool), ClientError> {
        let (mut jobs, mut token): (Vec<ListJobsJob>, Option<String>) = (Vec::new(), None);
        loop {
            let wanted = self.limit.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
            let input = json!({ "deadOnly": self.dead, "maxResults": wanted.min(PAGE), "nextToken": token });
            let page: ListJobsOutput = client.call("ListJobs", &input).await?;
            jobs.extend(page.jobs);
            token = page.next_token;
            if token.is_none() || jobs.len() >= self.limit as usize {
                return Ok((jobs, token.is_some()));
            }
        }
    }
}

impl Retry {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.server.client(&|name| std::env::var(name).ok())?;
        let input = json!({ "kind": self.kind, "key": self.key });
        let RetryJobsOutput { retried } = client.call("RetryJobs", &input).await?;
        match (retried, self.key) {
            (0, Some(key)) => Err(ClientError::NoDeadJob { kind: self.kind, key }),
            (0, None) => Ok(format!(
                "There is no dead job of the kind '{}'; `ecru jobs --dead` shows those there are.\n",
                self.kind
            )),
            (1, _) => Ok("1 job runs again.\n".to_owned()),
            (count, _) => Ok(format!("{count} jobs run again.\n")),
        }
    }
}

const HEADINGS: [&str; 6] = ["LANE", "KIND", "KEY", "STATE", "ATTEMPTS", "DUE"];

/// A line for each job, with its error and its progress below it.
fn table(jobs: &[ListJobsJob]) -> String {
    let rows: Vec<[String; 6]> = jobs.iter().map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = written(HEADINGS, widths);
    for (row, job) in rows.iter().zip(jobs) {
        text.push_str(&written(row.each_ref().map(String::as_str), widths));
        for (name, value) in [("error", &job.last_error), ("progress", &job.progress)] {
            if let Some(value) = value {
                text.push_str(&format!("    {name}: {}\n", value.replace(char::is_control, " ")));
            }
        }
    }
    text
}

fn written(cells: [&str; 6], widths: [usize; 6]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:width$}  "));
    }
    format!("{}\n", line.trim_end())
}

fn row(job: &ListJobsJob) -> [String; 6] {
    let state = match job.state {
        JobStateOut::Waiting => "waiting",
        JobStateOut::Running => "running",
        JobStateOut::Dead => "dead",
    };
    // A dead job is never due, and a running one is due only if its runner dies.
    let due = match job.state {
        JobStateOut::Waiting => {
            Timestamp::from_microsecond(job.due_at.0).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        }
        JobStateOut::Running | JobStateOut::Dead => "-".to_owned(),
    };
    let lane = job.lane.clone().unwrap_or_else(|| "-".to_owned());
    [lane, job.kind.clone(), job.key.clone(), state.to_owned(), job.attempts.to_string(), due]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_has_a_line_and_its_error_and_progress_one_each() {
        let job = |state, lane: Option<&str>, last_error: Option<&str>, progress: Option<&str>| ListJobsJob {
            kind: "upload_expire".to_owned(),
            key: "k1".to_owned(),
            lane: lane.map(str::to_owned),
            state,
            attempts: 2,
            due_at: aws::Timestamp(1_795_258_800_000_000),
            last_error: last_error.map(str::to_owned),
            progress: progress.map(str::to_owned),
        };
        let jobs = [
            job(JobStateOut::Waiting, None, None, None),
            job(JobStateOut::Running, Some("short"), None, Some("3 of 9")),
            job(JobStateOut::Dead, Some("short"), Some("a fault:\nof the disk"), None),
        ];
        let expected = "\
LANE   KIND           KEY  STATE    ATTEMPTS  DUE
-      upload_expire  k1   waiting  2         2026-11-21T11:00:00Z
short  upload_expire  k1   running  2         -
    progress: 3 of 9
short  upload_expire  k1   dead     2         -
    error: a fault: of the disk
";
        assert_eq!(table(&jobs), expected);
    }
}
