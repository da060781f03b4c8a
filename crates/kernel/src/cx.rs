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
    /// `arn:PARTITION:ecr:REGION:ACCT:repository/NAME`
    pub fn repository_arn(&self, name: &str) -> String {
        format!("arn:{}:ecr:{}:{}:repository/{name}", self.region.partition(), self.region, self.account)
    }
}

/// What a call comes from, for conditions and for the audit line.
#[derive(Clone, Debug)]
pub enum Origin {
    Request(RequestOrigin),
    /// A background job of this kind.
    Job(&'static str),
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct RequestOrigin {
    /// The client's address, of which a trusted proxy may have told.
    pub address: IpAddr,
    /// The listener's local address, such as `127.0.0.1:5050`.
    pub listener: Arc<str>,
    pub tls: bool,
    pub user_agent: String,
    pub request_id: String,
}

impl From<RequestOrigin> for Origin {
    fn from(request: RequestOrigin) -> Origin {
        Origin::Request(request)
    }
}

impl Origin {
    /// The request, if a request is what the call comes from.
    pub fn request(&self) -> Option<&RequestOrigin> {
        match self {
            Origin::Request(request) => Some(request),
            Origin::Job(_) => None,
        }
    }
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

/// Characters of a User-Agent at most that a record keeps: a client may send 64 KiB of it.
const MAX_USER_AGENT: usize = 256;

/// The beginning of a client's text, without what the stores don't take.
pub fn excerpt(text: &str, characters: usize) -> String {
    text.chars().take(characters).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Cx {
    /// The caller's ARN, in the partition of the registry's region.
    pub fn caller_arn(&self) -> String {
        self.caller.arn(self.registry.region.partition())
    }

    /// The context of a job of this kind about a registry, which a service such as `ecr.amazonaws.com` does by itself.
    pub fn for_job(system: Arc<System>, service: &'static str, registry: RegistryId, kind: &'static str) -> Cx {
        Cx { system, caller: Caller::Service { name: service }, registry, origin: Origin::Job(kind) }
    }

    /// What this call's transfers may hold of the buffers: those of one caller from one address share, and so do all jobs of one
    /// kind.
    pub fn share(&self) -> blob::BufferShare {
        let from = match &self.origin {
            Origin::Request(request) => Ok(request.address),
            Origin::Job(kind) => Err(*kind),
        };
        self.system.buffers.share(&(self.caller.identity(), from))
    }

    /// The source of the call as records name it: the client's address or, as in CloudTrail, the service whose job it is.
    pub fn source(&self) -> String {
        self.origin.request().map_or_else(|| self.caller_arn(), |request| request.address.to_string())
    }

    /// The beginning of the client's User-Agent or, as in CloudTrail, the service whose job it is.
    pub fn user_agent(&self) -> String {
        match &self.origin {
            Origin::Request(request) => excerpt(&request.user_agent, MAX_USER_AGENT),
            Origin::Job(_) => self.caller_arn(),
        }
    }

    /// The id of the request; jobs have none.
    pub fn request_id(&self) -> Option<&str> {
        self.origin.request().map(|request| request.request_id.as_str())
    }
}

impl std::ops::Deref for Cx {
    type Target = System;
    fn deref(&self) -> &System {
        &self.system
    }
}
