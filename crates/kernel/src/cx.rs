//! The context of a call.

use crate::access::Caller;
use crate::{RegistryId, System};
use std::net::IpAddr;
use std::sync::Arc;

/// The origin of a call, for policy conditions and the audit log.
#[derive(Clone, Debug)]
pub enum Origin {
    Request(RequestOrigin),
    /// A background job of this kind.
    Job(&'static str),
}

/// The origin of a request.
#[derive(Clone, Debug)]
pub struct RequestOrigin {
    /// The client's address. Behind a trusted proxy it is the address that the proxy reports.
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
    /// The origin of a request. `None` for a job.
    pub fn request(&self) -> Option<&RequestOrigin> {
        match self {
            Origin::Request(request) => Some(request),
            Origin::Job(_) => None,
        }
    }
}

/// The context of one call: the caller, the registry, the origin, and the process.
#[derive(Clone)]
pub struct Cx {
    pub system: Arc<System>,
    pub caller: Arc<Caller>,
    /// The registry that the call acts on. It may belong to another account than the caller.
    pub registry: RegistryId,
    pub origin: Origin,
}

/// The largest number of characters of a User-Agent that a record keeps. A client may send up to 64 KiB.
const MAX_USER_AGENT: usize = 256;

impl Cx {
    /// The caller's ARN, in the partition of the registry's region.
    pub fn caller_arn(&self) -> String {
        self.caller.arn(self.registry.partition())
    }

    /// The context of a job of this kind about a registry, which a service such as `ecr.amazonaws.com` does by itself.
    pub fn for_job(system: Arc<System>, service: &'static str, registry: RegistryId, kind: &'static str) -> Cx {
        Cx { system, caller: Caller::service(service).into(), registry, origin: Origin::Job(kind) }
    }

    /// The share of the transfer buffers that this call uses. All calls of one caller from one address have the same share, and so have
    /// all jobs of one kind.
    pub fn share(&self) -> blob::BufferShare {
        let from = match &self.origin {
            Origin::Request(request) => Ok(request.address),
            Origin::Job(kind) => Err(*kind),
        };
        self.system.buffers.share(&(self.caller.identity.key(), from))
    }

    /// The source of the call in records: the client's address, or for a job the name of its service, as in CloudTrail.
    pub fn source(&self) -> String {
        self.origin.request().map_or_else(|| self.caller_arn(), |request| request.address.to_string())
    }

    /// The first characters of the client's User-Agent, or for a job the name of its service, as in CloudTrail.
    pub fn user_agent(&self) -> String {
        match &self.origin {
            Origin::Request(request) => crate::excerpt(&request.user_agent, MAX_USER_AGENT),
            Origin::Job(_) => self.caller_arn(),
        }
    }

    /// The id of the request. `None` for a job.
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
