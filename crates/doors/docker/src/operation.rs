//! The operations on `/v2/` and the permissions that they need (`ECR.md` B.3, end of B.10).

use super::path::{Endpoint, InvalidPath, InvalidReference, UploadPath};
use http::Method;
use kernel::access::{NamedImage, Need};
use kernel::{RegistryId, action};
use oci::{Digest, Reference, RepositoryName, Tag};
use registry::permission;
use registry::push_log::PushAttempt;

/// An operation of the docker door with the arguments from its path and query.
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
    /// GET, HEAD or DELETE of a manifest whose reference is neither a tag nor a digest. No such manifest can exist.
    MissingManifest {
        name: RepositoryName,
        reference: InvalidReference,
        delete: bool,
    },
    PutManifest {
        name: RepositoryName,
        reference: Reference,
        query: ManifestQuery,
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
    /// `whole`: this request carries the whole layer. `mount`: the client asks to mount the layer from another repository.
    StartUpload {
        name: RepositoryName,
        whole: bool,
        mount: Option<Mount>,
    },
    AppendUpload {
        name: RepositoryName,
        upload: UploadPath,
    },
    /// `bytes`: the request has a body.
    CompleteUpload {
        name: RepositoryName,
        upload: UploadPath,
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

/// A layer of another repository that the client asks to mount in this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub digest: Digest,
    pub from: RepositoryName,
}

/// The tags and the digest in the query of a push, beside the path's. Malformed ones are absent: the push is refused later for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestQuery {
    pub tags: Vec<Tag>,
    pub digest: Option<Digest>,
}

/// What the head of a request says besides its method and path.
#[derive(Clone, Debug)]
pub struct Hints {
    /// The query has `digest` and no `mount`.
    pub digest_without_mount: bool,
    /// The layer that the query asks to mount; `None` if the query has no source, or an invalid digest or name.
    pub mount: Option<Mount>,
    /// Empty unless the method is PUT.
    pub manifest: ManifestQuery,
    pub has_body: bool,
}

/// Why there is no operation for a method on an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoOperation {
    /// The endpoint accepts only these methods, in the form of `Allow`.
    Method(&'static str),
    /// Nothing can be stored under the path's name.
    Path(InvalidPath),
}

impl Operation {
    /// Returns the operation that a method performs on an endpoint.
    pub fn find(method: &Method, endpoint: Endpoint, hints: Hints) -> Result<Operation, NoOperation> {
        let head = *method == Method::HEAD;
        let get = head || *method == Method::GET;
        let refused = |allow: &'static str| Err(NoOperation::Method(allow));
        match endpoint {
            Endpoint::Base if get => Ok(Operation::Ping),
            Endpoint::Catalog if get => Ok(Operation::Catalog),
            Endpoint::Tags { name } if get => Ok(Operation::ListTags { name }),
            Endpoint::Referrers { name, digest } if get => Ok(Operation::ListReferrers { name, digest }),
            Endpoint::Base | Endpoint::Catalog | Endpoint::Tags { .. } | Endpoint::Referrers { .. } => {
                refused("GET, HEAD")
            }
            Endpoint::Manifest { name, reference } => match (method, reference) {
                (&Method::GET | &Method::HEAD, Ok(reference)) => Ok(Operation::GetManifest { name, reference, head }),
                (&Method::PUT, Ok(reference)) => Ok(Operation::PutManifest { name, reference, query: hints.manifest }),
                (&Method::DELETE, Ok(reference)) => Ok(Operation::DeleteManifest { name, reference }),
                (&Method::PUT, Err(invalid)) => Err(NoOperation::Path(invalid.into())),
                (&Method::GET | &Method::HEAD | &Method::DELETE, Err(reference)) => {
                    Ok(Operation::MissingManifest { name, reference, delete: *method == Method::DELETE })
                }
                _ => refused("GET, HEAD, PUT, DELETE"),
            },
            Endpoint::Blob { name, digest } => match *method {
                Method::HEAD => Ok(Operation::HeadBlob { name, digest }),
                Method::GET => Ok(Operation::GetBlob { name, digest }),
                Method::DELETE => Ok(Operation::DeleteBlob { name, digest }),
                _ => refused("GET, HEAD, DELETE"),
            },
            Endpoint::Uploads { name } if *method == Method::POST => {
                Ok(Operation::StartUpload { name, whole: hints.digest_without_mount, mount: hints.mount })
            }
            Endpoint::Uploads { .. } => refused("POST"),
            Endpoint::Upload { name, upload } => match *method {
                Method::PATCH => Ok(Operation::AppendUpload { name, upload }),
                Method::PUT => Ok(Operation::CompleteUpload { name, upload, bytes: hints.has_body }),
                Method::GET | Method::HEAD => Ok(Operation::UploadStatus { name, id: upload.id }),
                Method::DELETE => Ok(Operation::CancelUpload { name, id: upload.id }),
                _ => refused("GET, HEAD, PATCH, PUT, DELETE"),
            },
        }
    }

