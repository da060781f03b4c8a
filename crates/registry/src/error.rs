//! Every failure of the domain. Variants bear AWS's exception names; Display is the message that a client reads.
use std::borrow::Cow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The whole text of `ECR.md` G.5.
    #[error("{0}")]
    AccessDenied(Box<policy::Denial>),
    #[error("Invalid parameter at '{member}' failed to satisfy constraint: '{constraint}'")]
    InvalidParameter { member: Cow<'static, str>, constraint: Constraint },
    #[error("{0}")]
    Validation(String),
    #[error("Invalid parameter at '{member}' failed to satisfy constraint: '{reason}'")]
    InvalidTagParameter { member: &'static str, reason: String },
    #[error("The number of tags on the repository would be {count}; at most {max} are allowed")]
    TooManyTags { count: usize, max: usize },
    #[error("The repository with name '{name}' does not exist in the registry with id '{account}'")]
    RepositoryNotFound { name: String, account: String },
    #[error("The repository with name '{name}' already exists in the registry with id '{account}'")]
    RepositoryAlreadyExists { name: String, account: String },
    #[error(
        "The repository with name '{name}' in registry with id '{account}' cannot be deleted because it still contains images"
    )]
    RepositoryNotEmpty { name: String, account: String },
    /// A member of the encryption configuration asks for KMS, which is not available yet.
    #[error("{message}")]
    Kms { kms_error: &'static str, message: String },
    /// `setting` is the key under `[limits]` that raises it, where there is one.
    #[error("{message}")]
    LimitExceeded { message: String, setting: Option<&'static str> },
    #[error(
        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}' in registry with id '{account}'"
    )]
    ImageAlreadyExists { digest: String, tag: String, name: String, account: String },
    /// `held` says what the tag holds and since when, for the docker door's longer text (`ECR.md` R 4).
    #[error(
        "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
    )]
    ImageTagAlreadyExists { tag: String, name: String, held: Box<oci::Digest>, since: crate::clock::Time },
    #[error(
        "The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the repository with name '{name}' in the registry with id '{account}'"
    )]
    ImageNotFound { digest: String, tag: String, name: String, account: String },
    #[error("Image digest '{given}' does not match the digest of the manifest, '{computed}'")]
    ImageDigestDoesNotMatch { given: String, computed: String },
    #[error(
        "Images with digests '[{digests}]' required for pushing image into repository with name '{name}' in the registry with id '{account}' do not exist"
    )]
    ReferencedImagesNotFound { digests: String, name: String, account: String },
    #[error("{}", by.message(digests, name, account))]
    LayersNotFound { by: LayersNotFoundBy, digests: String, name: String, account: String },
    /// DELETE of a layer that an image of the repository stands on.
    #[error("The layer '{digest}' is in use by an image of the repository '{name}'")]
    LayerInUse { digest: String, name: String },
    #[error(
        "The layer with digest '{digest}' is not referenced by an image in the repository with name '{name}' in the registry with id '{account}'"
    )]
    LayerInaccessible { digest: String, name: String, account: String },
    /// A layer's stored bytes are missing or not those that were pushed. It is marked, and counts as missing until it is pushed again.
    #[error(
        "The stored bytes of the layer with digest '{digest}' are damaged; it counts as missing until it is pushed again"
    )]
    LayerDamaged { digest: String },
    #[error(
        "The layer with digest '{digest}' already exists in the repository with name '{name}' in the registry with id '{account}'"
    )]
    LayerAlreadyExists { digest: String, name: String, account: String },
    #[error(
        "The upload with id '{id}' does not exist in the repository with name '{name}' in the registry with id '{account}'"
    )]
    UploadNotFound { id: String, name: String, account: String },
    #[error("{reason}")]
    InvalidLayerPart { reason: String, account: String, name: String, id: String, last_valid_byte: Option<u64> },
    #[error("Layer digest '{given}' does not match the digest of the uploaded bytes, '{computed}'")]
    InvalidLayer { given: String, computed: String },
    #[error("A layer part other than the last is smaller than {min} bytes")]
    LayerPartTooSmall { min: u64 },
    #[error("The upload with id '{id}' has no bytes")]
    EmptyUpload { id: String },
    /// The client's body ended early or could not be read.
    #[error("the request body ended early: {0}")]
    BodyTruncated(String),
    /// Load: try again (503 with Retry-After).
    #[error("The service is busy; try again")]
    Busy,
    /// The stores can't do it now (full, read-only, gone): 503 with Retry-After on every door. Nothing of the call was kept,
    /// unless it is [in doubt](Error::is_in_doubt). `cure` is what whoever runs the server can do.
    #[error("{message}")]
    Unavailable {
        message: &'static str,
        cure: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A fault of ours. The client reads no more than this; the cause is logged once at the edge.
    #[error("An internal error occurred")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Who asks for a layer that is not there: the texts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayersNotFoundBy {
    Read,
    Manifest,
}

