//! The ECR Public door (`ECR.md` A.11 to A.14): no operation is implemented yet.

use call::{JsonVersion, Protocol, Service};

pub const SERVICE: Service = Service {
    signing_name: "ecr-public",
    namesake: Some("ECR Public"),
    global_region: None,
    account: None,
    protocol: Protocol::Json { target: "SpencerFrontendService", version: JsonVersion::V1_1 },
    stated_life: true,
    operations: &[],
    not_yet: &[
        "BatchCheckLayerAvailability",
        "BatchDeleteImage",
        "CompleteLayerUpload",
        "CreateRepository",
        "DeleteRepository",
        "DeleteRepositoryPolicy",
        "DescribeImageTags",
        "DescribeImages",
        "DescribeRegistries",
        "DescribeRepositories",
        "GetAuthorizationToken",
        "GetRegistryCatalogData",
        "GetRepositoryCatalogData",
        "GetRepositoryPolicy",
        "InitiateLayerUpload",
        "ListTagsForResource",
        "PutImage",
        "PutRegistryCatalogData",
        "PutRepositoryCatalogData",
        "SetRepositoryPolicy",
        "TagResource",
        "UntagResource",
        "UploadLayerPart",
    ],
};
