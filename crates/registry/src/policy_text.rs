//! The text of a resource's policy: parsed, checked against the rules of ECR, and formatted for storing.

use crate::{CommonError, Constraint, Cx, Error, policies};
use aws::Partition;
use kernel::principals::{self, PrincipalError};
use meta::Tx;
use policy::{Document, Grammar, InvalidDocument, PolicyRules, ResourceMember};
use std::sync::Arc;

/// AWS's messages for an invalid policy (`ECR.md` 0).
pub(crate) const REPOSITORY: &str = "Invalid repository policy provided";
pub(crate) const REGISTRY: &str = "Invalid registry policy provided";

/// All actions of ECR, without the prefix (`ECR.md` G.2).
const ACTIONS: &[&str] = &[
    "BatchCheckLayerAvailability",
    "BatchDeleteImage",
    "BatchGetImage",
    "BatchGetRepositoryScanningConfiguration",
    "BatchImportUpstreamImage",
    "CompleteLayerUpload",
    "CreatePullThroughCacheRule",
    "CreateRepository",
    "CreateRepositoryCreationTemplate",
    "DeleteLifecyclePolicy",
    "DeletePullThroughCacheRule",
    "DeleteRegistryPolicy",
    "DeleteRepository",
    "DeleteRepositoryCreationTemplate",
    "DeleteRepositoryPolicy",
    "DeleteSigningConfiguration",
    "DeregisterPullTimeUpdateExclusion",
    "DescribeImageReplicationStatus",
    "DescribeImageScanFindings",
    "DescribeImageSigningStatus",
    "DescribeImages",
    "DescribePullThroughCacheRules",
    "DescribeRegistry",
    "DescribeReplicationBackfillResults",
    "DescribeRepositories",
    "DescribeRepositoryCreationTemplates",
    "GetAccountSetting",
    "GetAuthorizationToken",
    "GetDownloadUrlForLayer",
    "GetImageCopyStatus",
    "GetLifecyclePolicy",
    "GetLifecyclePolicyPreview",
    "GetRegistryPolicy",
    "GetRegistryScanningConfiguration",
    "GetRepositoryPolicy",
    "GetSigningConfiguration",
    "InitiateLayerUpload",
    "ListImages",
    "ListPullTimeUpdateExclusions",
    "ListReplicationBackfills",
    "ListTagsForResource",
    "PutAccountSetting",
    "PutImage",
    "PutImageScanningConfiguration",
    "PutImageTagMutability",
    "PutLifecyclePolicy",
    "PutRegistryPolicy",
    "PutRegistryScanningConfiguration",
    "PutReplicationConfiguration",
    "PutSigningConfiguration",
    "RegisterPullTimeUpdateExclusion",
    "ReplicateImage",
    "SetRepositoryPolicy",
    "StartImageScan",
    "StartLifecyclePolicyPreview",
    "StartReplicationBackfill",
    "StopReplicationBackfill",
    "TagResource",
    "UntagResource",
    "UpdateImageStorageClass",
    "UpdatePullThroughCacheRule",
    "UpdateRepositoryCreationTemplate",
    "UploadLayerPart",
    "ValidatePullThroughCacheRule",
];

/// A valid policy, ready for storing.
pub(crate) struct PolicyText {
    pub document: Arc<Document>,
    /// The text to show. It is indented, keeps the order of members, and names accounts by the ARN of their root principal.
    pub text: String,
    /// The text to store, which names users and roles of this installation by their unique ids.
    pub stored: String,
}

impl PolicyText {
    pub(crate) async fn of_repository(cx: &Cx, text: &str) -> Result<PolicyText, Error> {
        let rules =
            PolicyRules { service: "ecr", actions: ACTIONS, spelled_out: false, resource: ResourceMember::Implied };
        PolicyText::read(cx, text, REPOSITORY, &rules).await
    }

    pub(crate) async fn of_registry(cx: &Cx, text: &str) -> Result<PolicyText, Error> {
        let first = policies::is_of_version_1(cx).await?;
        let rules = PolicyRules {
            service: "ecr",
            actions: if first { policies::VERSION_1_ACTIONS } else { ACTIONS },
            spelled_out: first,
            resource: ResourceMember::Stated { account: cx.registry.account },
        };
        PolicyText::read(cx, text, REGISTRY, &rules).await
    }

    async fn read(cx: &Cx, text: &str, what: &str, rules: &PolicyRules<'_>) -> Result<PolicyText, Error> {
        let invalid = |error: InvalidDocument| refused(what, error);
        let document = Document::parse(text, Grammar::Resource).map_err(invalid)?;
        document.check(rules).map_err(invalid)?;
        let text = policy::readable(text, cx.registry.partition()).map_err(invalid)?;
        // Principals of other accounts are not checked (`ECR.md` A.2 SetRepositoryPolicy).
        let (own, named, shown) = (cx.registry.account, document.clone(), text.clone());
        let stored = cx.db.read(move |tx| principals::to_stored(tx, own, &named, &shown)).await;
        let stored = stored.map_err(|error| match error {
            unknown @ PrincipalError::Unknown { .. } => refused("Principal not found", unknown),
            PrincipalError::Text(error) => refused(what, error),
            PrincipalError::Store(error) => error.into(),
        })?;
        Ok(PolicyText { document: document.into(), text, stored })
    }
}

/// The error for an invalid policy: AWS's text and the reason.
pub(crate) fn refused(what: &str, why: impl std::fmt::Display) -> Error {
    Error::invalid("PolicyText", Constraint::Text(format!("{what}: {why}").into()))
}

/// A stored policy as it is shown. In a transaction, because a name may have to be looked up.
pub(crate) fn shown(tx: &mut Tx<'_>, partition: Partition, stored: String) -> Result<String, Error> {
    principals::to_shown(tx, partition, stored).map_err(|error| match error {
        PrincipalError::Store(error) => error.into(),
        other => CommonError::server(other).into(),
    })
}