impl LayersNotFoundBy {
    fn message(self, digests: &str, name: &str, account: &str) -> String {
        match self {
            LayersNotFoundBy::Read => format!(
                "Layers with digests '[{digests}]' do not exist in the repository with name '{name}' in the registry with id '{account}'"
            ),
            LayersNotFoundBy::Manifest => format!(
                "Layers with digests '[{digests}]' required for pushing image into repository with name '{name}' in the registry with id '{account}' do not exist"
            ),
        }
    }
}

/// What a member fails to satisfy (`ECR.md` 0 "Two validation styles").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Constraint {
    #[error("must satisfy regular expression '{0}'")]
    Pattern(&'static str),
    #[error("Member must have length greater than or equal to {0}")]
    MinLength(u64),
    #[error("Member must have length less than or equal to {0}")]
    MaxLength(u64),
    #[error("Member must have value greater than or equal to {0}")]
    MinValue(i64),
    #[error("Member must have value less than or equal to {0}")]
    MaxValue(i64),
    #[error("Member must satisfy enum value set: [{}]", .0.join(", "))]
    Enum(&'static [&'static str]),
    #[error("Member must not be null")]
    Null,
    /// AWS says no more of a manifest that it can't take; the docker door says what is wrong.
    #[error("Invalid JSON syntax")]
    Manifest(oci::InvalidManifest),
    #[error("{0}")]
    Text(Cow<'static, str>),
}

/// What every door says once the data directory is gone.
const DATA_REMOVED: &str = "The data directory was removed; put it or a backup back, and restart ecru";
const RESTART: &str = "a start without the directory begins an empty store";
const DATABASE_BACK: &str = "see to the PostgreSQL server and try again: no restart of ecru is needed";
const FREE_SPACE: &str = "free space on the server and push again: no restart is needed";
const MAKE_WRITABLE: &str = "make the server's file system writable and push again";

impl Error {
    pub fn invalid(member: impl Into<Cow<'static, str>>, constraint: Constraint) -> Error {
        Error::InvalidParameter { member: member.into(), constraint }
    }
    /// A limit that is reached; `setting` is its key under `[limits]`, if it can be set.
    pub fn limit(setting: Option<&'static str>, message: String) -> Error {
        Error::LimitExceeded { message, setting }
    }
    /// Whether nobody knows what became of the call's change: it may have been committed.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Error::Server(_) => true,
            Error::Unavailable { source, .. } => {
                matches!(source.downcast_ref(), Some(meta::Error::InDoubt(_) | meta::Error::Corrupt(_)))
            }
            _ => false,
        }
    }
    pub fn server(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Server(Box::new(cause))
    }
}

impl From<meta::Error> for Error {
    fn from(error: meta::Error) -> Error {
        match error {
            meta::Error::Busy => Error::Busy,
            meta::Error::Full(_) => Error::Unavailable {
                message: "No space left for metadata; nothing was stored",
                cure: FREE_SPACE,
                source: Box::new(error),
            },
            meta::Error::ReadOnly(_) => Error::Unavailable {
                message: "The metadata store is read-only; nothing was stored",
                cure: MAKE_WRITABLE,
                source: Box::new(error),
            },
            meta::Error::Corrupt(_) => Error::Unavailable {
                message: "The database is damaged",
                cure: "have the server's operator restore a backup (`ecru restore`)",
                source: Box::new(error),
            },
            meta::Error::Unreachable(_) => Error::Unavailable {
                message: "The database can't be reached; nothing was stored",
                cure: DATABASE_BACK,
                source: Box::new(error),
            },
            meta::Error::InDoubt(_) => Error::Unavailable {
                message: "The database was lost while it stored the change; try again",
                cure: DATABASE_BACK,
                source: Box::new(error),
            },
            meta::Error::Removed => {
                Error::Unavailable { message: DATA_REMOVED, cure: RESTART, source: Box::new(error) }
            }
            meta::Error::Closed => {
                let (message, cure) = ("The service is shutting down", "try again when it has started");
                Error::Unavailable { message, cure, source: Box::new(error) }
            }
            other => Error::Server(Box::new(other)),
        }
    }
}

impl From<blob::Error> for Error {
    fn from(error: blob::Error) -> Error {
        match error {
            blob::Error::Busy => Error::Busy,
            blob::Error::Full(_) => Error::Unavailable {
                message: "No space left for layers; nothing was stored",
                cure: FREE_SPACE,
                source: Box::new(error),
            },
            blob::Error::Removed => {
                Error::Unavailable { message: DATA_REMOVED, cure: RESTART, source: Box::new(error) }
            }
            blob::Error::ReadOnly(_) => Error::Unavailable {
                message: "The layer store is read-only; nothing was stored",
                cure: MAKE_WRITABLE,
                source: Box::new(error),
            },
            other => Error::Server(Box::new(other)),
        }
    }
}
