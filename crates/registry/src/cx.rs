//! The context of a call, and what the process stands on.
use crate::access::Caller;
use crate::clock::{SharedClock, Time};
use crate::keys::Keys;
use crate::limits::Limits;
use crate::quirks::Quirks;
use crate::random::Random;
use std::net::IpAddr;
use std::sync::Arc;

/// What the whole process shares: the stores, the clock, chance, keys, limits.
pub struct System {
    pub db: meta::Db,
    pub blobs: Arc<dyn blob::Engine>,
    pub buffers: blob::Buffers,
    pub clock: SharedClock,
    pub random: Arc<dyn Random>,
    pub keys: Keys,
    pub limits: Limits,
    pub quirks: Quirks,
    /// Wakes the job runner on this node; see `jobs`.
    pub jobs: crate::jobs::Bell,
    /// Which upload sessions are being written on this node; see `upload`.
    pub uploads: crate::upload::Writers,
    /// What docker tokens were found to say a moment ago; see `login`.
    pub logins: crate::login::Logins,
    /// Refused pushes on their way to their repositories' logs; see `push_log`.
    pub push_log: crate::push_log::Queue,
    /// Pulls on their way to their images' records; see `image::pull_times`.
    pub pull_times: crate::image::pull_times::PullTimes,
    /// What this node knows of the room in quotas; see `quota`.
    pub quota: crate::Quota,
}

impl System {
    pub fn now(&self) -> Time {
        self.clock.now()
    }
    pub fn id(&self) -> [u8; 16] {
        crate::random::id(self.random.as_ref(), self.now())
    }
}

/// A registry: one account in one region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegistryId {
    pub account: aws::AccountId,
    pub region: aws::Region,
}

impl RegistryId {
    pub fn key(&self) -> meta::records::RegistryKey {
        meta::records::RegistryKey { account: self.account.to_string(), region: self.region.to_string() }
    }
    /// `arn:aws:ecr:REGION:ACCT:repository/NAME`
    pub fn repository_arn(&self, name: &str) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.account)
    }
}

/// Where a call came from, for conditions and for the audit line.
#[derive(Clone, Debug)]
pub struct Origin {
    pub address: IpAddr,
    /// The listener's local address, such as `127.0.0.1:5050`.
    pub listener: Arc<str>,
    pub tls: bool,
    pub user_agent: String,
    pub request_id: String,
}

/// The context of one call: who calls, which registry is meant, from where, and the system beneath.
#[derive(Clone)]
pub struct Cx {
    pub system: Arc<System>,
    pub caller: Caller,
    /// The registry that the call is about; not always the caller's.
    pub registry: RegistryId,
    pub origin: Origin,
}

impl Cx {
    /// What this call's transfers may hold of the buffers: those of one caller from one address share.
    pub fn share(&self) -> blob::Share {
        self.system.buffers.share(&format!("{} {}", self.caller.arn(), self.origin.address))
    }
}

impl std::ops::Deref for Cx {
    type Target = System;
    fn deref(&self) -> &System {
        &self.system
    }
}
