//! ListJobs: the queue of background jobs, in the order of kind and key.

use crate::{Admin, Error};
use aws::Timestamp;
use call::page::{Listing, PageRequest};
use call::{Operation, check};
use kernel::access::Need;
use kernel::jobs::{self, Job, JobQuery, JobState};
use kernel::{CommonError, Constraint, Cx, RegistryId};
use listen::app::App;
use registry::permission;
use serde::{Deserialize, Serialize};

/// Jobs of a page: the default, and the maximum below. A job's error and progress have up to 1 KiB each.
const DEFAULT_RESULTS: u32 = 100;
const MAX_RESULTS: u32 = 200;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListJobs {
    /// Return only dead jobs.
    #[serde(default)]
    dead_only: Option<bool>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug)]
pub struct Checked {
    dead_only: bool,
    asked: PageRequest,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub jobs: Vec<JobOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobOut {
    pub kind: String,
    pub key: String,
    /// Absent if this version does not know the job's kind. Such jobs belong to a newer version and do not run here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    pub state: JobStateOut,
    /// Failed runs since the last success.
    pub attempts: u64,
    /// When the job runs next. For a running job: when another node may take it over if this one has died.
    pub due_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStateOut {
    Waiting,
    Running,
    /// Given up after too many failed attempts.
    Dead,
}

impl Operation for ListJobs {
    const NAME: &'static str = "ListJobs";
    type Api = Admin;
    type Checked = Checked;
    type Output = Output;

    /// Authorized in the default account, like every call about the whole server.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:ListJobs", permission::registry(registry))]
    }

    fn check(self) -> Result<Checked, Error> {
        let limit = check::max_results(self.max_results, DEFAULT_RESULTS, MAX_RESULTS)?;
        let asked = PageRequest { token: self.next_token, limit };
        Ok(Checked { dead_only: self.dead_only.unwrap_or(false), asked })
    }

    async fn handle(Checked { dead_only, asked }: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let listing = Listing::new(cx, Self::NAME, &[if dead_only { "dead" } else { "all" }]);
        let after = listing.decode_cursor(asked.token.as_deref())?.map(read_cursor).transpose()?;
        let query = JobQuery { dead_only, after, limit: asked.limit };
        let (jobs, more) = jobs::list(&cx.system, cx.system.job_kinds(), query).await?;
        let next = jobs.last().filter(|_| more).map(|last| format!("{}\n{}", last.kind, last.key).into_bytes());
        Ok(Output { jobs: jobs.into_iter().map(JobOut::from).collect(), next_token: listing.encode_cursor(next) })
    }
}

/// Parses a cursor: the kind and key of the previous page's last job, separated by a line break. No kind contains one.
fn read_cursor(cursor: Vec<u8>) -> Result<(String, String), Error> {
    let text = String::from_utf8(cursor).ok();
    let parts = text.as_deref().and_then(|text| text.split_once('\n'));
    let (kind, key) =
        parts.ok_or_else(|| CommonError::invalid("nextToken", Constraint::Text("Invalid token".into())))?;
    Ok((kind.to_owned(), key.to_owned()))
}

impl From<Job> for JobOut {
    fn from(job: Job) -> JobOut {
        JobOut {
            kind: job.kind,
            key: job.key,
            lane: job.lane.map(str::to_owned),
            state: match job.state {
                JobState::Waiting => JobStateOut::Waiting,
                JobState::Running => JobStateOut::Running,
                JobState::Dead => JobStateOut::Dead,
            },
            attempts: job.attempts,
            due_at: Timestamp(job.due.0),
            last_error: job.last_error,
            progress: job.progress,
        }
    }
}
