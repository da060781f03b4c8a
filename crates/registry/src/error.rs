//! The errors of the domain. Those that every domain shares are [`CommonError`]. Variants have AWS's exception names, and Display is the
//! message that a client reads.

use kernel::{CommonError, Constraint, Fault};
use std::borrow::Cow;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error that every domain may return: denied, invalid, busy, unavailable, or an internal failure.
    #[error(transparent)]
    Common(#[from] CommonError),
    /// AWS's message does not explain the fault of a manifest. The docker door does.
    #[error("Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")]
    InvalidManifest(oci::InvalidManifest),
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
    #[error(
        "Repository policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
    )]
    RepositoryPolicyNotFound { name: String, account: String },
    #[error("Registry policy does not exist in the registry with id '{account}'")]
    RegistryPolicyNotFound { account: String },
    /// The encryption configuration requires KMS, which is not available yet.
    #[error("{message}")]
    Kms { kms_error: &'static str, message: String },
    /// `setting` is the key under `[limits]` that raises the limit, if there is one.
    #[error("{message}")]
    LimitExceeded { message: String, setting: Option<&'static str> },
    #[error(
        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}' in registry with id '{account}'"
    )]
    ImageAlreadyExists { digest: String, tag: String, name: String, account: String },
    /// `held` is the digest of the tag's image and `since` the time of the tag's last move, for the docker door's longer text (`ECR.md`
    /// R 4).
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
    /// DELETE of a layer that an image of the repository references.
    #[error("The layer '{digest}' is in use by an image of the repository '{name}'")]
    LayerInUse { digest: String, name: String },
    #[error(
        "The layer with digest '{digest}' is not referenced by an image in the repository with name '{name}' in the registry with id '{account}'"
    )]
    LayerInaccessible { digest: String, name: String, account: String },
    /// A layer's stored bytes are missing or corrupt. It is marked as damaged, and counts as missing until it is pushed again.
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
}

/// The kind of call that needs a missing layer. AWS's texts differ.
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

impl Error {
    pub fn invalid(member: impl Into<Cow<'static, str>>, constraint: Constraint) -> Error {
        CommonError::invalid(member, constraint).into()
    }
    /// Returns the error for a limit. `setting` is its key under `[limits]`, if it can be configured.
    pub fn limit(setting: Option<&'static str>, message: String) -> Error {
        Error::LimitExceeded { message, setting }
    }
    /// Returns true if the outcome of the call's change is unknown, because it may have been committed.
    pub fn is_in_doubt(&self) -> bool {
        self.common().is_some_and(CommonError::is_in_doubt)
    }
    pub fn server(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        CommonError::server(cause).into()
    }
}

impl Error {
    /// AWS's name of the error in the JSON protocol (`ECR.md` A.15). The doors name the common errors by their protocol; here they have
    /// ECR's names.
    pub fn name(&self) -> &'static str {
        match self {
            Error::Common(CommonError::AccessDenied(_)) => "AccessDeniedException",
            Error::Common(CommonError::InvalidParameter { .. }) | Error::InvalidManifest(_) => {
                "InvalidParameterException"
            }
            Error::Common(CommonError::Busy | CommonError::Unavailable { .. } | CommonError::Server(_)) => {
                "ServerException"
            }
            Error::Validation(_) => "ValidationException",
            Error::InvalidTagParameter { .. } => "InvalidTagParameterException",
            Error::TooManyTags { .. } => "TooManyTagsException",
            Error::RepositoryPolicyNotFound { .. } => "RepositoryPolicyNotFoundException",
            Error::RegistryPolicyNotFound { .. } => "RegistryPolicyNotFoundException",
            Error::RepositoryNotFound { .. } => "RepositoryNotFoundException",
            Error::RepositoryAlreadyExists { .. } => "RepositoryAlreadyExistsException",
            Error::RepositoryNotEmpty { .. } => "RepositoryNotEmptyException",
            Error::Kms { .. } => "KmsException",
            Error::LimitExceeded { .. } => "LimitExceededException",
            Error::ImageAlreadyExists { .. } => "ImageAlreadyExistsException",
            Error::ImageTagAlreadyExists { .. } => "ImageTagAlreadyExistsException",
            Error::ImageNotFound { .. } => "ImageNotFoundException",
            Error::ImageDigestDoesNotMatch { .. } => "ImageDigestDoesNotMatchException",
            Error::ReferencedImagesNotFound { .. } => "ReferencedImagesNotFoundException",
            Error::LayersNotFound { .. } | Error::LayerDamaged { .. } => "LayersNotFoundException",
            // Only the docker door deletes a single layer. In the API this error is a failure in a batch.
            Error::LayerInUse { .. } => "InvalidParameterException",
            Error::LayerInaccessible { .. } => "LayerInaccessibleException",
            Error::LayerAlreadyExists { .. } => "LayerAlreadyExistsException",
            Error::UploadNotFound { .. } => "UploadNotFoundException",
            Error::InvalidLayerPart { .. } => "InvalidLayerPartException",
            Error::InvalidLayer { .. } => "InvalidLayerException",
            Error::LayerPartTooSmall { .. } => "LayerPartTooSmallException",
            Error::EmptyUpload { .. } => "EmptyUploadException",
            Error::BodyTruncated(_) => "SerializationException",
        }
    }
}

impl Fault for Error {
    fn common(&self) -> Option<&CommonError> {
        if let Error::Common(common) = self { Some(common) } else { None }
    }
}

impl From<meta::Error> for Error {
    fn from(error: meta::Error) -> Error {
        Error::Common(error.into())
    }
}

impl From<blob::Error> for Error {
    fn from(error: blob::Error) -> Error {
        Error::Common(error.into())
    }
}
