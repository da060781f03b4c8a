//! The `ecru` door: what AWS has no call for (JSON 1.1, SigV4 service `ecru`, target prefix `Ecru_V20261121`, actions `ecru:*`).
//!
//! Its calls are about the whole server, and so about the default account: only who may do so there operates it. A call about a
//! registry says so ([`call::Operation::OF_REGISTRY`]), and is judged there as those of ECR are.

mod list_jobs;
mod list_push_log;
mod retry_jobs;
mod server_status;

use aws::AccountId;
use call::{Api, Entry, Exception, JsonVersion, Protocol, Service};
use registry::Error;

pub use list_jobs::{JobOut as ListJobsJob, JobStateOut, ListJobs, Output as ListJobsOutput};
pub use list_push_log::{
    LineOut as PushLogLine, ListPushLog, OutcomeOut as PushLogOutcome, Output as ListPushLogOutput,
    RefusalOut as PushLogRefusal,
};
pub use retry_jobs::{Output as RetryJobsOutput, RetryJobs};
pub use server_status::{Output as ServerStatusOutput, ServerStatus};

/// What stands before an operation in `X-Amz-Target`.
pub const TARGET: &str = "Ecru_V20261121";
/// The service in the scope of a signature.
pub const SIGNING_NAME: &str = "ecru";

pub const SERVICE: Service = Service {
    signing_name: SIGNING_NAME,
    namesake: None,
    global_region: None,
    account: Some(AccountId::DEFAULT),
    protocol: Protocol::Json { target: TARGET, version: JsonVersion::V1_1 },
    stated_life: true,
    operations: &[
        Entry::json::<ListJobs>(),
        Entry::json::<ListPushLog>(),
        Entry::json::<RetryJobs>(),
        Entry::json::<ServerStatus>(),
    ],
    not_yet: &[],
};

/// The service, as its operations see it.
pub struct Admin;

impl Api for Admin {
    type Error = Error;
    type Attempt = ();

    fn exception(error: &Error) -> Exception {
        Exception::bad(error.name())
    }
}
