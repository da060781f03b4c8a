//! The domain of identities: accounts, users, roles, their keys, sessions and docker tokens. It knows no HTTP and no JSON of any wire.
//!
//! Each kind of thing is a file. [`credential`] and [`login`] tell who calls, and `policies` finds by which policies a call is authorized.

pub mod access_key;
pub mod account;
pub mod account_summary;
pub mod attachment;
pub mod aws_managed;
pub mod bootstrap;
pub mod control_policy;
pub mod credential;
pub mod credential_use;
pub mod entity;
mod error;
pub mod group;
pub mod inline_policy;
pub mod instance_profile;
pub mod login;
pub mod managed_policy;
mod policies;
mod policy_document;
pub mod policy_version;
pub mod role;
pub mod service_role;
pub mod session;
pub mod token;
pub mod user;

use kernel::{Capability, CommonError, Cx, Domain, Realm, RegistryId, System, clock, keys};

pub use error::Error;
pub use meta::records::iam::EntityKind;
pub use meta::records::iam_policy::Purpose;

/// The parts that the domain of identities adds to a process.
pub const DOMAIN: Domain = Domain {
    job_kinds: &[&session::SessionExpire],
    capabilities: &[credential_use::CAPABILITY, login::CAPABILITY, policies::CAPABILITY],
    policies: Some(&policies::IdentityPolicies),
};
