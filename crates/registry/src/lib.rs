//! The domain of registries: repositories, images, layers and uploads. It knows no HTTP and no JSON of any wire.
//!
//! Each capability is a file. A function that reads or writes a store takes [`Cx`], and is the only way to do what it does, for every
//! door.

pub mod account_setting;
pub mod collect;
mod error;
pub mod image;
pub mod layer;
pub mod layer_url;
pub mod permission;
mod policies;
mod policy_text;
pub mod push_log;
mod quota;
pub mod referrers;
pub mod registry_policy;
pub mod repository;
pub mod repository_policy;
pub mod resource_tags;
mod tag_mutability;
pub mod upload;

use kernel::{
    Capability, CommonError, Constraint, Cx, Domain, RegistryId, System, access, clock, jobs, keys, quirks, random,
};

pub use error::{Error, LayersNotFoundBy};

/// The parts that the domain of registries adds to a process.
pub const DOMAIN: Domain = Domain {
    job_kinds: JOB_KINDS,
    policies: Some(&policies::StoredPolicies),
    capabilities: &[
        upload::CAPABILITY,
        collect::CAPABILITY,
        push_log::CAPABILITY,
        image::pull_times::CAPABILITY,
        quota::CAPABILITY,
        policies::CAPABILITY,
    ],
};

/// Every kind of job of the domain.
pub const JOB_KINDS: jobs::JobKinds = &[&upload::UploadExpire, &collect::Collect];

use kernel::{event, lock, outbox};
