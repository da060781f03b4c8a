//! The domain of identities: accounts, users, roles, their keys, sessions and docker tokens. It knows no HTTP and no JSON of any wire.
//!
//! It tells who calls ([`credential`], [`login`]).

pub mod bootstrap;
pub mod credential;
pub mod login;
pub mod token;

use kernel::{Capability, CommonError, Cx, Domain, Realm, RegistryId, System, clock, keys, lock};

/// The parts that the domain of identities adds to a process.
pub const DOMAIN: Domain = Domain { job_kinds: &[], capabilities: &[login::CAPABILITY], policies: None };
