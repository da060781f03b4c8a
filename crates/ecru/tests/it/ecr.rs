mod constraints;
mod images;
mod layers;
mod operations;
mod repositories;
mod settings;
mod tags;

/// The operations that are finished; every other answers UnknownOperationException.
pub const FINISHED: &[&str] = &[
    "BatchCheckLayerAvailability",
    "BatchDeleteImage",
    "BatchGetImage",
    "CompleteLayerUpload",
    "CreateRepository",
    "DeleteRepository",
    "DescribeImages",
    "DescribeRegistry",
    "DescribeRepositories",
    "GetAccountSetting",
    "GetAuthorizationToken",
    "GetDownloadUrlForLayer",
    "InitiateLayerUpload",
    "ListImageReferrers",
    "ListImages",
    "ListTagsForResource",
    "PutAccountSetting",
    "PutImage",
    "PutImageScanningConfiguration",
    "PutImageTagMutability",
    "TagResource",
    "UntagResource",
    "UploadLayerPart",
];
