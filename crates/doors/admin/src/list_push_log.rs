//! ListPushLog: a repository's pushes and refused pushes, newest first.

use crate::{Admin, Error};
use aws::Timestamp;
use call::Operation;
use call::check;
use call::page::{Listing, PageRequest};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::{Digest, RepositoryName};
use registry::permission;
use registry::push_log::{self, PushLogLine, PushOutcome};
use serde::{Deserialize, Serialize};

/// Lines of a page: the default, and the maximum below.
const DEFAULT_RESULTS: u32 = 100;
const MAX_RESULTS: u32 = 1000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListPushLog {
    registry_id: Option<String>,
    repository_name: Option<String>,
    /// Leave out pushes that succeeded.
    #[serde(default)]
    refused_only: Option<bool>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug)]
pub struct Checked {
    name: RepositoryName,
    refused_only: bool,
    asked: PageRequest,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    pub lines: Vec<LineOut>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One push, or one refusal with its repeats.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LineOut {
    pub at: Timestamp,
    pub outcome: OutcomeOut,
    pub principal_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// The image that the tag pointed to before this push, or still points to if the tag did not move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_image_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalOut>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutcomeOut {
    Pushed,
    /// The image was stored, but its immutable tag did not move.
    TagKept,
    Refused,
}

/// The refused call, and the answer it got.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalOut {
    pub action: String,
    pub status_code: u16,
    pub error_code: String,
    pub message: String,
    /// Number of refusals since `firstAt`.
    pub times: u64,
    pub first_at: Timestamp,
}

impl Operation for ListPushLog {
    const NAME: &'static str = "ListPushLog";
    const OF_REGISTRY: bool = true;
    type Api = Admin;
    type Checked = Checked;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![permission::need_on("ecru:ListPushLog", registry, self.repository_name.as_deref())]
    }

    fn check(self) -> Result<Checked, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let limit = check::max_results(self.max_results, DEFAULT_RESULTS, MAX_RESULTS)?;
        let asked = PageRequest { token: self.next_token, limit };
        Ok(Checked { name, refused_only: self.refused_only.unwrap_or(false), asked })
    }

    async fn handle(Checked { name, refused_only, asked }: Checked, cx: &Cx, _app: &App) -> Result<Output, Error> {
        let listing = Listing::new(cx, Self::NAME, &[name.as_str(), &refused_only.to_string()]);
        let after = listing.decode_cursor(asked.token.as_deref())?;
        let page = push_log::list(cx, &name, refused_only, after, asked.limit).await?;
        Ok(Output {
            lines: page.items.into_iter().map(LineOut::from).collect(),
            next_token: listing.encode_cursor(page.next),
        })
    }
}

impl From<PushLogLine> for LineOut {
    fn from(line: PushLogLine) -> LineOut {
        let text = |digest: Digest| digest.to_string();
        let (outcome, held, refusal) = match line.outcome {
            PushOutcome::Pushed { replaced } => (OutcomeOut::Pushed, replaced, None),
            PushOutcome::TagKept { holds } => (OutcomeOut::TagKept, holds, None),
            PushOutcome::Refused(refused) => {
                let refusal = RefusalOut {
                    action: refused.action,
                    status_code: refused.status,
                    error_code: refused.code,
                    message: refused.message,
                    times: refused.times,
                    first_at: Timestamp(refused.first_at.0),
                };
                (OutcomeOut::Refused, None, Some(refusal))
            }
        };
        LineOut {
            at: Timestamp(line.at.0),
            outcome,
            principal_arn: line.principal,
            source_address: line.source,
            user_agent: line.user_agent,
            request_id: line.request_id,
            image_tag: line.tag,
            image_digest: line.digest.map(text),
            held_image_digest: held.map(text),
            refusal,
        }
    }
}