    /// Returns what the operation would push, for the repository's push log if it is refused; `None` if it is not a step of a
    /// push.
    pub fn attempt(&self) -> Option<PushAttempt> {
        let attempt =
            |action, name: &RepositoryName| PushAttempt { action, repository: name.clone(), tag: None, digest: None };
        match self {
            Operation::PutManifest { name, reference, .. } => {
                let (tag, digest) = match reference {
                    Reference::Tag(tag) => (Some(tag.to_string()), None),
                    Reference::Digest(digest) => (None, Some(*digest)),
                };
                Some(PushAttempt { tag, digest, ..attempt("PUT manifest", name) })
            }
            Operation::StartUpload { name, .. } => Some(attempt("POST upload", name)),
            Operation::AppendUpload { name, .. } => Some(attempt("PATCH upload", name)),
            Operation::CompleteUpload { name, .. } => Some(attempt("PUT upload", name)),
            Operation::Ping
            | Operation::Catalog
            | Operation::ListTags { .. }
            | Operation::GetManifest { .. }
            | Operation::MissingManifest { .. }
            | Operation::DeleteManifest { .. }
            | Operation::ListReferrers { .. }
            | Operation::HeadBlob { .. }
            | Operation::GetBlob { .. }
            | Operation::DeleteBlob { .. }
            | Operation::UploadStatus { .. }
            | Operation::CancelUpload { .. } => None,
        }
    }

    /// Returns the image that the operation names.
    pub fn image(&self) -> Option<(RepositoryName, Reference)> {
        match self {
            Operation::GetManifest { name, reference, .. }
            | Operation::PutManifest { name, reference, .. }
            | Operation::DeleteManifest { name, reference } => Some((name.clone(), reference.clone())),
            Operation::Ping
            | Operation::Catalog
            | Operation::ListTags { .. }
            | Operation::MissingManifest { .. }
            | Operation::ListReferrers { .. }
            | Operation::HeadBlob { .. }
            | Operation::GetBlob { .. }
            | Operation::DeleteBlob { .. }
            | Operation::StartUpload { .. }
            | Operation::AppendUpload { .. }
            | Operation::CompleteUpload { .. }
            | Operation::UploadStatus { .. }
            | Operation::CancelUpload { .. } => None,
        }
    }

