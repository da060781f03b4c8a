//! What can be done on `/v2/`, and the permissions that it needs (`ECR.md` B.3, end of B.10).
use super::path::Endpoint;
use http::Method;
use oci::{Digest, Reference, RepositoryName};
use registry::access::{Need, Resource};

/// A call of the docker door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Ping,
    Catalog,
    ListTags {
        name: RepositoryName,
    },
    GetManifest {
        name: RepositoryName,
        reference: Reference,
        head: bool,
    },
    PutManifest {
        name: RepositoryName,
        reference: Reference,
    },
    DeleteManifest {
        name: RepositoryName,
        reference: Reference,
    },
    ListReferrers {
        name: RepositoryName,
        digest: Digest,
    },
    HeadBlob {
        name: RepositoryName,
        digest: Digest,
    },
    GetBlob {
        name: RepositoryName,
        digest: Digest,
    },
    DeleteBlob {
        name: RepositoryName,
        digest: Digest,
    },
    /// `whole`: the layer comes with this one request.
    StartUpload {
        name: RepositoryName,
        whole: bool,
    },
    AppendUpload {
        name: RepositoryName,
        id: String,
    },
    /// `bytes`: the request brings some.
    CompleteUpload {
        name: RepositoryName,
        id: String,
        bytes: bool,
    },
    UploadStatus {
        name: RepositoryName,
        id: String,
    },
    CancelUpload {
        name: RepositoryName,
        id: String,
    },
}

/// What the head of a request says beside its method and path.
#[derive(Clone, Copy, Debug)]
pub struct Hints {
    /// The query names a digest, and no mount.
    pub digest_without_mount: bool,
    pub has_body: bool,
}

impl Operation {
    /// The operation of a method on an endpoint; else the methods that the endpoint has, as `Allow` lists them.
    pub fn find(method: &Method, endpoint: Endpoint, hints: Hints) -> Result<Operation, &'static str> {
        let head = *method == Method::HEAD;
        let get = head || *method == Method::GET;
        match endpoint {
            Endpoint::Base if get => Ok(Operation::Ping),
            Endpoint::Catalog if get => Ok(Operation::Catalog),
            Endpoint::Tags { name } if get => Ok(Operation::ListTags { name }),
            Endpoint::Referrers { name, digest } if get => Ok(Operation::ListReferrers { name, digest }),
            Endpoint::Base | Endpoint::Catalog | Endpoint::Tags { .. } | Endpoint::Referrers { .. } => Err("GET, HEAD"),
            Endpoint::Manifest { name, reference } => match *method {
                Method::GET | Method::HEAD => Ok(Operation::GetManifest { name, reference, head }),
                Method::PUT => Ok(Operation::PutManifest { name, reference }),
                Method::DELETE => Ok(Operation::DeleteManifest { name, reference }),
                _ => Err("GET, HEAD, PUT, DELETE"),
            },
            Endpoint::Blob { name, digest } => match *method {
                Method::HEAD => Ok(Operation::HeadBlob { name, digest }),
                Method::GET => Ok(Operation::GetBlob { name, digest }),
                Method::DELETE => Ok(Operation::DeleteBlob { name, digest }),
                _ => Err("GET, HEAD, DELETE"),
            },
            Endpoint::Uploads { name } if *method == Method::POST => {
                Ok(Operation::StartUpload { name, whole: hints.digest_without_mount })
            }
            Endpoint::Uploads { .. } => Err("POST"),
            Endpoint::Upload { name, id } => match *method {
                Method::PATCH => Ok(Operation::AppendUpload { name, id }),
                Method::PUT => Ok(Operation::CompleteUpload { name, id, bytes: hints.has_body }),
                Method::GET | Method::HEAD => Ok(Operation::UploadStatus { name, id }),
                Method::DELETE => Ok(Operation::CancelUpload { name, id }),
                _ => Err("GET, HEAD, PATCH, PUT, DELETE"),
            },
        }
    }

    /// Whether the operation is a step of a push.
    pub fn pushes(&self) -> bool {
        match self {
            Operation::PutManifest { .. }
            | Operation::StartUpload { .. }
            | Operation::AppendUpload { .. }
            | Operation::CompleteUpload { .. } => true,
            Operation::Ping
            | Operation::Catalog
            | Operation::ListTags { .. }
            | Operation::GetManifest { .. }
            | Operation::DeleteManifest { .. }
            | Operation::ListReferrers { .. }
            | Operation::HeadBlob { .. }
            | Operation::GetBlob { .. }
            | Operation::DeleteBlob { .. }
            | Operation::UploadStatus { .. }
            | Operation::CancelUpload { .. } => false,
        }
    }

    /// What the caller must be allowed, in the order in which a refusal names what is missing.
    pub fn needs(&self) -> Vec<Need> {
        match self {
            // A good token is all.
            Operation::Ping => Vec::new(),
            Operation::Catalog => vec![Need::new("ecr:DescribeRepositories", Resource::AllRepositories)],
            Operation::ListTags { name } => vec![Need::on("ecr:ListImages", name)],
            Operation::GetManifest { name, .. } | Operation::ListReferrers { name, .. } => {
                vec![Need::on("ecr:BatchGetImage", name)]
            }
            Operation::PutManifest { name, .. } => vec![Need::on("ecr:PutImage", name)],
            Operation::DeleteManifest { name, .. } | Operation::DeleteBlob { name, .. } => {
                vec![Need::on("ecr:BatchDeleteImage", name)]
            }
            Operation::HeadBlob { name, .. } => vec![Need::on("ecr:BatchCheckLayerAvailability", name)],
            Operation::GetBlob { name, .. } => vec![Need::on("ecr:GetDownloadUrlForLayer", name)],
            Operation::StartUpload { name, whole: false } => vec![Need::on("ecr:InitiateLayerUpload", name)],
            Operation::StartUpload { name, whole: true } => vec![
                Need::on("ecr:InitiateLayerUpload", name),
                Need::on("ecr:UploadLayerPart", name),
                Need::on("ecr:CompleteLayerUpload", name),
            ],
            Operation::CompleteUpload { name, bytes: true, .. } => {
                vec![Need::on("ecr:UploadLayerPart", name), Need::on("ecr:CompleteLayerUpload", name)]
            }
            Operation::CompleteUpload { name, bytes: false, .. } => vec![Need::on("ecr:CompleteLayerUpload", name)],
            Operation::AppendUpload { name, .. }
            | Operation::UploadStatus { name, .. }
            | Operation::CancelUpload { name, .. } => vec![Need::on("ecr:UploadLayerPart", name)],
        }
    }
}
