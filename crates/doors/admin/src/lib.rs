//! The `ecru` door: operations that AWS has no call for (JSON 1.1, SigV4 service `ecru`, target prefix `Ecru_V20261121`, actions
//! `ecru:*`).
//!
//! Its calls are about the whole server and are authorized in the default account, to which the server's operators belong. A call
//! about one registry sets [`call::Operation::OF_REGISTRY`] and is authorized in that registry, like the calls of ECR.

mod account;
mod collect;
mod control_policy;
mod deleted_image;
mod deleted_repository;
mod failure;
mod list_jobs;
mod list_push_log;
mod retry_jobs;
mod server_status;

use aws::AccountId;
use call::{Entry, JsonVersion, Protocol, Service};

pub use account::{
    AccountOut, CreateAccount, CreateAccountOutput, DeleteAccount, ListAccounts, ListAccountsOutput, Nothing,
};
pub use collect::{CollectUnused, CollectUnusedOutput, DescribeUnused, DescribeUnusedOutput};
pub use control_policy::{
    ControlPolicyOut, DeleteControlPolicy, ListControlPolicies, ListControlPoliciesOutput, PutControlPolicy,
};
pub use deleted_image::{
    DeletedImageOut, ListDeletedImages, ListDeletedImagesOutput, PurgeImage, PurgeImageOutput, RestoreImage,
    RestoreImageOutput,
};
pub use deleted_repository::{PutRepositoryProtection, RestoreRepository, RestoreRepositoryOutput};
pub use failure::{Admin, Error};
pub use list_jobs::{JobOut as ListJobsJob, JobStateOut, ListJobs, Output as ListJobsOutput};
pub use list_push_log::{
    LineOut as PushLogLine, ListPushLog, OutcomeOut as PushLogOutcome, Output as ListPushLogOutput,
    RefusalOut as PushLogRefusal,
};
pub use retry_jobs::{Output as RetryJobsOutput, RetryJobs};
pub use server_status::{Output as ServerStatusOutput, ServerStatus};

/// The part of `X-Amz-Target` before the dot.
pub const TARGET: &str = "Ecru_V20261121";
/// The service in the credential scope of a signature.
pub const SIGNING_NAME: &str = "ecru";

pub const SERVICE: Service = Service {
    signing_name: SIGNING_NAME,
    namesake: None,
    global_region: None,
    account: Some(AccountId::DEFAULT),
    protocol: Protocol::Json { target: TARGET, version: JsonVersion::V1_1 },
    stated_life: true,
    operations: &[
        Entry::json::<CollectUnused>(),
        Entry::json::<CreateAccount>(),
        Entry::json::<DeleteAccount>(),
        Entry::json::<DeleteControlPolicy>(),
        Entry::json::<DescribeUnused>(),
        Entry::json::<ListAccounts>(),
        Entry::json::<ListControlPolicies>(),
        Entry::json::<ListDeletedImages>(),
        Entry::json::<ListJobs>(),
        Entry::json::<ListPushLog>(),
        Entry::json::<PurgeImage>(),
        Entry::json::<PutControlPolicy>(),
        Entry::json::<PutRepositoryProtection>(),
        Entry::json::<RestoreImage>(),
        Entry::json::<RestoreRepository>(),
        Entry::json::<RetryJobs>(),
        Entry::json::<ServerStatus>(),
    ],
    not_yet: &[],
};