    /// Returns the permissions that the caller needs in the registry. A refusal names the first missing one. Reading a public registry
    /// needs none.
    pub fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = |action, name| Need::new(registry.action(action), permission::repository(registry, name));
        let read = |action, name| if registry.is_public() { Vec::new() } else { vec![need(action, name)] };
        let read_image = |name, image| match registry.is_public() {
            true => Vec::new(),
            false => vec![need(action!("BatchGetImage"), name).on_image(image)],
        };
        let named = |reference: &Reference| match reference {
            Reference::Tag(tag) => NamedImage::new(Some(tag.clone()), None),
            Reference::Digest(digest) => NamedImage::new(None, Some(*digest)),
        };
        match self {
            // A valid token is enough.
            Operation::Ping => Vec::new(),
            Operation::Catalog => {
                vec![Need::new(
                    registry.action(action!("DescribeRepositories")),
                    permission::every_repository(registry),
                )]
            }
            Operation::ListTags { name } => read(action!("ListImages"), name),
            Operation::GetManifest { name, reference, .. } => read_image(name, named(reference)),
            Operation::MissingManifest { name, delete: false, .. } => read(action!("BatchGetImage"), name),
            Operation::ListReferrers { name, digest } => read_image(name, NamedImage::new(None, Some(*digest))),
            // A push of several tags needs the permission for each.
            Operation::PutManifest { name, reference, query } => {
                let NamedImage { tag, digest, .. } = named(reference);
                let push =
                    |tag| need(action!("PutImage"), name).on_image(NamedImage::new(tag, digest.or(query.digest)));
                match &query.tags[..] {
                    [] => vec![push(tag)],
                    tags => tags.iter().cloned().map(Some).map(push).collect(),
                }
            }
            Operation::DeleteManifest { name, reference } => {
                let NamedImage { tag, digest, .. } = named(reference);
                vec![need(action!("BatchDeleteImage"), name).on_image(NamedImage::to_delete(tag, digest))]
            }
            Operation::MissingManifest { name, delete: true, .. } | Operation::DeleteBlob { name, .. } => {
                vec![need(action!("BatchDeleteImage"), name)]
            }
            Operation::HeadBlob { name, .. } => read(action!("BatchCheckLayerAvailability"), name),
            Operation::GetBlob { name, .. } => read(action!("GetDownloadUrlForLayer"), name),
            Operation::StartUpload { name, whole: false, mount } => {
                let source = mount.iter().flat_map(|mount| read(action!("GetDownloadUrlForLayer"), &mount.from));
                std::iter::once(need(action!("InitiateLayerUpload"), name)).chain(source.map(Need::optional)).collect()
            }
            Operation::StartUpload { name, whole: true, .. } => vec![
                need(action!("InitiateLayerUpload"), name),
                need(action!("UploadLayerPart"), name),
                need(action!("CompleteLayerUpload"), name),
            ],
            Operation::CompleteUpload { name, bytes: true, .. } => {
                vec![need(action!("UploadLayerPart"), name), need(action!("CompleteLayerUpload"), name)]
            }
            Operation::CompleteUpload { name, bytes: false, .. } => vec![need(action!("CompleteLayerUpload"), name)],
            Operation::AppendUpload { name, .. }
            | Operation::UploadStatus { name, .. }
            | Operation::CancelUpload { name, .. } => vec![need(action!("UploadLayerPart"), name)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_needs_its_source_and_goes_on_without_it() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let mount = Mount { digest: Digest::of(oci::Algorithm::Sha512, b""), from: name("source") };
        let manifest = ManifestQuery::default();
        let hints = Hints { digest_without_mount: false, mount: Some(mount), manifest, has_body: false };
        let operation = Operation::find(&Method::POST, Endpoint::Uploads { name: name("app") }, hints).unwrap();
        let needs = |registry: &RegistryId| -> Vec<_> {
            operation.needs(registry).into_iter().map(|n| (n.action.into_owned(), n.resource, n.optional)).collect()
        };
        let private = RegistryId::private(aws::AccountId::DEFAULT, "us-east-1".parse().unwrap());
        let public = RegistryId::public(aws::AccountId::DEFAULT);
        let on = |registry, text| permission::repository(registry, &name(text));
        assert_eq!(
            needs(&private),
            [
                ("ecr:InitiateLayerUpload".to_owned(), on(&private, "app"), false),
                ("ecr:GetDownloadUrlForLayer".to_owned(), on(&private, "source"), true)
            ]
        );
        // Everybody may read the source.
        assert_eq!(needs(&public), [("ecr-public:InitiateLayerUpload".to_owned(), on(&public, "app"), false)]);
    }

    #[test]
    fn a_public_registry_is_read_without_a_permission_and_written_with_its_own() {
        let name = || "app".parse::<RepositoryName>().unwrap();
        let digest = Digest::of(oci::Algorithm::Sha256, b"");
        let reference = || Reference::Digest(digest);
        let public = RegistryId::public(aws::AccountId::DEFAULT);
        for read in [
            Operation::ListTags { name: name() },
            Operation::GetManifest { name: name(), reference: reference(), head: false },
            Operation::ListReferrers { name: name(), digest },
            Operation::HeadBlob { name: name(), digest },
            Operation::GetBlob { name: name(), digest },
        ] {
            assert!(read.needs(&public).is_empty(), "{read:?}");
        }
        for (write, action) in [
            (
                Operation::PutManifest { name: name(), reference: reference(), query: ManifestQuery::default() },
                "ecr-public:PutImage",
            ),
            (Operation::DeleteManifest { name: name(), reference: reference() }, "ecr-public:BatchDeleteImage"),
            (Operation::DeleteBlob { name: name(), digest }, "ecr-public:BatchDeleteImage"),
            (Operation::StartUpload { name: name(), whole: false, mount: None }, "ecr-public:InitiateLayerUpload"),
            (Operation::Catalog, "ecr-public:DescribeRepositories"),
        ] {
            let needs: Vec<_> = write.needs(&public).into_iter().map(|need| need.action).collect();
            assert_eq!(needs, [action], "{write:?}");
        }
    }
}
