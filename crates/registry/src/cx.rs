//! The context of a call.
use crate::System;
use crate::access::Caller;
use std::net::IpAddr;
use std::sync::Arc;

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
    pub fn share(&self) -> blob::BufferShare {
        self.system.buffers.share(&format!("{} {}", self.caller.arn(), self.origin.address))
    }
}

impl std::ops::Deref for Cx {
    type Target = System;
    fn deref(&self) -> &System {
        &self.system
    }
}
